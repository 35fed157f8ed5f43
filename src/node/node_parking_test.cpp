// Results that have no room on their way to the client stay here, and nobody waits for that but their client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/effect_text_for_tests.hpp"

namespace dc::node {
namespace {

constexpr std::size_t overhead = limits::result_overhead_bytes;

/// A node whose windows hold two results of one byte, and that keeps three before it is full.
class ParkingWorld : public NodeWorld {
 public:
  ParkingWorld() : NodeWorld(facts()) {
    ready(w1);
    head(wire::ResultWindow{pool, 2 * (overhead + 1), {}});
    ready_too(w2);
  }
  void ready_too(WorkerId id) {
    start(id, 1);
    spawned(id);
    worker(id, wire::WorkerConstructed{});
    turn();
  }
  /// The worker has run this job.
  void runs(WorkerId id, JobSequence job, const std::string& value) {
    head(wire::RunJobs{id, {{{job, {7, 1}}, 0, Payload::copy("x")}}});
    worker(id, wire::WorkerValue{next_index[id]++, 5, Payload(std::string(value))});
  }
  void acknowledge(JobSequence job) { head(wire::AckResults{pool, {{job, {7, 1}}}}); }
  /// Only what the head hears.
  Lines said() {
    Lines lines = turn();
    std::erase_if(lines, [](const std::string& line) { return line.starts_with("to "); });
    return lines;
  }
  std::map<WorkerId, std::uint64_t> next_index;

 private:
  static NodeFacts facts() {
    NodeFacts facts{"here", {{0, "cpu", 0}, {1, "cpu", 0}}, {}};
    facts.results = {.window_min = 2 * (overhead + 1), .bytes_max = 100'000, .results_max = 3};
    return facts;
  }
};

TEST(NodeParking, AWorkerIsDoneWithAResultThatMustWait) {
  ParkingWorld world;
  for (JobSequence i = 1; i <= 3; ++i) world.runs(w1, i, "a");
  EXPECT_EQ(world.said(), (Lines{"JobsDone 1 1.1=a 2.1=a", "JobsParked 1 3.1"}));
  world.acknowledge(1);
  EXPECT_EQ(world.said(), (Lines{"JobsDone 1 3.1=a"}));
  world.runs(w1, 4, std::string(2 * overhead, 'b'));
  EXPECT_EQ(world.said(), (Lines{"JobsParked 1 4.1(768)"})) << "larger than the window: it asks for its turn";
  world.acknowledge(2);
  world.acknowledge(3);
  EXPECT_EQ(world.said(), Lines{});
  world.head(wire::ResultWindow{NodeWorld::pool, 600, {{4, {7, 1}}}});
  EXPECT_EQ(world.said(), (Lines{"JobsDone 1 4.1=(large)"}));
}

TEST(NodeParking, TheEndOfAWorkerIsToldBehindWhatItHasDone) {
  ParkingWorld world;
  for (JobSequence i = 1; i <= 3; ++i) world.runs(w1, i, "a");
  world.head(wire::RunJobs{w1, {{{4, {7, 1}}, 0, Payload::copy("x")}}});
  world.exits(w1, {{}, SIGKILL, {}, {}});
  const Lines lines = world.said();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1], "JobsParked 1 3.1");
  EXPECT_TRUE(lines[2].starts_with("WorkerExited 1 died running [] unstarted [4.1]")) << lines[2];
  world.acknowledge(1);
  EXPECT_EQ(world.said(), (Lines{"JobsDone 1 3.1=a"})) << "the result outlives it";
}

TEST(NodeParking, AfterABreakNoMoreIsSentThanBefore) {
  ParkingWorld world;
  for (JobSequence i = 1; i <= 3; ++i) world.runs(w1, i, "a");
  world.turn();
  world.machine.session_closed();
  world.runs(w2, 5, std::string(2 * overhead, 'b'));
  world.connect();
  world.turn();
  world.head(wire::ActivatePool{NodeWorld::pool});
  EXPECT_EQ(world.said(),
            (Lines{"JobsDone 1 1.1=a 2.1=a", "JobsParked 1 3.1", "JobsParked 2 5.1(768)", "ResultsFull"}));
}

TEST(NodeParking, ANodeThatKeepsEnoughSaysSo) {
  ParkingWorld world;
  for (JobSequence i = 1; i <= 4; ++i) world.runs(w1, i, "a");
  EXPECT_EQ(world.said(), (Lines{"ResultsFull", "JobsDone 1 1.1=a 2.1=a", "JobsParked 1 3.1 4.1"}));
  world.acknowledge(1);
  world.acknowledge(2);
  EXPECT_EQ(world.said(), (Lines{"JobsDone 1 3.1=a", "JobsDone 1 4.1=a"}));
  world.acknowledge(3);
  EXPECT_EQ(world.said(), (Lines{"ResultsFull no more"}));
}

TEST(NodeParking, ANodeLeavesWhenItsResultsHaveGoneOut) {
  ParkingWorld world;
  for (JobSequence i = 1; i <= 3; ++i) world.runs(w1, i, "a");
  world.turn();
  world.machine.leave("signal", world.now + 60s, world.effects);
  world.turn();
  world.now += 30s;
  EXPECT_EQ(world.turn(), Lines{}) << "one is still here";
  for (JobSequence i = 1; i <= 3; ++i) world.acknowledge(i);
  EXPECT_EQ(world.turn().back(), "to 2: Stop");
}

}  // namespace
}  // namespace dc::node

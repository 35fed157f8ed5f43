// A head or a worker that says what cannot be loses its session, or its life; nothing of it has an effect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "node/effect_text_for_tests.hpp"

namespace dc::node {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr WorkerId w1{1}, w2{2};

class NodeContradictions : public testing::Test {
 protected:
  /// What a node with a worker refuses, when its head says this.
  template <class Message>
  std::string refused(Message message) {
    NodeWorld world;
    world.ready(w1);
    world.head(std::move(message), world.update(1));
    const Lines lines = world.turn();
    EXPECT_THAT(lines, Not(Contains(StartsWith("to 1: "))));  // not even what came behind it
    for (const std::string& line : lines) {
      if (line.starts_with("refuse the head: ")) return line;
    }
    return "";
  }
};

TEST_F(NodeContradictions, OfTheHeadEndItsSession) {
  EXPECT_THAT(refused(wire::StartWorker{w2, NodeWorld::pool, 9, 0}), HasSubstr("on slot 9, which the node does not"));
  EXPECT_THAT(refused(wire::StartWorker{w2, NodeWorld::pool, 1, 0, {1}}), HasSubstr("on slot 1 twice"));
  EXPECT_THAT(refused(wire::StartWorker{{}, NodeWorld::pool, 1, 0}), HasSubstr("StartWorker without a worker"));
  EXPECT_THAT(refused(wire::OpenPoolHere{{}, {}, {}}), HasSubstr("OpenPoolHere without a pool"));
  EXPECT_THAT(refused(wire::PoolUpdate{NodeWorld::pool, 0, {}}), HasSubstr("PoolUpdate without a number"));
  EXPECT_THAT(refused(wire::RunJobs{w1, {{{0, {1, 1}}, 0, {}}}}), HasSubstr("without a number or a token"));
  EXPECT_THAT(refused(wire::RunJobs{w1, {{{1, {0, 1}}, 0, {}}}}), HasSubstr("without a number or a token"));
}

TEST_F(NodeContradictions, TheNextSessionIsHeardAgain) {
  NodeWorld world;
  world.ready(w1);
  world.head(wire::PoolUpdate{NodeWorld::pool, 0, {}});
  world.machine.session_closed();
  world.connect();
  world.turn();
  world.head(NodeWorld::jobs(w1, 1, 1));
  EXPECT_THAT(world.turn(), Contains(StartsWith("to 1: ")));
}

TEST_F(NodeContradictions, OfAWorkerEndIt) {
  const auto ended = [](auto message) {
    NodeWorld world;
    world.ready(w1);
    world.head(NodeWorld::jobs(w1, 1, 2));
    world.turn();
    world.worker(w1, std::move(message));
    const Lines lines = world.turn();
    EXPECT_THAT(lines, Not(Contains(HasSubstr("JobsDone"))));
    return std::find(lines.begin(), lines.end(), "SIGKILL to 1") != lines.end();
  };
  EXPECT_TRUE(ended(NodeWorld::value(2))) << "it was given two jobs";
  EXPECT_TRUE(ended(NodeWorld::value(~std::uint64_t{0})));
  EXPECT_TRUE(ended(wire::WorkerConstructed{}));
  EXPECT_TRUE(ended(wire::UpdateDone{1}));
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.turn();
  world.worker(w1, NodeWorld::value(1));
  EXPECT_THAT(world.turn(), Not(Contains("SIGKILL to 1")));
}

}  // namespace
}  // namespace dc::node

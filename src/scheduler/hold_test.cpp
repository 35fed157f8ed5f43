// After a restart nothing that runs is given out a second time, however long reading took and however slowly nodes
// come.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "scheduler/scheduler.hpp"
#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

constexpr std::uint32_t before = 66;  ///< the epoch of the head that was there before

/// A head with a pool from the time before it. All of its jobs are here, and the nodes that run some are not.
class Restarted : public Story {
 protected:
  void restore(JobSequence jobs) {
    Commands out;
    scheduler.on(PoolOpened{pool, {}, true}, now, out);
    constexpr JobSequence at_once = 4096;
    for (JobSequence first = 1; first <= jobs; first += at_once) {
      scheduler.on(Story::jobs(pool, first, std::min(first + at_once - 1, jobs)), now, out);
    }
    scheduler.on(PoolResumed{pool}, now, out);
  }
  /// Jobs given out up to then; the loop calls at each deadline on the way.
  std::vector<JobSequence> wait(Duration duration) {
    Commands out;
    const TimePoint end = now + duration;
    for (TimePoint next = scheduler.next_deadline(); next <= end; next = scheduler.next_deadline()) {
      now = std::max(now + 1us, next);
      scheduler.flush(now, out);
    }
    now = std::max(now, end);
    scheduler.flush(now, out);
    return jobs_in(out);
  }
  /// A node of eight workers is back. It runs the jobs from `first` on with some of them.
  std::vector<JobSequence> comes(NodeId id, JobSequence first, std::uint32_t busy) {
    NodeJoined event{id, "host", {}, {{pool, 0, {}}}, {}};
    for (std::uint32_t i = 0; i < 8; ++i) {
      event.slots.push_back({i, "cpu", 0});
      WorkerReport report{WorkerId{id.value * 100 + i}, pool, i, true, 1, 0, {}};
      if (i < busy) report.held.push_back({first + i, {before, 1}});
      event.workers.push_back(std::move(report));
    }
    EXPECT_EQ(scheduler.contradiction(event), "");
    Commands out;
    scheduler.on(std::move(event), now, out);
    scheduler.flush(now, out);
    return jobs_in(out);
  }
  static std::vector<JobSequence> jobs_in(const Commands& commands) { return sequences(only<RunJob>(commands)); }
};

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(Restarted, TheHoldBeginsWhenTheDoorIsOpen) {
  restore(20);
  now += 60s;  // so long it read its journal
  scheduler.door_opened(now);
  EXPECT_THAT(wait(limits::recovery_hold - 1s), IsEmpty());
  EXPECT_THAT(comes(node, 1, 7), IsEmpty());
  EXPECT_THAT(wait(limits::recovery_hold - 1ms), IsEmpty()) << "another one may need longer";
  EXPECT_THAT(wait(1ms), ElementsAre(8));
  scheduler.check_invariants();
}

TEST_F(Restarted, ANewNodeIsNoReasonToWaitForOthers) {
  restore(20);
  wait(limits::recovery_hold - 1s);
  Commands out;
  scheduler.on(NodeJoined{other_node, "new", {{0, "cpu", 0}}, {}, {}}, now, out);
  EXPECT_THAT(comes(node, 1, 7), IsEmpty());
  wait(limits::recovery_hold - 1s);
  scheduler.on(NodeJoined{NodeId{3}, "newer", {{0, "cpu", 0}}, {}, {}}, now, out);
  EXPECT_THAT(wait(1s), ElementsAre(8));
}

TEST_F(Restarted, WhoComesBehindTheHoldStopsNothing) {
  restore(20);
  comes(node, 1, 7);
  EXPECT_THAT(wait(limits::recovery_hold), ElementsAre(8));
  EXPECT_THAT(comes(other_node, 11, 4), ElementsAre(9, 10, 15, 16));
}

TEST_F(Restarted, AMillionJobsAndNodesThatComeSlowlyAreNoReasonToRunAnythingTwice) {
  constexpr JobSequence jobs = 1'000'000;
  constexpr std::uint64_t nodes = 300;
  restore(jobs);
  now += 40s;
  scheduler.door_opened(now);
  std::set<JobSequence> running;
  std::size_t twice = 0;
  const auto count_twice = [&](const std::vector<JobSequence>& given) {
    for (const JobSequence job : given) twice += running.contains(job) ? 1 : 0;
  };
  // Half of the workers are idle, and nodes run jobs from all over the queue.
  for (std::uint64_t i = 0; i < nodes; ++i) {
    for (JobSequence job = 1; job <= 4; ++job) running.insert(i * 4 + job);
  }
  for (std::uint64_t i = nodes; i-- > 0;) {
    count_twice(wait(limits::recovery_hold - 100ms));
    count_twice(comes(NodeId{i + 1}, i * 4 + 1, 4));
  }
  const std::vector<JobSequence> given = wait(limits::recovery_hold);
  count_twice(given);
  EXPECT_EQ(twice, 0U);
  EXPECT_EQ(given.size(), nodes * 4);
}

/// What a node that comes or goes costs does not depend on the jobs of others: this would take minutes.
TEST_F(Restarted, ManyNodesMayComeAndGoBesideAMillionJobs) {
  restore(1'000'000);
  now += 10s;
  Commands out;
  for (int round = 0; round < 20; ++round) {
    for (std::uint64_t i = 1; i <= 300; ++i) {
      scheduler.on(NodeJoined{NodeId{i}, "host", {{0, "cpu", 0}}, {}, {}}, now, out);
      scheduler.on(NodeGone{NodeId{i}}, now, out);
    }
    out.clear();
  }
  EXPECT_EQ(scheduler.pool_status(pool).jobs_queued, 1'000'000U);
}

}  // namespace
}  // namespace dc::scheduler

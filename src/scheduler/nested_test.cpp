// Pools that are opened in jobs, and what becomes of them when no slot is left for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "scheduler/scheduler.hpp"
#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr PoolId outer{10};
constexpr std::uint32_t some_pid = 4711;

/// Jobs that never end by themselves, on workers that start and end at once.
class Nested : public Story {
 protected:
  template <class Event>
  void tell(Event event) {
    Commands out;
    scheduler.on(std::move(event), now, out);
    settle(std::move(out));
  }
  /// Time passes.
  void settle(Commands todo = {}, int turns = 50) {
    for (int turn = 0; turn < turns; ++turn) {
      now += 100ms;
      scheduler.flush(now, todo);
      scheduler.check_invariants();
      Commands next;
      for (const Command& command : std::exchange(todo, {})) {
        if (const auto* start = std::get_if<StartWorker>(&command); start && !slow.contains(start->pool)) {
          pids[start->worker] = ++last_pid;
          scheduler.on(WorkerReady{start->node, start->worker, last_pid}, now, next);
        }
        if (const auto* start = std::get_if<StartWorker>(&command)) starts[start->pool] = start->worker;
        if (const auto* stop = std::get_if<StopWorker>(&command))
          scheduler.on(WorkerExited{stop->node, stop->worker, ExitCause::requested, {}, {}, {}}, now, next);
        if (const auto* close = std::get_if<ClosePoolOnNode>(&command); close && starts.contains(close->pool))
          scheduler.on(WorkerExited{node, starts.at(close->pool), ExitCause::requested, {}, {}, {}}, now, next);
        if (const auto* run = std::get_if<RunJob>(&command)) runs[{run->pool, run->sequence}] = *run;
        if (const auto* failed = std::get_if<PoolFailed>(&command)) {
          ended.push_back(failed->pool.value);
          text = failed->error.message;
          EXPECT_EQ(failed->error.kind, ErrorKind::pool_deadlock);
        }
        if (const auto* stuck = std::get_if<ClientStuck>(&command)) sent_away.push_back(stuck->pool.value);
      }
      todo = std::move(next);
    }
  }
  RunJob run(PoolId id, JobSequence job) { return runs.at({id, job}); }
  /// The job opens a pool with so many jobs, and waits for them.
  void opens(const RunJob& job, PoolId inner, JobSequence last, PoolOptions options = {}) {
    tell(PoolOpened{inner, std::move(options), false});
    tell(told(job, inner));
    if (last > 0) tell(jobs(inner, 1, last));
    auto waits = told(job, inner);
    waits.results = last > 0;
    tell(waits);
  }
  ClientWaits told(const RunJob& job, PoolId inner) { return {inner, job.worker, pids.at(job.worker)}; }
  void end(const RunJob& job) {
    tell(JobFinished{job.node, job.worker, job.pool, attempt(job), 1s, {}});
    tell(OutcomesAcknowledged{job.pool, {job.sequence}});
  }
  /// A cluster of so many slots, and as many outer jobs as given.
  void outer_jobs(std::uint32_t slots, JobSequence count) {
    tell(joining(node, slots));
    tell(PoolOpened{outer, {}, false});
    tell(jobs(outer, 1, count));
  }

  std::map<WorkerId, std::uint32_t> pids;
  std::uint32_t last_pid = 100;
  std::map<std::pair<PoolId, JobSequence>, RunJob> runs;
  std::map<PoolId, WorkerId> starts;
  std::set<PoolId> slow;  ///< whose constructors never end
  std::vector<std::uint64_t> ended, sent_away;
  std::string text;
};

TEST_F(Nested, TheYoungestOfThoseThatWaitForEachOtherEnds) {
  outer_jobs(2, 2);
  opens(run(outer, 1), PoolId{21}, 3);
  EXPECT_THAT(ended, IsEmpty()) << "the other job may end";
  opens(run(outer, 2), PoolId{22}, 3);
  EXPECT_THAT(ended, ElementsAre(22));
  EXPECT_THAT(text, HasSubstr("all 2 slots that could run it are held by jobs that wait for pools of their own"));
  EXPECT_THAT(text, HasSubstr("start_node on another machine"));
  end(run(outer, 2));  // with that error
  end(run(PoolId{21}, 1));
  EXPECT_THAT(ended, ElementsAre(22)) << "the first goes on with the slot of the second";
}

TEST_F(Nested, NobodyCountsOnTheSlotOfTheJobThatWaits) {
  tell(joining(node, 2));
  tell(PoolOpened{outer, {.min_workers = 2}, false});
  tell(jobs(outer, 1, 2));
  opens(run(outer, 1), PoolId{21}, 1);
  opens(run(outer, 2), PoolId{22}, 1);
  EXPECT_THAT(ended, ElementsAre(22));
  end(run(outer, 2));
  EXPECT_TRUE(runs.contains({PoolId{21}, 1})) << "the other worker of the outer pool is idle, and goes";
}

TEST_F(Nested, AWorkerOfItsOwnIsEnough) {
  outer_jobs(3, 2);
  opens(run(outer, 1), PoolId{21}, 3);
  opens(run(outer, 2), PoolId{22}, 3);
  EXPECT_THAT(ended, IsEmpty());
  for (const JobSequence job : {1, 2, 3}) end(run(PoolId{21}, job));
  auto done = told(run(outer, 1), PoolId{21});
  tell(done);
  EXPECT_THAT(ended, IsEmpty()) << "the slot of the first pool is for the second";
  EXPECT_TRUE(runs.contains({PoolId{22}, 1}));
}

TEST_F(Nested, AJobOfAnotherKindMayEnd) {
  tell(joining(node, 2));
  tell(PoolOpened{third_pool, {}, false});
  tell(jobs(third_pool, 1, 1));
  tell(PoolOpened{outer, {}, false});
  tell(jobs(outer, 1, 1));
  opens(run(outer, 1), PoolId{21}, 1);
  EXPECT_THAT(ended, IsEmpty());
  end(run(third_pool, 1));
  EXPECT_TRUE(runs.contains({PoolId{21}, 1}));
}

TEST_F(Nested, ChainsEndAtTheirDeepestPool) {
  outer_jobs(2, 1);
  opens(run(outer, 1), PoolId{21}, 1);
  opens(run(PoolId{21}, 1), PoolId{31}, 1);
  EXPECT_THAT(ended, ElementsAre(31));
  end(run(PoolId{21}, 1));
  EXPECT_THAT(ended, ElementsAre(31));
}

TEST_F(Nested, WhoDoesNotWaitWithoutALimitIsNoReason) {
  outer_jobs(2, 2);
  opens(run(outer, 1), PoolId{21}, 3);
  tell(PoolOpened{PoolId{22}, {}, false});
  tell(told(run(outer, 2), PoolId{22}));
  tell(jobs(PoolId{22}, 1, 3));
  settle();
  EXPECT_THAT(ended, IsEmpty());
  auto waits = told(run(outer, 2), PoolId{22});
  waits.results = true;
  tell(waits);
  EXPECT_THAT(ended, ElementsAre(22));
}

TEST_F(Nested, NorWhoWaitsAtAnotherCluster) {
  outer_jobs(1, 1);
  RunJob elsewhere = run(outer, 1);
  elsewhere.worker = WorkerId{(std::uint64_t{4} << 32) | 1};
  pids[elsewhere.worker] = some_pid;
  opens(elsewhere, PoolId{21}, 1);
  EXPECT_THAT(ended, IsEmpty());
}

TEST_F(Nested, WhatAJobHasStartedCountsWhileThatRuns) {
  outer_jobs(1, 2);
  const RunJob job = run(outer, 1);
  const auto as_child = [&](ClientWaits waits) {
    waits.pid = some_pid;
    return waits;
  };
  tell(PoolOpened{PoolId{21}, {}, false});
  tell(as_child(told(job, PoolId{21})));
  tell(jobs(PoolId{21}, 1, 1));
  end(job);  // the child lives on, beside the next job
  auto waits = as_child(told(job, PoolId{21}));
  waits.results = true;
  tell(waits);
  EXPECT_THAT(ended, IsEmpty());
}

TEST_F(Nested, WorkersAreWaitedForAsWell) {
  outer_jobs(4, 2);
  for (const JobSequence job : {1, 2}) {
    const PoolId inner{20 + job};
    opens(run(outer, job), inner, 0, {.min_workers = 2});
    tell(WorkersWanted{inner, 2});
    auto waits = told(run(outer, job), inner);
    waits.workers = true;
    tell(waits);
  }
  EXPECT_THAT(ended, ElementsAre(22)) << "each has one and wants two";
  EXPECT_THAT(text, HasSubstr("has 1 of 2 workers that are waited for, and the other 3 slots that could run it are"));
  EXPECT_EQ(scheduler.pool_status(PoolId{21}).workers_ready, 2U);
}

TEST_F(Nested, AConstructorThatWaitsHoldsItsSlotToo) {
  slow = {outer};
  tell(joining(node, 1));
  tell(PoolOpened{outer, {}, false});
  tell(jobs(outer, 1, 1));
  tell(PoolOpened{PoolId{21}, {}, false});
  ClientWaits waits{PoolId{21}, starts.at(outer), some_pid};
  tell(waits);
  tell(jobs(PoolId{21}, 1, 1));
  waits.results = true;
  tell(waits);
  EXPECT_THAT(ended, ElementsAre(21));
}

TEST_F(Nested, ANodeThatMayComeBackIsWaitedFor) {
  outer_jobs(1, 1);
  tell(joining(other_node, 1));
  tell(jobs(outer, 2, 2));
  tell(NodeDisconnected{other_node});
  Commands out;
  scheduler.on(PoolOpened{PoolId{21}, {}, false}, now, out);
  scheduler.on(jobs(PoolId{21}, 1, 1), now, out);
  auto waits = told(run(outer, 1), PoolId{21});
  waits.results = true;
  scheduler.on(waits, now, out);
  settle(std::move(out), 10);
  EXPECT_THAT(ended, IsEmpty());
  settle();  // the node is given up: its jobs are to run again
  EXPECT_THAT(ended, ElementsAre(21));
}

TEST_F(Nested, ANodeThatJoinsInTimeHelps) {
  outer_jobs(1, 1);
  tell(PoolOpened{PoolId{21}, {}, false});
  tell(jobs(PoolId{21}, 1, 1));
  auto waits = told(run(outer, 1), PoolId{21});
  waits.results = true;
  Commands out;
  scheduler.on(waits, now, out);
  settle(std::move(out), 5);
  EXPECT_THAT(ended, IsEmpty());
  tell(joining(other_node, 1));
  EXPECT_THAT(ended, IsEmpty());
  EXPECT_TRUE(runs.contains({PoolId{21}, 1}));
}

TEST_F(Nested, WhereNoDeviceIsSuitableSomethingElseIsWrong) {
  outer_jobs(1, 1);
  PoolOptions gpu;
  gpu.device = DeviceWish::gpu;
  auto waits = told(run(outer, 1), PoolId{21});
  waits.results = true;
  Commands out;
  scheduler.on(PoolOpened{PoolId{21}, gpu, false}, now, out);
  scheduler.on(jobs(PoolId{21}, 1, 1), now, out);
  scheduler.on(waits, now, out);
  settle(std::move(out), 30);
  EXPECT_THAT(ended, IsEmpty());
}

TEST_F(Nested, ANamedPoolLosesItsClientOnly) {
  outer_jobs(1, 1);
  tell(PoolOpened{PoolId{21}, {}, false});
  tell(jobs(PoolId{21}, 1, 1));
  auto waits = told(run(outer, 1), PoolId{21});
  waits.keeps_pool = waits.results = true;
  tell(waits);
  EXPECT_THAT(sent_away, ElementsAre(21)) << "once";
  EXPECT_THAT(ended, IsEmpty());
  EXPECT_TRUE(scheduler.has_pool(PoolId{21}));
}

}  // namespace
}  // namespace dc::scheduler

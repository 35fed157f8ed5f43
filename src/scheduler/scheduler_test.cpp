// The scheduler's promises, one story each.
#include "scheduler/scheduler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

/// With what becomes of jobs and workers.
class Promises : public Story {
 protected:
  Commands finished(const RunJob& job, Duration run_time = 1s) {
    return after(JobFinished{job.node, job.worker, job.pool, {job.sequence, job.token}, run_time, {}});
  }
  Commands exited(WorkerId worker, ExitCause cause, std::vector<Attempt> running = {},
                  std::vector<Attempt> unstarted = {}) {
    WorkerExited event{node, worker, cause, {}, std::move(running), std::move(unstarted)};
    event.error.message = "gone";
    return after(std::move(event));
  }
};

TEST_F(Promises, WorkersAreMadeEagerlyAndJobsRunInOrder) {
  after(joining(node, 2));
  const Commands opened = after(PoolOpened{pool, {}, false});
  ASSERT_THAT(only<StartWorker>(opened), SizeIs(2));
  EXPECT_THAT(only<OpenPoolOnNode>(opened), ElementsAre(OpenPoolOnNode{node, pool}));
  make_ready(opened);
  const auto first = only<RunJob>(submit(pool, 1, 3));
  EXPECT_THAT(sequences(first), ElementsAre(1, 2));
  const Commands next = finished(first[1]);
  EXPECT_THAT(only<DeliverOutcome>(next), ElementsAre(DeliverOutcome{pool, 2, {}}));
  EXPECT_THAT(sequences(only<RunJob>(next)), ElementsAre(3));
  EXPECT_THAT(only<AckResult>(after(OutcomesAcknowledged{pool, {2}})),
              ElementsAre(AckResult{node, pool, attempt(first[1])}));
}

TEST_F(Promises, AJobOfADeadWorkerGoesToTheFrontAndOnlyTheOneThatRanIsCharged) {
  after(joining(node, 1));
  PoolOptions options;
  options.max_retries = 2;
  open(pool, options);
  auto job = only<RunJob>(submit(pool, 1, 3))[0];
  for (const bool last : {false, true}) {
    const Commands died = exited(job.worker, ExitCause::died, {attempt(job)});
    EXPECT_THAT(only<DeliverOutcome>(died), SizeIs(last ? 1 : 0));
    if (last) {
      EXPECT_EQ(only<DeliverOutcome>(died)[0].outcome.error->kind, ErrorKind::worker_died);
    }
    const Commands again = after(WorkerReady{node, only<StartWorker>(died)[0].worker, 1});
    job = only<RunJob>(again)[0];
    EXPECT_EQ(job.sequence, last ? 2U : 1U);
  }
  const Commands requested = exited(job.worker, ExitCause::drained, {attempt(job)});
  EXPECT_THAT(only<DeliverOutcome>(requested), IsEmpty());
}

TEST_F(Promises, LackOfMemoryIsTriedThreeTimesWhateverMaxRetriesSays) {
  after(joining(node, 1));
  PoolOptions options;
  options.max_retries = 1;
  open(pool, options);
  auto job = only<RunJob>(submit(pool, 1, 1))[0];
  for (const int death : {1, 2, 3}) {
    const Commands died = exited(job.worker, ExitCause::out_of_memory, {attempt(job)});
    EXPECT_THAT(only<DeliverOutcome>(died), SizeIs(death == 3 ? 1 : 0));
    if (death == 3) {
      EXPECT_EQ(only<DeliverOutcome>(died)[0].outcome.error->kind, ErrorKind::worker_died);
      return;
    }
    job = only<RunJob>(after(WorkerReady{node, only<StartWorker>(died)[0].worker, 1}))[0];
  }
}

TEST_F(Promises, AStaleResultIsDroppedAndForgottenAtTheNode) {
  after(joining(node, 1));
  open(pool);
  const auto job = only<RunJob>(submit(pool, 1, 1))[0];
  RunJob stale = job;
  stale.token.attempt = 99;
  const Commands dropped = finished(stale);
  EXPECT_THAT(only<DeliverOutcome>(dropped), IsEmpty());
  EXPECT_THAT(only<AckResult>(dropped), ElementsAre(AckResult{node, pool, attempt(stale)}));
  EXPECT_THAT(only<DeliverOutcome>(finished(job)), SizeIs(1));
  EXPECT_THAT(only<DeliverOutcome>(finished(job)), IsEmpty()) << "delivered twice";
}

TEST_F(Promises, ANodeThatComesBackInTimeKeepsItsJobs) {
  after(joining(node, 1));
  open(pool);
  const auto job = only<RunJob>(submit(pool, 1, 1))[0];
  after(NodeDisconnected{node});
  wait(1s);
  NodeJoined back = joining(node, 1);
  back.pools = {{pool, 0, {}}};
  back.workers = {{job.worker, pool, 0, true, 99, 0, {attempt(job)}}};
  const Commands returned = after(back);
  EXPECT_THAT(only<RunJob>(returned), IsEmpty());
  EXPECT_THAT(only<ActivatePoolOnNode>(returned), SizeIs(1));
  EXPECT_THAT(only<DeliverOutcome>(finished(job)), SizeIs(1));
}

TEST_F(Promises, ANodeGoesOnWithAPoolThatIsNewToItsClient) {
  NodeJoined back = joining(node, 1);  // the earlier head has opened the pool, but could not say so
  back.pools = {{pool, 0, {}}};
  back.workers = {{WorkerId{1}, pool, 0, true, 99, 0, {}}};
  EXPECT_THAT(only<ActivatePoolOnNode>(after(back)), IsEmpty());
  EXPECT_THAT(only<ActivatePoolOnNode>(after(PoolOpened{pool, {}, false})), SizeIs(1));
}

TEST_F(Promises, ALostNodesJobsGoElsewhereAndItsLateResultIsDropped) {
  after(joining(node, 1));
  after(joining(other_node, 1));
  open(pool);
  const auto jobs = only<RunJob>(submit(pool, 1, 3));
  const RunJob lost = jobs[0].node == node ? jobs[0] : jobs[1];
  const RunJob kept = jobs[0].node == node ? jobs[1] : jobs[0];
  after(NodeDisconnected{node});
  EXPECT_THAT(only<RunJob>(wait(1s)), IsEmpty());
  wait(1s);
  EXPECT_THAT(sequences(only<RunJob>(finished(kept))), ElementsAre(lost.sequence)) << "the lost one goes first";
  EXPECT_THAT(only<DeliverOutcome>(finished(lost)), IsEmpty());
}

TEST_F(Promises, AFrozenHeadDeclaresNobodyLost) {
  after(joining(node, 1));
  open(pool);
  submit(pool, 1, 1);
  after(NodeDisconnected{node});
  wait(30s);
  EXPECT_THAT(scheduler.status().nodes, SizeIs(1));
  wait(1900ms);
  EXPECT_THAT(scheduler.status().nodes, IsEmpty());
}

TEST_F(Promises, NoJobRunsBeforeItsUpdates) {
  after(joining(node, 1));
  open(pool);
  EXPECT_THAT(only<RunJob>(submit(pool, 1, 1, 2)), IsEmpty());
  EXPECT_THAT(only<SendUpdate>(after(UpdateAdded{pool, 2, {}})), IsEmpty()) << "update 1 is missing";
  const Commands both = after(UpdateAdded{pool, 1, {}});
  EXPECT_THAT(only<SendUpdate>(both), SizeIs(2));
  EXPECT_THAT(only<UpdateAccepted>(both), ElementsAre(UpdateAccepted{pool, 2}));
  EXPECT_THAT(only<RunJob>(both), SizeIs(1));
  EXPECT_THAT(only<UpdateAppliedEverywhere>(both), IsEmpty());
  EXPECT_THAT(only<UpdateAppliedEverywhere>(after(UpdatesApplied{node, started[0].worker, 2, {}})),
              ElementsAre(UpdateAppliedEverywhere{pool, 2}));
  const Commands joined = after(joining(other_node, 1));
  EXPECT_THAT(only<SendUpdate>(joined), SizeIs(2)) << "the history goes to a new node";
}

TEST_F(Promises, ShortJobsArePrefetchedAndTakenBackFromASlowWorker) {
  after(joining(node, 2));
  open(pool);
  auto jobs = only<RunJob>(submit(pool, 1, 2));
  finished(jobs[0], 10us);
  finished(jobs[1], 10us);
  jobs = only<RunJob>(submit(pool, 3, 22));
  EXPECT_THAT(jobs, SizeIs(20));
  const WorkerId slow = jobs[0].worker;
  std::vector<Attempt> left;
  for (const RunJob& job : jobs) {
    if (job.worker != slow)
      finished(job, 10us);
    else if (job.sequence != jobs[0].sequence)
      left.push_back(attempt(job));
  }
  ASSERT_THAT(left, SizeIs(9));
  const auto recalls = only<Recall>(wait(20ms));
  ASSERT_THAT(recalls, SizeIs(1));
  EXPECT_EQ(recalls[0], (Recall{node, slow, 5}));
  const Commands recalled = after(JobsRecalled{node, slow, {left.end() - 5, left.end()}});
  EXPECT_THAT(only<RunJob>(recalled), SizeIs(3)) << "evenly: the rest follows when these are done";
  for (const RunJob& job : only<RunJob>(recalled)) EXPECT_NE(job.worker, slow);
}

TEST_F(Promises, LongJobsAreNeverQueuedBehindEachOther) {
  after(joining(node, 1));
  open(pool);
  const auto job = only<RunJob>(submit(pool, 1, 5))[0];
  EXPECT_THAT(only<RunJob>(finished(job, 60ms)), SizeIs(1));
}

TEST_F(Promises, TwoBusyPoolsShareAndAClosedOneGivesItsSlotsBack) {
  after(joining(node, 4));
  open(pool);
  auto running = only<RunJob>(submit(pool, 1, 100));
  ASSERT_THAT(running, SizeIs(4));
  after(PoolOpened{other_pool, {}, false});
  submit(other_pool, 1, 100);
  std::vector<StopWorker> stopped;
  for (const RunJob& job : running) {
    const auto stops = only<StopWorker>(finished(job));
    stopped.insert(stopped.end(), stops.begin(), stops.end());
  }
  ASSERT_THAT(stopped, SizeIs(2)) << "two slots change hands, each after its job";
  for (const StopWorker& stop : stopped) make_ready(exited(stop.worker, ExitCause::requested));
  EXPECT_EQ(scheduler.pool_status(pool).workers_ready, 2U);
  EXPECT_EQ(scheduler.pool_status(other_pool).workers_ready, 2U);
  EXPECT_THAT(only<ClosePoolOnNode>(after(PoolClosed{other_pool})), SizeIs(1));
  for (const StartWorker& start : std::vector(started)) {
    if (start.pool == other_pool) make_ready(exited(start.worker, ExitCause::requested));
  }
  EXPECT_EQ(scheduler.pool_status(pool).workers_ready, 4U);
}

TEST_F(Promises, AClassThatFailsEverywhereEndsItsPool) {
  after(joining(node, 2));
  const auto starts = only<StartWorker>(after(PoolOpened{pool, {}, false}));
  EXPECT_THAT(only<PoolFailed>(exited(starts[0].worker, ExitCause::init_failed)), IsEmpty());
  const Commands last = exited(starts[1].worker, ExitCause::init_failed);
  ASSERT_THAT(only<PoolFailed>(last), SizeIs(1));
  EXPECT_EQ(only<PoolFailed>(last)[0].error.kind, ErrorKind::worker_init_error);
  EXPECT_FALSE(scheduler.has_pool(pool));
}

TEST_F(Promises, AClassThatFailsSomewhereIsRetriedThereAndThenSetAside) {
  after(joining(node, 2));
  const auto starts = only<StartWorker>(after(PoolOpened{pool, {}, false}));
  after(WorkerReady{node, starts[0].worker, 1});
  WorkerId failing = starts[1].worker;
  for (const Duration pause : {Duration(1s), Duration(2s)}) {
    EXPECT_THAT(only<StartWorker>(exited(failing, ExitCause::init_failed)), IsEmpty());
    EXPECT_THAT(only<StartWorker>(wait(pause - 1ms)), IsEmpty());
    const auto again = only<StartWorker>(wait(1ms));
    ASSERT_THAT(again, SizeIs(1));
    failing = again[0].worker;
  }
  EXPECT_THAT(only<Notice>(exited(failing, ExitCause::init_failed)), SizeIs(1));
  EXPECT_THAT(only<StartWorker>(wait(100s)), IsEmpty());
  EXPECT_EQ(scheduler.pool_status(pool).slots_set_aside, 1U);
}

TEST_F(Promises, ANewHeadAdoptsWhatNodesRunAndHaveFinished) {
  const Attempt running{5, {33, 1}}, done{4, {33, 1}}, delivered{3, {33, 1}};
  NodeJoined back = joining(node, 1);
  back.pools = {{pool, 0, {done, delivered}}};
  back.workers = {{WorkerId{900}, pool, 0, true, 99, 0, {running}}};
  EXPECT_THAT(after(back), IsEmpty());
  EXPECT_THAT(only<StartWorker>(after(PoolOpened{pool, {}, true})), IsEmpty());
  EXPECT_THAT(only<RunJob>(submit(pool, 4, 6)), IsEmpty());
  const Commands resumed = after(PoolResumed{pool});
  EXPECT_THAT(only<ActivatePoolOnNode>(resumed), SizeIs(1));
  EXPECT_THAT(only<AckResult>(resumed), ElementsAre(AckResult{node, pool, delivered}));
  EXPECT_THAT(only<DeliverOutcome>(after(JobFinished{node, WorkerId{900}, pool, done, 1s, {}})), SizeIs(1));
  EXPECT_THAT(only<RunJob>(after(JobFinished{node, WorkerId{900}, pool, running, 1s, {}})), IsEmpty());
  EXPECT_THAT(sequences(only<RunJob>(wait(limits::recovery_hold))), ElementsAre(6));
}

TEST_F(Promises, AClientThatComesBackGetsWhatItMissed) {
  after(joining(node, 1));
  open(pool);
  const auto job = only<RunJob>(submit(pool, 1, 2))[0];
  finished(job);
  const Commands returned = after(ClientReturned{pool, {1, 2, 3}});
  EXPECT_THAT(only<DeliverOutcome>(returned), ElementsAre(DeliverOutcome{pool, 1, {}}));
  EXPECT_THAT(only<MissingJobs>(returned), ElementsAre(MissingJobs{pool, {3}}));
}

TEST_F(Promises, AnUpdateWithoutHistoryIsKeptUntilEveryWorkerHasIt) {
  after(joining(node, 1));
  open(pool, {.keep_updates_history = false});
  after(NodeDisconnected{node});
  after(UpdateAdded{pool, 1, Payload::copy("u1")});
  NodeJoined back = joining(node, 1);
  back.pools.push_back({pool, 0, {}});
  back.workers.push_back({started[0].worker, pool, 0, true, 99, 0, {}});
  const Commands joined = after(std::move(back));
  EXPECT_THAT(only<SendUpdate>(joined), ElementsAre(SendUpdate{node, pool, 1, Payload::copy("u1")}));
  EXPECT_THAT(only<StopWorker>(joined), IsEmpty());
}

TEST_F(Promises, AWorkerThatMissedAnUpdateForGoodIsStopped) {
  after(joining(node, 1));
  open(pool, {.keep_updates_history = false});
  after(NodeDisconnected{node});
  wait(limits::node_return_grace);  // lost: nobody waits for its workers
  after(UpdateAdded{pool, 1, Payload::copy("u1")});
  NodeJoined back = joining(node, 1);
  back.pools.push_back({pool, 0, {}});
  back.workers.push_back({started[0].worker, pool, 0, true, 99, 0, {}});
  EXPECT_THAT(only<StopWorker>(after(std::move(back))), ElementsAre(StopWorker{node, started[0].worker}));
}

TEST_F(Promises, AResultThatComesAgainIsKeptUntilTheClientHasIt) {
  after(joining(node, 1));
  open(pool);
  const RunJob job = only<RunJob>(submit(pool, 1, 1))[0];
  finished(job);
  NodeJoined back = joining(node, 1);
  back.pools.push_back({pool, 0, {attempt(job)}});
  back.workers.push_back({job.worker, pool, 0, true, 99, 0, {}});
  after(std::move(back));
  EXPECT_THAT(only<AckResult>(finished(job)), IsEmpty());
  EXPECT_THAT(only<AckResult>(after(OutcomesAcknowledged{pool, {1}})),
              ElementsAre(AckResult{node, pool, attempt(job)}));
}

TEST_F(Promises, AResultThatIsRetriedIsNotWaitedForAgain) {
  after(joining(node, 1));
  open(pool, {.retry_exceptions = true});
  const RunJob job = only<RunJob>(submit(pool, 1, 1))[0];
  Commands out;
  scheduler.on(JobFinished{node, job.worker, pool, attempt(job), 1s, {{}, ErrorInfo{}}}, now, out);
  NodeJoined back = joining(node, 1);
  back.pools.push_back({pool, 0, {attempt(job)}});  // said before it heard of the acknowledgement
  back.workers.push_back({job.worker, pool, 0, true, 99, 0, {}});
  EXPECT_THAT(sequences(only<RunJob>(after(std::move(back)))), ElementsAre(1));
}

TEST_F(Promises, WhatAWorkerClaimedIsVoidWhenItEnds) {
  NodeJoined old_node = joining(node, 2);
  old_node.pools.push_back({pool, 0, {}});
  old_node.workers.push_back({WorkerId{900}, pool, 0, true, 99, 0, {{5, {66, 1}}}});
  old_node.workers.push_back({WorkerId{901}, pool, 1, true, 98, 0, {}});
  after(std::move(old_node));
  after(PoolOpened{pool, {}, true});
  exited(WorkerId{900}, ExitCause::died, {{5, {66, 1}}});
  submit(pool, 5, 5);
  after(PoolResumed{pool});
  EXPECT_THAT(sequences(only<RunJob>(wait(limits::recovery_hold))), ElementsAre(5));
}

TEST_F(Promises, APoolFailsWhenTheLastSlotThatMightDoBetterGoes) {
  after(joining(node, 1));
  after(joining(other_node, 1));
  after(PoolOpened{pool, {}, false});
  after(NodeDisconnected{other_node});
  const WorkerId first{(std::uint64_t{77} << 32) | 1};
  EXPECT_THAT(only<PoolFailed>(exited(first, ExitCause::init_failed)), IsEmpty());
  EXPECT_THAT(only<PoolFailed>(after(NodeGone{other_node})), SizeIs(1));
}

}  // namespace
}  // namespace dc::scheduler

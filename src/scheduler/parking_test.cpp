// Results that wait at their node: the job has not ended for its client, and its worker has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/scheduler.hpp"
#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

/// A node of two slots with a pool on both.
class ParkingStory : public Story {
 protected:
  ParkingStory() {
    after(joining(node, 2));
    open(pool);
  }
  std::vector<RunJob> submit(PoolId id, JobSequence first, JobSequence last) {
    return only<RunJob>(Story::submit(id, first, last));
  }
  Commands parked(const RunJob& job) { return after(ResultsParked{node, job.worker, job.pool, {attempt(job)}}); }
};

TEST_F(ParkingStory, TheWorkerGoesOnAndTheJobEndsWhenItsResultComes) {
  const auto jobs = submit(pool, 1, 3);
  ASSERT_THAT(jobs, SizeIs(2));
  EXPECT_THAT(only<RunJob>(parked(jobs[0])), SizeIs(1)) << "the third";
  EXPECT_THAT(only<DeliverOutcome>(parked(jobs[0])), IsEmpty());
  const Commands exited = after(WorkerExited{node, jobs[0].worker, ExitCause::died, {}, {}, {}});
  for (const RunJob& again : only<RunJob>(exited)) EXPECT_NE(again.sequence, 1U) << "it has run";
  EXPECT_THAT(only<DeliverOutcome>(after(JobFinished{node, jobs[0].worker, pool, attempt(jobs[0]), 1s, {}})),
              SizeIs(1));
  EXPECT_THAT(only<AckResult>(after(OutcomesAcknowledged{pool, {1}})),
              ElementsAre(AckResult{node, pool, attempt(jobs[0])}));
}

TEST_F(ParkingStory, WhatNobodyAwaitsIsNotKept) {
  const auto jobs = submit(pool, 1, 1);
  after(JobFinished{node, jobs[0].worker, pool, attempt(jobs[0]), 1s, {}});
  EXPECT_THAT(only<AckResult>(parked(jobs[0])), IsEmpty()) << "its client does not have it";
  after(OutcomesAcknowledged{pool, {1}});
  EXPECT_THAT(only<AckResult>(parked(jobs[0])), ElementsAre(AckResult{node, pool, attempt(jobs[0])}));
}

TEST_F(ParkingStory, WhatWaitsOnALostNodeRunsAgain) {
  const auto jobs = submit(pool, 1, 1);
  parked(jobs[0]);
  after(NodeGone{node});
  EXPECT_EQ(scheduler.find_job(pool, 1)->state, JobView::State::queued);
}

TEST_F(ParkingStory, ASlotOfASlowClientsPoolServesOthers) {
  const auto jobs = submit(pool, 1, 20);
  after(PoolOpened{other_pool, {}, false});
  submit(other_pool, 1, 4);
  EXPECT_THAT(only<StopWorker>(parked(jobs[0])), SizeIs(1)) << "its share is one slot now";
}

TEST_F(ParkingStory, ANodeThatIsFullGetsNoMoreJobsOfThePool) {
  const auto jobs = submit(pool, 1, 20);
  const Commands full = after(ResultsFull{node, pool, true});
  EXPECT_THAT(only<Recall>(full), SizeIs(2)) << "what is not started may run elsewhere";
  for (const RunJob& job : jobs) {
    after(JobsRecalled{node, job.worker, {}});
    EXPECT_THAT(only<RunJob>(parked(job)), IsEmpty());
  }
  NodeJoined second{NodeId{2}, "host", {{0, "cpu", 0}}, {}, {}};
  const Commands joined = after(std::move(second));
  ASSERT_THAT(only<StartWorker>(joined), SizeIs(1));
  const auto elsewhere = only<RunJob>(after(WorkerReady{NodeId{2}, only<StartWorker>(joined)[0].worker, 5}));
  ASSERT_THAT(elsewhere, SizeIs(1));
  EXPECT_EQ(elsewhere[0].node, NodeId{2});
  EXPECT_THAT(only<RunJob>(after(ResultsFull{node, pool, false})), SizeIs(2));
}

}  // namespace
}  // namespace dc::scheduler

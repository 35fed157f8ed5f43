// Results that wait at their node: the job has not ended for its client, and its worker has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/scheduler.hpp"

namespace dc::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr NodeId here{1};
constexpr PoolId slow{10}, other{11};

/// A node of two slots with a pool on both.
class ParkingStory : public testing::Test {
 protected:
  ParkingStory() {
    NodeJoined joined{here, "host", {{0, "cpu", 0}, {1, "cpu", 0}}, {}, {}};
    after(std::move(joined));
    open(slow);
  }
  template <class Event>
  Commands after(Event event) {
    Commands out;
    scheduler.on(std::move(event), now, out);
    scheduler.flush(now, out);
    scheduler.check_invariants();
    return out;
  }
  template <class Kind>
  static std::vector<Kind> only(const Commands& commands) {
    std::vector<Kind> found;
    for (const Command& command : commands) {
      if (const auto* kind = std::get_if<Kind>(&command)) found.push_back(*kind);
    }
    return found;
  }
  void make_ready(const Commands& commands) {
    for (const auto& start : only<StartWorker>(commands)) make_ready(after(WorkerReady{start.node, start.worker, 99}));
  }
  void open(PoolId id) { make_ready(after(PoolOpened{id, {}, false})); }
  std::vector<RunJob> submit(PoolId id, JobSequence first, JobSequence last) {
    JobsSubmitted event{id, {}};
    for (JobSequence i = first; i <= last; ++i) event.jobs.push_back({i, 0, {}});
    return only<RunJob>(after(std::move(event)));
  }
  static Attempt attempt(const RunJob& job) { return {job.sequence, job.token}; }
  Commands parked(const RunJob& job) { return after(ResultsParked{here, job.worker, job.pool, {attempt(job)}}); }

  TimePoint now{std::chrono::hours(1)};
  Scheduler scheduler{77, now};
};

TEST_F(ParkingStory, TheWorkerGoesOnAndTheJobEndsWhenItsResultComes) {
  const auto jobs = submit(slow, 1, 3);
  ASSERT_THAT(jobs, SizeIs(2));
  EXPECT_THAT(only<RunJob>(parked(jobs[0])), SizeIs(1)) << "the third";
  EXPECT_THAT(only<DeliverOutcome>(parked(jobs[0])), IsEmpty());
  const Commands exited = after(WorkerExited{here, jobs[0].worker, ExitCause::died, {}, {}, {}});
  for (const RunJob& again : only<RunJob>(exited)) EXPECT_NE(again.sequence, 1U) << "it has run";
  EXPECT_THAT(only<DeliverOutcome>(after(JobFinished{here, jobs[0].worker, slow, attempt(jobs[0]), 1s, {}})),
              SizeIs(1));
  EXPECT_THAT(only<AckResult>(after(OutcomesAcknowledged{slow, {1}})),
              ElementsAre(AckResult{here, slow, attempt(jobs[0])}));
}

TEST_F(ParkingStory, WhatNobodyAwaitsIsNotKept) {
  const auto jobs = submit(slow, 1, 1);
  after(JobFinished{here, jobs[0].worker, slow, attempt(jobs[0]), 1s, {}});
  EXPECT_THAT(only<AckResult>(parked(jobs[0])), IsEmpty()) << "its client does not have it";
  after(OutcomesAcknowledged{slow, {1}});
  EXPECT_THAT(only<AckResult>(parked(jobs[0])), ElementsAre(AckResult{here, slow, attempt(jobs[0])}));
}

TEST_F(ParkingStory, WhatWaitsOnALostNodeRunsAgain) {
  const auto jobs = submit(slow, 1, 1);
  parked(jobs[0]);
  after(NodeGone{here});
  EXPECT_EQ(scheduler.find_job(slow, 1)->state, JobView::State::queued);
}

TEST_F(ParkingStory, ASlotOfASlowClientsPoolServesOthers) {
  const auto jobs = submit(slow, 1, 20);
  after(PoolOpened{other, {}, false});
  submit(other, 1, 4);
  EXPECT_THAT(only<StopWorker>(parked(jobs[0])), SizeIs(1)) << "its share is one slot now";
}

TEST_F(ParkingStory, ANodeThatIsFullGetsNoMoreJobsOfThePool) {
  const auto jobs = submit(slow, 1, 20);
  const Commands full = after(ResultsFull{here, slow, true});
  EXPECT_THAT(only<Recall>(full), SizeIs(2)) << "what is not started may run elsewhere";
  for (const RunJob& job : jobs) {
    after(JobsRecalled{here, job.worker, {}});
    EXPECT_THAT(only<RunJob>(parked(job)), IsEmpty());
  }
  NodeJoined second{NodeId{2}, "host", {{0, "cpu", 0}}, {}, {}};
  const Commands joined = after(std::move(second));
  ASSERT_THAT(only<StartWorker>(joined), SizeIs(1));
  const auto elsewhere = only<RunJob>(after(WorkerReady{NodeId{2}, only<StartWorker>(joined)[0].worker, 5}));
  ASSERT_THAT(elsewhere, SizeIs(1));
  EXPECT_EQ(elsewhere[0].node, NodeId{2});
  EXPECT_THAT(only<RunJob>(after(ResultsFull{here, slow, false})), SizeIs(2));
}

}  // namespace
}  // namespace dc::scheduler

// When an idle worker's slot goes to another pool.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/limits.hpp"
#include "scheduler/scheduler.hpp"
#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

/// Of two pools, whichever has the smaller number.
class Lending : public Story, public testing::WithParamInterface<std::pair<PoolId, PoolId>> {};

TEST_P(Lending, AWorkerThatWasIdleBeforeTheOtherPoolWasThereIsLentInTimeToo) {
  const auto [first, second] = GetParam();
  after(joining(node, 1));
  open(first);
  const auto job = only<RunJob>(submit(first, 1, 1)).at(0);
  after(JobFinished{node, job.worker, first, attempt(job), 1s, {}});  // and nobody is there to lend it to
  now += 100ms;
  after(PoolOpened{second, {}, false});
  Commands last = submit(second, 1, 1);
  for (int i = 0; i < 20 && only<StopWorker>(last).empty(); ++i) {
    ASSERT_LE(scheduler.next_deadline(), t0 + 100ms + limits::lend_after) << "nobody would look again";
    last = wait(std::max<Duration>(0s, scheduler.next_deadline() - now));
  }
  EXPECT_EQ(only<StopWorker>(last).size(), 1U);
}

/// It would be ended in the middle of it.
TEST_P(Lending, AWorkerInAnUpdateIsNotLent) {
  const auto [first, second] = GetParam();
  after(joining(node, 1));
  open(first);
  const auto job = only<RunJob>(submit(first, 1, 1)).at(0);
  after(JobFinished{node, job.worker, first, attempt(job), 1s, {}});
  after(UpdateAdded{first, 1, Payload::copy(std::string_view("long"))});
  after(PoolOpened{second, {}, false});
  submit(second, 1, 1);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(only<StopWorker>(wait(limits::lend_after)).empty());
  std::size_t stopped = only<StopWorker>(after(UpdatesApplied{node, job.worker, 1, {}})).size();
  stopped += only<StopWorker>(wait(limits::lend_after)).size();
  EXPECT_EQ(stopped, 1U) << "it is, when it has it";
}

INSTANTIATE_TEST_SUITE_P(BothWays, Lending, testing::Values(std::pair(pool, other_pool), std::pair(other_pool, pool)));

}  // namespace
}  // namespace dc::scheduler

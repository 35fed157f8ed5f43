// Which attempt at a job it is, as the user's code counts: those that had begun.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

class Tries : public Story {
 protected:
  Commands ended(WorkerId worker, ExitCause cause, std::vector<Attempt> running) {
    return after(WorkerExited{node, worker, cause, {}, std::move(running), {}});
  }
  /// The jobs that the worker which takes the place of an ended one is given.
  std::vector<RunJob> then(const Commands& ended) {
    return only<RunJob>(after(WorkerReady{node, only<StartWorker>(ended).at(0).worker, 1}));
  }
};

TEST_F(Tries, AnAttemptCountsWhenItHadBegunHoweverItEnded) {
  after(joining(node, 1));
  PoolOptions options;
  options.max_retries = 9;
  options.retry_exceptions = true;
  open(pool, options);
  RunJob job = only<RunJob>(submit(pool, 1, 1)).at(0);
  EXPECT_EQ(job.tries, 1U);
  std::uint32_t tries = 1;
  for (const ExitCause cause :
       {ExitCause::died, ExitCause::job_timeout, ExitCause::out_of_memory, ExitCause::drained, ExitCause::requested}) {
    job = then(ended(job.worker, cause, {attempt(job)})).at(0);
    EXPECT_EQ(job.tries, ++tries);
  }
  Outcome raised;
  raised.error = ErrorInfo{};
  job = only<RunJob>(after(JobFinished{node, job.worker, pool, attempt(job), 1s, raised})).at(0);
  EXPECT_EQ(job.tries, ++tries);
  job = then(ended(job.worker, ExitCause::died, {})).at(0);
  EXPECT_EQ(job.tries, tries) << "it was in the worker's hands, and had not begun";
}

TEST_F(Tries, OneThatIsTakenBackDoesNotCount) {
  after(joining(node, 1));
  open(pool);
  const RunJob job = only<RunJob>(submit(pool, 1, 1)).at(0);
  ASSERT_EQ(only<Recall>(after(ResultsFull{node, pool, true})).size(), 1U);
  after(JobsRecalled{node, job.worker, {attempt(job)}});
  const auto again = only<RunJob>(after(ResultsFull{node, pool, false}));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].token.attempt, 2U);
  EXPECT_EQ(again[0].tries, 1U);
}

TEST_F(Tries, OneOnALostNodeMayHaveBegunAndCounts) {
  after(joining(node, 1));
  open(pool);
  submit(pool, 1, 1);
  make_ready(after(joining(other_node, 1)));
  after(NodeDisconnected{node});
  const auto again = only<RunJob>(wait(limits::node_return_grace + 1s));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].node, other_node);
  EXPECT_EQ(again[0].tries, 2U);
}

}  // namespace
}  // namespace dc::scheduler

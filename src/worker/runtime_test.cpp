// The worker runtime: what it does with jobs, updates and signals, and how it ends.
#include "worker/runtime_for_tests.hpp"

namespace dc::worker {
namespace {

using testing::ElementsAre;

TEST_F(RuntimeTest, JobsRunInOrderAndErrorsAreAnswers) {
  begin();
  EXPECT_TRUE(std::holds_alternative<wire::WorkerConstructed>(next()));
  send({job(0, "a"), job(1, "fail"), job(2, "b")});
  EXPECT_EQ(next_value(), "a");
  EXPECT_EQ(std::get<wire::WorkerError>(next()).error->message, "as asked");
  EXPECT_EQ(next_value(), "b");
}

TEST_F(RuntimeTest, AJobAfterWhichCudaIsDeadIsTheLast) {
  begin();
  next();
  send({job(0, "cuda"), job(1, "b")});
  EXPECT_EQ(std::get<wire::WorkerError>(next()).error->message, "as asked");
  EXPECT_EQ(exit_status(), 1);
  EXPECT_FALSE(claims_->started(1));
}

TEST_F(RuntimeTest, AJobThatWasTakenBackIsSkipped) {
  begin();
  next();
  for (std::uint64_t i = 0; i < 3; ++i) claims_->hand(i);
  ASSERT_TRUE(claims_->take_back(1));
  send({job(0, "a"), job(1, "b"), job(2, "c")});
  EXPECT_EQ(next_value(), "a");
  EXPECT_EQ(next_value(), "c");
  EXPECT_TRUE(claims_->started(2));
  EXPECT_FALSE(claims_->take_back(2));
}

TEST_F(RuntimeTest, AnUpdatePassesJobsThatWait) {
  begin();
  next();
  send({job(0, "slow"), job(1, "after")});
  while (!claims_->started(0)) std::this_thread::yield();
  send({wire::WorkerUpdate{1, Payload::copy(std::string_view("news"))}});
  claims_->update_sent.store(1);
  EXPECT_EQ(next_value(), "slow");
  EXPECT_EQ(std::get<wire::UpdateDone>(next()).number, 1U);
  EXPECT_EQ(next_value(), "after+news");
}

TEST_F(RuntimeTest, AnUpdateThatRaisedIsATypedErrorAndTheWorkerGoesOn) {
  begin();
  next();
  send({wire::WorkerUpdate{1, Payload::copy(std::string_view("bad"))},
        wire::WorkerUpdate{2, Payload::copy(std::string_view("good"))}, job(0, "x")});
  const auto done = std::get<wire::UpdateDone>(next());
  EXPECT_TRUE(done.failed);
  EXPECT_EQ(done.error->message,
            "handle_update raised for update 1 on here slot 0: KeyError: 'bad' (the exception itself, 65537 bytes "
            "pickled, was left out)");
  EXPECT_TRUE(done.exception.empty());
  EXPECT_FALSE(std::get<wire::UpdateDone>(next()).failed);
  EXPECT_EQ(next_value(), "x+good");
}

/// With a history of which the node has not sent all.
TEST_F(RuntimeTest, UpdatesAreAppliedAsTheyCome) {
  claims_->update_sent.store(2);
  send({wire::Begin{}, wire::WorkerUpdate{1, Payload::copy(std::string_view("a"))}});
  EXPECT_EQ(std::get<wire::UpdateDone>(next()).number, 1U);
  send({wire::WorkerUpdate{2, Payload::copy(std::string_view("b"))}, wire::HistoryEnd{}, job(0, "x")});
  EXPECT_EQ(std::get<wire::UpdateDone>(next()).number, 2U);
  EXPECT_TRUE(std::holds_alternative<wire::WorkerConstructed>(next()));
  EXPECT_EQ(next_value(), "x+a+b");
}

TEST_F(RuntimeTest, AResultDoesNotWaitForTheLongJobBehindIt) {
  begin();
  next();
  send({job(0, "quick"), job(1, "slow")});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(next_value(), "quick");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(400));
  EXPECT_EQ(next_value(), "slow");
}

TEST_F(RuntimeTest, ManyJobsAndLargePayloads) {
  begin();
  next();
  std::vector<wire::ToWorker> jobs;
  for (std::uint64_t i = 0; i < 1000; ++i) jobs.push_back(job(i, std::to_string(i)));
  send(std::move(jobs));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(next_value(), std::to_string(i));
  const std::string large(3 << 20, 'x');
  send({job(1000, large)});
  EXPECT_EQ(next_value(), large);
}

TEST_F(RuntimeTest, AConstructorThatFailsEndsTheProcess) {
  begin("broken");
  EXPECT_EQ(std::get<wire::ConstructionFailed>(next()).error->message, "cannot be built");
  int status = 0;
  ASSERT_EQ(::waitpid(child_, &status, 0), child_);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST_F(RuntimeTest, StopEndsInOrder) {
  begin();
  next();
  send({job(0, "last"), wire::Stop{}});
  EXPECT_EQ(exit_status(), 0);
  EXPECT_EQ(heard(), "C");
}

TEST_F(RuntimeTest, AStopBehindSigtermSaysSo) {
  begin();
  next();
  send({wire::Stop{1}});
  EXPECT_EQ(exit_status(), 0);
  EXPECT_EQ(heard(), "T");
}

TEST_F(RuntimeTest, ACopyThatComesOutOfRunEndsAndSaysNothing) {
  begin();
  next();
  send({job(0, "fork"), job(1, "b")});
  EXPECT_EQ(next_value(), "0");
  EXPECT_EQ(next_value(), "b");
}

TEST_F(RuntimeTest, ASignalIsAttendedToWhileNothingRunsAndMayEndTheWorker) {
  begin();
  next();
  send({job(0, "a")});
  EXPECT_EQ(next_value(), "a");
  EXPECT_EQ(exit_code([&] { ::kill(child_, SIGUSR1); }), 5);  // the second one ends it, and more do no harm
  EXPECT_EQ(heard(), "T");
}

TEST_F(RuntimeTest, ASignalThatComesJustBeforeTheWaitEndsItToo) {
  begin();
  next();
  send({job(0, "signal")});
  EXPECT_EQ(next_value(), "signal");
  EXPECT_EQ(exit_code([] {}), 5);
}

}  // namespace
}  // namespace dc::worker

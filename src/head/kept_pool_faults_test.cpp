// Named pools when things go wrong at the wrong moment. The simulator found each of these.
#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class NamedFaults : public NamedStory {
 protected:
  static constexpr SessionId other{5};
  static constexpr std::uint64_t other_id = 300;

  void open_with_failing_class() {
    node_says();
    hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
    keep();
    const auto started = told<wire::StartWorker>(node);
    hear(client, wire::SubmitJobs{pool, {{1, 0, bytes("x")}}});
    keep();
    ErrorInfo error;
    error.kind = ErrorKind::worker_init_error;
    error.message = "no data";
    ASSERT_THAT(started, SizeIs(1));
    hear(node, wire::WorkerExited{started[0].worker, ExitCause::init_failed, error, {}, {}});
    collect();
    ASSERT_TRUE(has_failed());
  }
  bool has_failed() {
    return std::any_of(waiting.begin(), waiting.end(), [](const JournalWrite& append) {
      return std::holds_alternative<PoolBroke>(decode(store::Entry(append.entry)).value());
    });
  }
  void other_takes_it() {
    join(other, wire::Role::client, other_id);
    hear(other, wire::OpenPool{pool, {}, false, {}, "sweep", true, true});
    collect();
  }
};

TEST_F(NamedFaults, AFailureIsNoOutcomeBeforeItIsKept) {
  open_with_failing_class();
  other_takes_it();
  hear(other, wire::WantOutcomes{pool, 9, false});
  EXPECT_THAT(told<wire::JobError>(other), IsEmpty()) << "a new head would run the job";
  keep();
  ASSERT_THAT(told<wire::JobError>(other), SizeIs(1));
  EXPECT_EQ(told<wire::JobError>(other)[0].sequence, 1);
}

TEST_F(NamedFaults, AnUpdateOfAPoolThatHasFailedEndsItsClient) {
  open_with_failing_class();
  other_takes_it();
  keep();
  hear(other, wire::AddUpdate{pool, 1, bytes("u")});
  EXPECT_THAT(told<wire::PoolFailed>(other), SizeIs(1)) << "it waits for an answer before it leaves";
}

TEST_F(NamedFaults, AfterABreakOnlyUpdatesThatAreKeptCount) {
  open_named();
  hear(client, wire::AddUpdate{pool, 1, bytes("u")});
  collect();
  lose(client);
  join(client, wire::Role::client, client_id);
  hear(client, wire::ResumePool{pool, {}, "sweep", 1});
  ASSERT_THAT(told<wire::PoolKnown>(client), SizeIs(1));
  EXPECT_EQ(told<wire::PoolKnown>(client)[0].updates, 0);
  hear(client, wire::AddUpdate{pool, 1, bytes("u")});
  keep();
  ASSERT_THAT(told<wire::UpdateAccepted>(client), SizeIs(1));
  EXPECT_EQ(told<wire::UpdateAccepted>(client)[0].number, 1);
}

TEST_F(NamedFaults, AJobThatCameBeforeItsUpdateIsTakenAfterIt) {
  open_named();
  hear(client, wire::SubmitJobs{pool, {{1, 1, bytes("x")}}});
  collect();
  EXPECT_THAT(waiting, IsEmpty()) << "without its update it could never run, and the update may be lost";
  hear(client, wire::AddUpdate{pool, 1, bytes("u")});
  collect();
  ASSERT_THAT(waiting, SizeIs(2));
  EXPECT_TRUE(std::holds_alternative<UpdateCame>(decode(store::Entry(waiting[0].entry)).value()));
  EXPECT_TRUE(std::holds_alternative<JobsTaken>(decode(store::Entry(waiting[1].entry)).value()));
}

TEST_F(NamedFaults, ItIsClosedForGoodAfterABreakToo) {
  open_named();
  lose(client);
  join(other, wire::Role::client, other_id);
  hear(other, wire::ClosePool{pool});
  collect();
  EXPECT_THAT(removals, IsEmpty()) << "it is not that client's";
  join(client, wire::Role::client, client_id);
  hear(client, wire::ClosePool{pool});
  EXPECT_THAT(told<wire::PoolClosed>(client), IsEmpty());
  keep_all();
  EXPECT_THAT(told<wire::PoolClosed>(client), SizeIs(1));
  EXPECT_THAT(journal, IsEmpty());
}

TEST_F(NamedFaults, WhoTakesItWaitsForTheJobsOfItsForerunner) {
  open_named();
  submit(1, 2);
  collect();
  other_takes_it();
  EXPECT_THAT(told<wire::PoolFailed>(client), SizeIs(1));
  EXPECT_THAT(told<wire::PoolOpened>(other), IsEmpty()) << "nobody knows yet how many outcomes there will be";
  keep();
  ASSERT_THAT(told<wire::PoolOpened>(other), SizeIs(1));
  EXPECT_EQ(told<wire::PoolOpened>(other)[0].remaining, 2);
  EXPECT_EQ(told<wire::PoolOpened>(other)[0].last_sequence, 2);
  EXPECT_THAT(told<wire::JobsAccepted>(other), IsEmpty()) << "they are not its own";
}

TEST_F(NamedFaults, TheNumberOfAJobThatWasRefusedIsNotUsedAgain) {
  open_named();
  submit(1, 1);
  keep("the disk is full");
  ASSERT_THAT(told<wire::JobsRefused>(client), SizeIs(1));
  other_takes_it();
  ASSERT_THAT(told<wire::PoolOpened>(other), SizeIs(1));
  EXPECT_EQ(told<wire::PoolOpened>(other)[0].last_sequence, 1);
}

TEST_F(NamedFaults, ANewHeadDoesNotListenToAClientThatWasRobbed) {
  open_named();
  submit_and_keep(1, 1);
  other_takes_it();
  hear(other, wire::SubmitJobs{pool, {{2, 0, bytes("x")}}});
  keep_all();
  restart();
  // It has sent a second job, too, and would take the other one's for it.
  hear(client, wire::ResumePool{pool, {2}, "sweep", 1});
  EXPECT_THAT(told<wire::PoolFailed>(client), SizeIs(1));
  EXPECT_THAT(told<wire::JobsAccepted>(client), IsEmpty());
  join(other, wire::Role::client, other_id);
  hear(other, wire::ResumePool{pool, {2}, "sweep", 2});
  ASSERT_THAT(told<wire::JobsAccepted>(other), SizeIs(1));
  EXPECT_THAT(told<wire::JobsAccepted>(other)[0].sequences, ElementsAre(2));
}

TEST_F(NamedFaults, WhatTheStoreSaysOfAnEarlierPoolIsNotSaidOfTheNext) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 1);
  finish(worker, 1, "y");
  keep_all();
  hear(client, wire::AckOutcomes{pool, {1}});
  collect();
  hear(client, wire::ClosePool{pool});
  collect();
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = std::string(64, 'b');
  hear(client, wire::OpenPool{pool, options, false, bytes("spec"), "sweep", false, false});
  EXPECT_THAT(told<wire::NeedProgram>(client), SizeIs(1));
  keep_all();
  EXPECT_THAT(told<wire::PoolClosed>(client), SizeIs(1));
  EXPECT_THAT(told<wire::AcksKept>(client), IsEmpty());
}

TEST_F(NamedFaults, WhatANodeHasOfAnEarlierPoolIsNotTakenForTheNext) {
  node_says();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  keep();
  const PoolId earlier = told<wire::OpenPoolHere>(node).at(0).pool;
  const WorkerId worker = told<wire::StartWorker>(node).at(0).worker;
  hear(node, wire::WorkerReady{worker, 99});
  submit_and_keep(1, 1);
  lose(node);
  hear(client, wire::ClosePool{pool});
  keep_all();
  hear(client, wire::OpenPool{pool, {}, false, bytes("another class"), "sweep", false, false});
  keep();
  EXPECT_THAT(told<wire::PoolOpened>(client), SizeIs(1));
  submit_and_keep(1, 1);

  join(node, wire::Role::node, node_id);
  const Attempt done{1, {77, 1}};
  hear(node, wire::NodeState{{{0, "cpu", 0}}, {{earlier, 0, {done}}}, {{worker, earlier, 0, true, 99, 0, {}}}, {}});
  ASSERT_THAT(told<wire::ClosePoolHere>(node), SizeIs(1));
  EXPECT_EQ(told<wire::ClosePoolHere>(node)[0].pool, earlier);
  hear(node, wire::JobsDone{worker, earlier, {{done, 1000, bytes("of the earlier class")}}});
  collect();
  EXPECT_THAT(waiting, IsEmpty()) << "it is no outcome of the new pool's first job";
  EXPECT_THAT(told<wire::RunJobs>(node), IsEmpty()) << "nor is that worker one of its own";
}

}  // namespace
}  // namespace dc::head

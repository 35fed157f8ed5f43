// Named pools: what is kept before it is said, who may have the pool, what comes again, and what a new head knows.
#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(NamedStory, NothingIsSaidBeforeItIsKept) {
  node_says();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  EXPECT_THAT(told<wire::PoolOpened>(client), IsEmpty());
  EXPECT_THAT(told<wire::StartWorker>(node), IsEmpty());
  keep();
  EXPECT_THAT(told<wire::PoolOpened>(client), SizeIs(1));
  const WorkerId worker = told<wire::StartWorker>(node).at(0).worker;
  hear(node, wire::WorkerReady{worker, 99});

  submit(1, 2);
  EXPECT_THAT(told<wire::RunJobs>(node), IsEmpty());
  collect();
  keep();
  EXPECT_THAT(told<wire::JobsAccepted>(client).at(0).sequences, ElementsAre(1, 2));
  EXPECT_THAT(told<wire::RunJobs>(node), SizeIs(1));

  finish(worker, 1, "one");
  EXPECT_THAT(values(client), IsEmpty());
  EXPECT_THAT(told<wire::AckResults>(node), IsEmpty()) << "the node keeps it until the journal has it";
  keep();
  EXPECT_THAT(values(client), ElementsAre("1=one"));
  EXPECT_THAT(told<wire::AckResults>(node), SizeIs(1));

  hear(client, wire::AckOutcomes{pool, {1}});
  EXPECT_THAT(told<wire::AcksKept>(client), IsEmpty());
  keep();
  EXPECT_THAT(told<wire::AcksKept>(client).at(0).sequences, ElementsAre(1));

  hear(client, wire::AddUpdate{pool, 1, bytes("u")});
  EXPECT_THAT(told<wire::PoolUpdate>(node), IsEmpty());
  keep();
  EXPECT_THAT(told<wire::PoolUpdate>(node), SizeIs(1));
  EXPECT_THAT(told<wire::UpdateAccepted>(client), SizeIs(1));
  machine.check_invariants();
}

TEST_F(NamedStory, WhatTheStoreRefusesIsRefused) {
  node_says();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  keep("the disk is full");
  const auto failed = told<wire::PoolFailed>(client);
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].error.kind, ErrorKind::not_stored);
  EXPECT_EQ(failed[0].error.message, "pool 'sweep' was not opened: the disk is full");
  EXPECT_EQ(machine.what_is_left(), "");

  const WorkerId worker = open_named();
  submit(1, 2);
  keep("the disk is full");
  const auto refused = told<wire::JobsRefused>(client);
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_THAT(refused[0].sequences, ElementsAre(1, 2));
  EXPECT_EQ(refused[0].error.message, "a job of pool 'sweep' was not accepted: the disk is full");
  submit_and_keep(3, 3);
  finish(worker, 3, "three");
  keep("the disk is full");
  EXPECT_THAT(values(client), ElementsAre("3=three")) << "outcomes cannot be refused";
}

TEST_F(NamedStory, AnotherClientGoesOnWithIt) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 3);
  finish(worker, 1, "one");
  keep();
  EXPECT_THAT(values(client), ElementsAre("1=one"));
  lose(client);
  finish(worker, 2, "two");
  keep_all();
  wait(120s);
  const SessionId other{7};
  join(other, wire::Role::client, 101);
  hear(other, wire::OpenPool{pool, {}, false, {}, "sweep", true, false});
  const auto opened = told<wire::PoolOpened>(other);
  ASSERT_THAT(opened, SizeIs(1));
  EXPECT_EQ(opened[0].last_sequence, 3);
  EXPECT_EQ(opened[0].remaining, 3) << "the first was sent to the client that is gone, and not acknowledged";
  EXPECT_THAT(values(other), IsEmpty()) << "it has not asked for them";
  hear(other, wire::WantOutcomes{pool, 1, true});
  EXPECT_THAT(values(other), ElementsAre("1=one"));
  hear(other, wire::WantOutcomes{pool, 5, true});
  EXPECT_THAT(values(other), ElementsAre("2=two"));
  finish(worker, 3, "three");
  keep();
  EXPECT_THAT(values(other), ElementsAre("3=three"));
  hear(other, wire::SubmitJobs{pool, {{4, 0, bytes("x"), {}}}});
  keep();
  finish(worker, 4, "four");
  keep();
  EXPECT_THAT(values(other), ElementsAre("4=four")) << "its own needs no leave";
  lose(other);
  join(other, wire::Role::client, 101);
  hear(other, wire::ResumePool{pool, {}, "sweep", 4, {1, 2, 3, 4}});
  const auto known = told<wire::PoolKnown>(other);
  ASSERT_THAT(known, SizeIs(1));
  EXPECT_THAT(known[0].earlier, ElementsAre(1, 3)) << "whatever it says to have";
}

TEST_F(NamedStory, WhatItsScriptDefinesCanBeSeen) {
  const SessionId viewer{9}, other{7};
  join(viewer, wire::Role::viewer, 109);
  open_named();
  const std::string later = std::string(definitions_mark) + "later", last = std::string(definitions_mark) + "last";
  hear(client, wire::AddUpdate{pool, 1, bytes(later)});
  collect();
  hear(client, wire::AddUpdate{pool, 2, bytes("the user's")});
  collect();
  hear(client, wire::AddUpdate{pool, 3, bytes(last)});
  collect();
  const auto see = [&](const char* of, std::uint64_t bytes, std::uint64_t after) {
    hear(viewer, wire::SeeDefinitions{of, bytes, after});
    return told<wire::DefinitionsSeen>(viewer).at(0);
  };
  EXPECT_THAT(see("sweep", 100, 0).updates, IsEmpty()) << "they are not in the journal so far";
  keep_all();
  for (const bool after_a_restart : {false, true}) {
    if (after_a_restart) {
      restart();
      join(viewer, wire::Role::viewer, 109);
    }
    const auto all = see("sweep", 2, 0);
    EXPECT_TRUE(all.known);
    EXPECT_FALSE(all.more);
    EXPECT_EQ(all.spec.view(), "sp");
    EXPECT_THAT(all.updates, ElementsAre(bytes(later), bytes(last)));
    EXPECT_THAT(see("sweep", 2, 1).updates, ElementsAre(bytes(last)));
    EXPECT_THAT(see("sweep", 2, 7).updates, IsEmpty());
    EXPECT_FALSE(see("other", 2, 0).known);
  }
  join(other, wire::Role::client, 101);
  hear(other, wire::OpenPool{pool, {}, false, bytes("other spec"), "sweep", false, true});
  EXPECT_TRUE(told<wire::PoolOpened>(other).at(0).existed);
}

TEST_F(NamedStory, InOrderOrAsTheyCome) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 3);
  lose(client);
  // The second one is lost with an exception that is no value, but an outcome all the same.
  finish(worker, 1, "one");
  keep_all();
  const SessionId other{7};
  join(other, wire::Role::client, 101);
  hear(other, wire::OpenPool{pool, {}, false, {}, "sweep", true, true});
  hear(other, wire::WantOutcomes{pool, 10, true});
  EXPECT_THAT(values(other), ElementsAre("1=one"));
  ErrorInfo error;
  error.message = "boom";
  hear(node, wire::JobFailed{worker, pool, {2, {77, 1}}, 10, error, {}});
  keep_all();
  EXPECT_THAT(told<wire::JobError>(other), SizeIs(1));
  hear(other, wire::ClosePool{pool, true});
  EXPECT_THAT(told<wire::PoolClosed>(other), IsEmpty()) << "what it may have acknowledged is not in the journal";
  keep();
  EXPECT_THAT(told<wire::PoolClosed>(other), SizeIs(1));
  finish(worker, 3, "three");
  keep_all();
  join(client, wire::Role::client, client_id);
  hear(client, wire::OpenPool{pool, {}, false, {}, "sweep", true, false});
  hear(client, wire::WantOutcomes{pool, 1, false});
  EXPECT_THAT(values(client), ElementsAre("1=one"));
  hear(client, wire::AckOutcomes{pool, {1}});
  keep();
  EXPECT_THAT(told<wire::AcksKept>(client).at(0).sequences, ElementsAre(1));
  hear(client, wire::WantOutcomes{pool, 9, false});
  EXPECT_THAT(values(client), ElementsAre("3=three"));
}

TEST_F(NamedStory, OneClientAtATime) {
  open_named();
  const SessionId other{7};
  join(other, wire::Role::client, 101);
  hear(other, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  const auto failed = told<wire::PoolFailed>(other);
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].error.kind, ErrorKind::pool_busy);
  EXPECT_THAT(failed[0].error.message, HasSubstr("in the hands of here (pid 4711)"));
  hear(other, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, true});
  EXPECT_THAT(told<wire::PoolOpened>(other), SizeIs(1));
  EXPECT_THAT(told<wire::PoolFailed>(client).at(0).error.message, HasSubstr("taken over by here"));
  submit(1, 1);
  EXPECT_THAT(waiting, IsEmpty()) << "it has lost the pool";
  lose(client);
  join(client, wire::Role::client, client_id);
  hear(client, wire::ResumePool{pool, {}, "sweep", 1});
  EXPECT_THAT(told<wire::PoolFailed>(client).at(0).error.message, HasSubstr("taken over"));
}

TEST_F(NamedStory, NobodyHasThatName) {
  hear(client, wire::OpenPool{pool, {}, false, {}, "sweep", true, false});
  EXPECT_EQ(told<wire::PoolFailed>(client).at(0).error.kind, ErrorKind::pool_not_found);
  hear(client, wire::ResumePool{pool, {}, "sweep", 1});
  EXPECT_FALSE(told<wire::PoolKnown>(client).at(0).known);
}

TEST_F(NamedStory, ABreakLosesAndRepeatsNothing) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 3);
  finish(worker, 1, "one");
  keep();
  hear(client, wire::AckOutcomes{pool, {1}});
  keep();  // the answer is lost
  finish(worker, 2, "two");
  keep();
  submit(4, 4);
  collect();
  lose(client);
  join(client, wire::Role::client, client_id);
  hear(client, wire::ResumePool{pool, {4, 5}, "sweep", 1, {1, 2}});
  const auto known = told<wire::PoolKnown>(client);
  ASSERT_THAT(known, SizeIs(1));
  EXPECT_THAT(known[0].missing, ElementsAre(5)) << "the fourth is on its way to the journal";
  EXPECT_EQ(known[0].last_sequence, 4);
  EXPECT_THAT(known[0].earlier, IsEmpty()) << "all are its own";
  EXPECT_THAT(told<wire::AcksKept>(client).at(0).sequences, ElementsAre(1));
  EXPECT_THAT(values(client), IsEmpty()) << "it has the second one";
  collect();
  keep();
  EXPECT_THAT(told<wire::JobsAccepted>(client).at(0).sequences, ElementsAre(4));
}

TEST_F(NamedStory, ANewHeadKnowsItAndAdoptsWhatRuns) {
  const WorkerId worker = open_named();
  hear(client, wire::AddUpdate{pool, 1, bytes("u")});
  keep();
  submit_and_keep(1, 3);
  finish(worker, 1, "one");
  keep();
  hear(client, wire::AckOutcomes{pool, {1}});
  keep();
  finish(worker, 2, "two");
  keep();
  restart();
  machine.check_invariants();
  node_says({{worker, pool, 0, true, 99, 1, {{3, {77, 1}}}}}, {{pool, 1, {}}});
  wait(5s);
  EXPECT_THAT(told<wire::RunJobs>(node), IsEmpty()) << "the third runs already";
  hear(client, wire::ResumePool{pool, {}, "sweep", 1});
  EXPECT_EQ(told<wire::PoolKnown>(client).at(0).updates, 1);
  EXPECT_THAT(values(client), ElementsAre("2=two"));
  lose(client);
  join(client, wire::Role::client, client_id);
  hear(client, wire::ResumePool{pool, {}, "sweep", 2});
  EXPECT_THAT(values(client), ElementsAre("2=two"));
  finish(worker, 3, "three");
  keep();
  EXPECT_THAT(values(client), ElementsAre("3=three"));
}

TEST_F(NamedStory, AKeyIsDoneOnce) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 2, "k");
  EXPECT_THAT(told<wire::RunJobs>(node).at(0).items, SizeIs(1)) << "the second waits for the first";
  finish(worker, 1, "one");
  keep_all();
  EXPECT_THAT(values(client), testing::UnorderedElementsAre("1=one", "2=one"));
  submit_and_keep(3, 3, "k");
  EXPECT_THAT(told<wire::RunJobs>(node), IsEmpty());
  keep_all();
  EXPECT_THAT(values(client), ElementsAre("3=one"));
  hear(client, wire::AckOutcomes{pool, {1, 2, 3}});
  keep_all();
  restart();
  node_says();
  hear(client, wire::OpenPool{pool, {}, false, {}, "sweep", false, false});
  submit_and_keep(4, 4, "k");
  keep_all();
  EXPECT_THAT(values(client), ElementsAre("4=one")) << "a new head knows it";
}

TEST_F(NamedStory, AKeyWhoseJobFailsIsTriedByTheNext) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 2, "k");
  ErrorInfo error;
  error.message = "boom";
  hear(node, wire::JobFailed{worker, pool, {1, {77, 1}}, 10, error, {}});
  EXPECT_THAT(told<wire::RunJobs>(node).at(0).items.at(0).attempt.sequence, 2);
  finish(worker, 2, "two");
  keep_all();
  EXPECT_THAT(values(client), ElementsAre("2=two"));
}

TEST_F(NamedStory, ClosedForGood) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 1);
  hear(client, wire::ClosePool{pool});
  EXPECT_THAT(told<wire::PoolClosed>(client), IsEmpty());
  EXPECT_THAT(told<wire::ClosePoolHere>(node), SizeIs(1));
  collect();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  keep_all();
  EXPECT_THAT(told<wire::PoolClosed>(client), SizeIs(1));
  const auto opened = told<wire::PoolOpened>(client);
  ASSERT_THAT(opened, SizeIs(1));
  EXPECT_EQ(opened[0].last_sequence, 0) << "a new pool of the same name";
  (void)worker;
}

TEST_F(NamedStory, AWeightThatWasAllowedOnceIsBroughtIntoRange) {
  for (const auto& [stored, now_it_is] : {std::pair{1e9, "100.0"}, std::pair{1e-9, "0.01"}, std::pair{7.0, "7.0"}}) {
    PoolOptions options;
    options.weight = stored;
    journal[1] = encode(PoolBorn{1, "sweep", options, bytes("spec"), {}, 0, PoolId{7}});
    restart();
    EXPECT_THAT(machine.status_json(now), testing::HasSubstr(fmt::format("\"weight\":{}", now_it_is)));
  }
}

TEST_F(NamedStory, AFailureIsKeptForWhoComesLater) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 2);
  finish(worker, 1, "one");
  keep_all();
  lose(client);
  PoolOptions options;
  ErrorInfo error;
  error.kind = ErrorKind::worker_init_error;
  error.message = "no data";
  hear(node, wire::WorkerExited{worker, ExitCause::init_failed, error, {}, {}});
  keep_all();
  for (int i = 0; i < 40; ++i) {
    wait(1s);
    const auto started = told<wire::StartWorker>(node);
    if (started.empty()) continue;
    hear(node, wire::WorkerExited{started[0].worker, ExitCause::init_failed, error, {}, {}});
    keep_all();
  }
  const auto goes_on = [&] {
    join(client, wire::Role::client, client_id);
    hear(client, wire::OpenPool{pool, {}, false, {}, "sweep", false, false});
    ASSERT_THAT(told<wire::PoolOpened>(client), SizeIs(1));
    hear(client, wire::WantOutcomes{pool, 9, false});
  };
  goes_on();
  EXPECT_THAT(values(client), ElementsAre("1=one"));
  if (told<wire::JobError>(client).empty()) GTEST_SKIP() << "the worker was ready once: its slot is tried for ever";
  restart();
  goes_on();
  EXPECT_THAT(told<wire::JobError>(client), SizeIs(1));
}

TEST_F(NamedStory, TheHeadMakesItsId) {
  open_named();
  const PoolId first = pool;
  EXPECT_NE(first, asked) << "whatever the client asks by";
  hear(client, wire::OpenPool{asked, {}, false, bytes("spec"), "other", false, false});
  keep_all();
  EXPECT_NE(pool, first);
  EXPECT_EQ(told<wire::PoolOpened>(client).at(0).pool, asked);
  EXPECT_EQ(told<wire::PoolOpened>(client).at(0).id, pool);
  hear(client, wire::OpenPool{first, {}, false, {}});
  EXPECT_THAT(text_of(effects).back(), HasSubstr("OpenPool of another client's pool"));
}

TEST_F(NamedStory, ItsClientMayCloseItBeforeItIsOpen) {
  node_says();
  hear(client, wire::OpenPool{asked, {}, false, bytes("spec"), "sweep", false, false});
  hear(client, wire::ClosePool{asked, false, "sweep"});
  keep_all();
  ASSERT_THAT(told<wire::PoolClosed>(client), SizeIs(1));
  EXPECT_EQ(told<wire::PoolClosed>(client)[0].pool, asked);
  EXPECT_EQ(machine.what_is_left(), "");
}

}  // namespace
}  // namespace dc::head

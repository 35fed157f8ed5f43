// The client machine alone: what goes to the head, what reaches the user, over breaks and restarts of the head.
#include "client/machine_story_for_tests.hpp"

#define SAYS_WAITING(TEXT) ElementsAre("waiting for workers: the head at head:8899 has " TEXT)

namespace dc::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ClientMachine, NothingOfThePoolIsSentBeforeItIsOpen) {
  Client client;
  client.submit(1, "a");
  client.machine.update(1, Payload::copy("u"));
  client.machine.want_workers(2);
  client.look();
  EXPECT_THAT(client.sent, IsEmpty());
  client.machine.session_opened(no_limit, t0), client.look();
  EXPECT_THAT(client.sent, ElementsAre("OpenPool new @pool"));
  client.machine.receive(wire::PoolOpened{pool, pool});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AddUpdate 1=u @pool", "WantWorkers 2", "SubmitJobs 1"));
  EXPECT_THAT(client.reports, ElementsAre("open"));
}

/// Else the head would keep them for this pool for ever.
TEST(ClientMachine, WorkersThatAreThereAreNotWantedAnyMore) {
  Client client;
  client.open();
  client.machine.want_workers(2);
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("WantWorkers 2"));
  client.machine.receive(wire::PoolState{pool, 1, 0, 1, 2, 2});
  client.look();
  EXPECT_THAT(client.sent, IsEmpty());
  client.machine.receive(wire::PoolState{pool, 2, 0, 1, 2, 2});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("WantWorkers 0"));
}

TEST(ClientMachine, OutcomesOfATurnAreDeliveredPerStreamAndAcknowledgedTogether) {
  Client client;
  client.open();
  client.submit(1, "a");
  client.submit(2, "b", 3);
  client.submit(1, "c");
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 1 2/3 3"));
  client.value(3, "C");
  client.value(1, "A");
  client.machine.receive(wire::JobError{pool, 2, ErrorInfo::of(ErrorKind::job_error, "boom"), {}});
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre("1:3=C", "1:1=A", "2:2=!boom"));
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [3,1,2]"));
}

TEST(ClientMachine, MessagesOfAnotherPoolAreIgnored) {
  Client client;
  client.open();
  client.submit(1, "a");
  client.look();
  client.machine.receive(wire::JobValues{PoolId{1}, {{1, {}}}});
  client.look();
  EXPECT_THAT(client.delivered, IsEmpty());
  EXPECT_THAT(client.sent, IsEmpty());
}

TEST(ClientMachine, TheWindowCountsJobs) {
  Client client;
  client.open();
  for (std::size_t i = 0; i < limits::submit_window_jobs + 10; ++i) client.submit(1, "");
  Effects effects = client.machine.take_effects(t0);
  std::size_t jobs = 0;
  for (const auto& out : effects.sends) jobs += std::get<wire::SubmitJobs>(out.message).jobs.size();
  EXPECT_EQ(jobs, limits::submit_window_jobs);
  client.value(5, "x");
  client.look();
  const std::string next = "SubmitJobs " + std::to_string(limits::submit_window_jobs + 1);
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [5]", next));
}

TEST(ClientMachine, TheWindowCountsBytesButLetsOneJobThrough) {
  Client client;
  client.open();
  client.submit(1, std::string(limits::submit_window_bytes + 1, 'x'));
  client.submit(1, "b");
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 1 @own"));
  client.value(1, "");
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [1]", "SubmitJobs 2"));
}

TEST(ClientMachine, SmallJobsAreSplitIntoMessagesThatFitAFrame) {
  Client client;
  client.open();
  for (int i = 0; i < 9; ++i) client.submit(1, std::string(limits::inline_payload_max, 'x'));
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 1 2 3 4", "SubmitJobs 5 6 7 8", "SubmitJobs 9"));
}

TEST(ClientMachine, ANewSessionBeforeThePoolWasOpenOpensItAgain) {
  Client client;
  client.machine.session_opened(no_limit, t0);
  client.lose_and_find_head();
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("OpenPool new @pool", "OpenPool new @pool"));
  EXPECT_THAT(client.reports, IsEmpty());
}

TEST(ClientMachine, AHeadThatKnowsThePoolGetsOnlyWhatItLacks) {
  Client client;
  client.open();
  client.machine.update(1, Payload::copy("u"));
  client.submit(1, "a", 1), client.submit(1, "b", 1), client.submit(1, "c", 1);
  client.look();
  client.value(1, "A");
  client.look();
  client.lose_and_find_head();
  client.machine.update(2, Payload::copy("v"));
  client.submit(1, "d", 2);
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("ResumePool [2,3]"));
  client.machine.receive(wire::PoolKnown{pool, true, 1, {3}});
  client.look();
  EXPECT_THAT(client.sent,
              ElementsAre("AddUpdate 2=v @pool", "SubmitJobs 3/1 @pool", "PoolResumed @pool", "SubmitJobs 4/2"));
  EXPECT_THAT(client.reports, ElementsAre("accepted 1"));
}

TEST(ClientMachine, ARestartedHeadGetsEverythingInOneLane) {
  Client client;
  client.open();
  client.machine.want_workers(2);
  client.machine.update(1, Payload::copy("u"));
  client.submit(1, "a", 1);
  client.submit(1, std::string(limits::inline_payload_max + 1, 'x'), 1);
  client.submit(1, "c", 1);
  client.look();
  client.lose_and_find_head();
  client.look();
  client.machine.receive(wire::PoolKnown{pool, false, 0, {}});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("OpenPool resumed @pool"));
  client.submit(1, "d", 1);
  client.look();
  EXPECT_THAT(client.sent, IsEmpty());
  client.machine.receive(wire::PoolOpened{pool, pool});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AddUpdate 1=u @pool", "SubmitJobs 1/1 @pool", "SubmitJobs 2/1 @pool",
                                       "SubmitJobs 3/1 @pool", "PoolResumed @pool", "WantWorkers 2", "SubmitJobs 4/1"));
}

TEST(ClientMachine, WithoutHistoryAppliedUpdatesKeepTheirNumbersOnly) {
  ClientMachine::Config config;
  config.options.keep_updates_history = false;
  Client client(config);
  client.open();
  client.machine.update(1, Payload::copy("u"));
  client.machine.update(2, Payload::copy("v"));
  client.machine.receive(wire::UpdateAccepted{pool, 2});
  client.machine.receive(wire::UpdateApplied{pool, 1});
  const auto sent_to_a_new_head = [&] {
    client.lose_and_find_head();
    client.machine.receive(wire::PoolKnown{pool, false, 0, {}});
    client.look();
    client.machine.receive(wire::PoolOpened{pool, pool});
    client.look();
    return client.sent;
  };
  EXPECT_THAT(sent_to_a_new_head(),
              ElementsAre("AddUpdate 0= @pool", "AddUpdate 1=u @pool", "AddUpdate 2=v @pool", "PoolResumed @pool"))
      << "the first worker is to get it";
  client.machine.receive(wire::UpdateAccepted{pool, 2});
  client.machine.receive(wire::PoolState{pool, 1, 0, 1, 1, 1});
  EXPECT_THAT(sent_to_a_new_head(), ElementsAre("AddUpdate 1= @pool", "AddUpdate 2=v @pool", "PoolResumed @pool"));
}

/// The updates were on their way to a new head when the connection broke: it knows that none is no more, and waits for
/// them.
TEST(ClientMachine, WithoutHistoryAnUpdateKeepsItsBytesUntilTheHeadOfTheDayHasIt) {
  ClientMachine::Config config;
  config.options.keep_updates_history = false;
  Client client(config);
  client.open();
  client.machine.update(1, Payload::copy("u"));
  client.machine.receive(wire::UpdateAccepted{pool, 1});
  client.machine.receive(wire::UpdateApplied{pool, 1});
  client.lose_and_find_head();
  client.machine.receive(wire::PoolKnown{pool, false, 0, {}});
  client.machine.receive(wire::PoolOpened{pool, pool});
  client.machine.receive(wire::PoolState{pool, 1, 0, 1, 1, 1});
  client.lose_and_find_head();
  client.look();
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AddUpdate 0= @pool", "AddUpdate 1=u @pool", "PoolResumed @pool"));
}

TEST(ClientMachine, AnOutcomeThatComesTwiceIsAcknowledgedAgainAndDropped) {
  Client client;
  client.open();
  client.submit(1, "a");
  client.look();
  client.value(1, "A");
  client.look();
  client.value(1, "A");
  client.look();
  EXPECT_THAT(client.delivered, IsEmpty());
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [1]"));
}

TEST(ClientMachine, AnOutageIsToldOnceAndItsEndToo) {
  Client client;
  client.open();
  client.machine.session_closed("connection reset");
  client.look();
  EXPECT_THAT(client.reports, ElementsAre("connection reset; trying again"));
  client.machine.session_opened(no_limit, t0);
  client.look();
  EXPECT_THAT(client.reports, ElementsAre("connected to the head at head:8899 again"));
}

TEST(ClientMachine, ADroppedStreamSendsNothingMoreAndItsOutcomesVanish) {
  Client client;
  client.open();
  client.submit(1, "a");
  client.look();
  client.submit(1, "b");
  client.submit(2, "c");
  client.machine.drop_stream(1);
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 3"));
  client.value(1, "A");
  client.look();
  EXPECT_THAT(client.delivered, IsEmpty());
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [1]"));
}

TEST(ClientMachine, AfterABreakDroppedJobsAreNotAskedFor) {
  Client client;
  client.open();
  client.submit(1, "a"), client.submit(2, "b");
  client.look();
  client.machine.drop_stream(1);
  client.lose_and_find_head();
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("ResumePool [2]"));
}

TEST(ClientMachine, APoolThatFailedEndsEveryJobWithTheError) {
  Client client;
  client.open();
  client.submit(1, "a");
  client.look();
  client.submit(1, "b");
  client.machine.receive(wire::PoolFailed{pool, ErrorInfo::of(ErrorKind::worker_init_error, "no")});
  client.submit(2, "c");
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre("1:1=!no", "1:2=!no", "2:3=!no"));
  EXPECT_THAT(client.reports, ElementsAre("over: no"));
  EXPECT_THAT(client.sent, IsEmpty());
}

TEST(ClientMachine, ClosingEndsTheJobsAtOnceAndWaitsForTheHead) {
  Client client;
  client.open();
  client.submit(1, "a");
  client.look();
  client.machine.close(ErrorInfo::of(ErrorKind::pool_closed, "closed"));
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("ClosePool"));
  EXPECT_THAT(client.delivered, ElementsAre("1:1=!closed"));
  EXPECT_FALSE(client.machine.closed_at_head());
  client.machine.receive(wire::PoolClosed{pool});
  EXPECT_TRUE(client.machine.closed_at_head());
}

TEST(ClientMachine, TheProgramIsSentOnlyWhenTheHeadLacksIt) {
  ClientMachine::Config config;
  config.options.program_hash = "abc";
  config.program = Payload::copy("ELF");
  Client client(config);
  client.machine.session_opened(no_limit, t0);
  client.machine.receive(wire::NeedProgram{"xyz"});
  client.machine.receive(wire::NeedProgram{"abc"});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("OpenPool new @pool", "Program @pool"));
}

TEST(ClientMachine, AJobOverTheHeadsLimitFailsBeforeItIsSent) {
  Client client;
  client.submit(1, "123456");
  client.submit(1, "1");
  client.machine.session_opened(5, t0);
  client.machine.receive(wire::PoolOpened{pool, pool});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("OpenPool new @pool", "SubmitJobs 2"));
  EXPECT_THAT(client.delivered,
              ElementsAre("1:1=!a job's argument of 6 bytes is over the head's limit of 5 bytes (payload_bytes_max)"));
}

TEST(ClientMachine, UpdatesAreReportedAsTheyGetOn) {
  Client client;
  client.open();
  client.machine.update(1, Payload::copy("u"));
  client.machine.receive(wire::UpdateAccepted{pool, 1});
  client.machine.receive(wire::UpdateFailed{pool, 1, ErrorInfo::of(ErrorKind::job_error, "host slot 0: KeyError"), {}});
  client.machine.receive(wire::UpdateApplied{pool, 1});
  client.look();
  EXPECT_THAT(client.reports, ElementsAre("accepted 1", "raised 1: host slot 0: KeyError", "applied 1"));
}

TEST(ClientMachine, WaitingForWorkersIsToldAfterASecondAndWhenItChanges) {
  Client client;
  client.open();
  client.submit(1, "a");
  client.look(t0);
  EXPECT_EQ(client.machine.next_deadline(), t0 + 1s);
  client.look(t0 + 999ms);
  EXPECT_THAT(client.reports, IsEmpty());
  client.look(t0 + 1s);
  EXPECT_THAT(client.reports, SAYS_WAITING("no nodes; start_node on a machine adds one"));
  client.look(t0 + 9s);
  EXPECT_THAT(client.reports, IsEmpty());
  client.machine.receive(wire::PoolState{pool, 0, 0, 1, 2, 0});
  client.look(t0 + 10s);
  client.look(t0 + 11s);
  EXPECT_THAT(client.reports, SAYS_WAITING("1 node with 2 slots, none of them can run this pool"));
  client.machine.receive(wire::PoolState{pool, 1, 0, 1, 2, 2});
  client.look(t0 + 12s);
  EXPECT_EQ(client.machine.next_deadline(), never);
}

}  // namespace
}  // namespace dc::client

// The client machine with a named pool: what is kept until when, what is told after a break, how it is left.
#include "client/machine_story_for_tests.hpp"

namespace dc::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

ClientMachine::Config sweep() {
  ClientMachine::Config config;
  config.name = "sweep";
  return config;
}

struct NamedClient : Client {
  NamedClient() : Client(sweep()) {}
  void accept(std::vector<JobSequence> sequences) {
    machine.receive(wire::JobsAccepted{pool, std::move(sequences)});
    look();
  }
  /// `machine.session_closed` and a new session, up to what is sent first.
  void come_back() {
    lose_and_find_head();
    look();
  }
};

TEST(NamedMachine, OpensByNameAndGoesOnWithTheNumbersOfThePool) {
  ClientMachine::Config config = sweep();
  config.attach_only = config.steal = true;
  Client client(config);
  client.machine.session_opened(no_limit, t0);
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("OpenPool sweep attach steal @pool"));
  client.machine.receive(wire::PoolOpened{pool, pool, {}, 40, 2, 7});
  const Effects effects = client.machine.take_effects(t0);
  ASSERT_EQ(effects.reports.size(), 1U);
  EXPECT_EQ(std::get<PoolIsOpen>(effects.reports[0]), (PoolIsOpen{40, 2, 7, ""}));
  client.last = 40;
  client.submit(1, "a", 2);
  client.machine.update(3, Payload::copy("u"));
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AddUpdate 3=u @pool", "SubmitJobs 41/2"));
}

TEST(NamedMachine, APoolThatItCannotUseIsLeft) {
  Client client(sweep());
  client.machine.session_opened(no_limit, t0);
  PoolOptions options;
  options.language = Language::cpp;
  options.label = "Trainer";
  client.machine.receive(wire::PoolOpened{pool, pool, options, 0, 0, 0, true});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("OpenPool sweep @pool", "ClosePool leave"));
  EXPECT_THAT(client.reports, ElementsAre("over: pool 'sweep' runs the C++ class Trainer, and this program is written "
                                          "in Python: attach from a program of that language, or take another name"));
}

TEST(NamedMachine, APoolThatIsBusyOrMissingFailsWithThatError) {
  for (const ErrorKind kind : {ErrorKind::pool_busy, ErrorKind::pool_not_found}) {
    Client client(sweep());
    client.machine.session_opened(no_limit, t0);
    client.machine.receive(wire::PoolFailed{pool, ErrorInfo::of(kind, "no")});
    const Effects effects = client.machine.take_effects(t0);
    ASSERT_EQ(effects.reports.size(), 1U);
    EXPECT_EQ(std::get<PoolIsOver>(effects.reports[0]).error, ErrorInfo::of(kind, "no"));
    EXPECT_TRUE(client.machine.closed_at_head());
  }
}

TEST(NamedMachine, AClassThatIsNotUsedIsTold) {
  ClientMachine::Config config = sweep();
  config.options.label = "New";
  Client client(config);
  client.machine.session_opened(no_limit, t0);
  PoolOptions options;
  options.label = "Old";
  client.machine.receive(wire::PoolOpened{pool, pool, options, 0, 0, 0, true});
  client.look();
  EXPECT_THAT(client.reports, ElementsAre("pool 'sweep' goes on with its class Old; New is not used", "open"));
}

TEST(NamedMachine, TheWindowCountsJobsOnlyUntilTheyAreAccepted) {
  NamedClient client;
  client.open_named();
  client.submit(1, std::string(limits::submit_window_bytes, 'x'));
  client.submit(1, "b");
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 1 @own"));
  client.accept({1});
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 2"));
  client.value(1, "A");
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre("1:1=A"));
}

TEST(NamedMachine, AJobThatIsRefusedEndsWithThatErrorAndNeedsNoAcknowledgement) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a"), client.submit(2, "b");
  client.look();
  client.machine.receive(wire::JobsRefused{pool, {2}, ErrorInfo::of(ErrorKind::not_stored, "the disk is full")});
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre("2:2=!the disk is full"));
  client.machine.consumed({2});
  client.look();
  EXPECT_THAT(client.sent, IsEmpty());
  client.come_back();
  EXPECT_THAT(client.sent, ElementsAre("ResumePool from 1 [1] []"));
}

TEST(NamedMachine, AnOutcomeIsAcknowledgedOnlyWhenTheUserHasDoneWithIt) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a"), client.submit(1, "b");
  client.look();
  client.accept({1, 2});
  client.value(1, "A"), client.value(2, "B");
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre("1:1=A", "1:2=B"));
  EXPECT_THAT(client.sent, IsEmpty());
  client.machine.consumed({1});
  client.machine.consumed({1});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [1]"));
}

TEST(NamedMachine, AfterABreakItTellsWhatItHasAndRepeatsWhatWasNotConfirmed) {
  NamedClient client;
  client.open_named(10);
  for (const char* text : {"a", "b", "c", "d", "e", "f"}) client.submit(1, text);
  client.machine.update(1, Payload::copy("u"));
  client.look();
  client.accept({11, 12, 13, 14});
  client.value(11, "A"), client.value(12, "B"), client.value(13, "C");
  client.look();
  client.machine.consumed({11, 12});
  client.look();
  client.machine.receive(wire::AcksKept{pool, {11}});
  client.come_back();
  // 11: confirmed. 12: acknowledged, not confirmed. 13: in the user's hands. 14: accepted, has no outcome.
  EXPECT_THAT(client.sent, ElementsAre("ResumePool from 11 [15,16] [12,13]"));
  client.machine.consumed({13});
  client.look();
  EXPECT_THAT(client.sent, IsEmpty());
  client.machine.receive(wire::PoolKnown{pool, true, 0, {16}, 15});
  client.look();
  EXPECT_THAT(client.sent,
              ElementsAre("AddUpdate 1=u @pool", "SubmitJobs 16 @pool", "PoolResumed @pool", "AckOutcomes [12,13]"));
  client.value(13, "C"), client.value(14, "D"), client.value(15, "E");
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre("1:14=D", "1:15=E"));
}

TEST(NamedMachine, AcceptedJobsThatTheJournalHasLostEndWithAnError) {
  NamedClient client;
  client.open_named();
  for (const char* text : {"a", "b", "c", "d"}) client.submit(1, text);
  client.machine.update(1, Payload::copy("u"));
  client.look();
  client.accept({1, 2, 3});
  client.value(1, "A");
  client.machine.receive(wire::UpdateAccepted{pool, 1});
  client.machine.receive(wire::UpdateApplied{pool, 1});
  client.look();
  client.come_back();
  client.machine.receive(wire::PoolKnown{pool, true, 0, {4}, 2});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AddUpdate 1=u @pool", "SubmitJobs 4 @pool", "PoolResumed @pool"));
  ASSERT_THAT(client.delivered, SizeIs(1));
  EXPECT_THAT(client.delivered[0],
              StartsWith("1:3=!the job was accepted, and the journal of pool 'sweep' has lost it"));
  client.value(2, "B"), client.value(3, "C");
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre("1:2=B"));
}

TEST(NamedMachine, AJobThatIsSentAgainKeepsItsKey) {
  NamedClient client;
  client.open_named();
  client.machine.submit({NewJob{1, {1, 0, Payload::copy("a"), "rate=0.1"}}});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 1'rate=0.1"));
  client.come_back();
  client.machine.receive(wire::PoolKnown{pool, true, 0, {1}, 0});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 1'rate=0.1 @pool", "PoolResumed @pool"));
}

TEST(NamedMachine, WhoeverTookItOverWhileTheConnectionWasGoneEndsIt) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a");
  client.look();
  client.accept({1});
  client.come_back();
  client.machine.receive(wire::PoolFailed{pool, ErrorInfo::of(ErrorKind::pool_closed, "taken over")});
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre("1:1=!taken over"));
  EXPECT_THAT(client.reports, ElementsAre("over: taken over"));
}

TEST(NamedMachine, EarlierOutcomesComeOnlyAgainstCredit) {
  constexpr std::uint64_t left = 600;
  NamedClient client;
  client.open_named(left, 0, left);
  client.look();
  EXPECT_THAT(client.sent, IsEmpty());
  client.machine.read_earlier(false);
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("WantOutcomes 512"));
  std::vector<JobSequence> first;
  for (JobSequence sequence = 1; sequence <= 64; ++sequence) {
    client.value(sequence, "x");
    first.push_back(sequence);
  }
  client.look();
  EXPECT_EQ(client.delivered.size(), 64U);
  EXPECT_EQ(client.delivered[0], std::to_string(earlier_stream) + ":1=x");
  EXPECT_THAT(client.sent, IsEmpty());
  client.machine.consumed(first);
  client.look();
  EXPECT_EQ(client.sent[1], "WantOutcomes 64");
  client.come_back();
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}, left, {65, left}});
  client.look();
  EXPECT_EQ(client.sent[1], "WantOutcomes 512");
  client.machine.receive(wire::AcksKept{pool, first});
  std::vector<JobSequence> second;
  for (JobSequence sequence = 65; sequence <= 128; ++sequence) client.value(sequence, "x"), second.push_back(sequence);
  client.machine.consumed(second);
  client.look();
  EXPECT_EQ(client.sent[1], "WantOutcomes 24") << "600 in all";
}

TEST(NamedMachine, EarlierOutcomesThatTheJournalHasLostAreToldAndOthersDoNotComeTwice) {
  NamedClient client;
  client.open_named(9, 0, 6);  // 2 3 4 7 8 9
  client.machine.read_earlier(false);
  client.look();
  client.value(2, "B"), client.value(3, "C"), client.value(7, "G");
  client.look();
  client.machine.consumed({2, 3});
  client.look();
  client.machine.receive(wire::AcksKept{pool, {2, 3}});
  client.come_back();
  EXPECT_THAT(client.sent, ElementsAre("ResumePool from 10 [] [7]"));
  // It has lost that 3 is acknowledged, and the jobs 8 and 9; so 3 and 4 are to come.
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}, 7, {3, 4, 7, 7}});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("PoolResumed @pool", "WantOutcomes 2"));
  ASSERT_THAT(client.delivered, SizeIs(2));
  for (const std::string& lost : client.delivered)
    EXPECT_THAT(lost, StartsWith(std::to_string(earlier_stream) + ":0=!the job was accepted, and the journal"));
  client.value(3, "C"), client.value(4, "D");
  client.look();
  EXPECT_THAT(client.delivered, ElementsAre(std::to_string(earlier_stream) + ":4=D"));
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [3]"));
}

TEST(NamedMachine, WhoReadsEarlierOutcomesLaterIsToldThenWhichAreLost) {
  NamedClient client;
  client.open_named(3, 0, 3);
  client.look();
  client.come_back();
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}, 2, {1, 2}});
  client.look();
  EXPECT_THAT(client.delivered, IsEmpty());
  client.machine.read_earlier(true);
  client.look();
  EXPECT_THAT(client.delivered, SizeIs(1));
  EXPECT_THAT(client.sent, ElementsAre("WantOutcomes in order 2"));
}

TEST(NamedMachine, EarlierOutcomesMayBeAskedForInOrder) {
  NamedClient client;
  client.open_named(5, 0, 3);
  client.machine.read_earlier(true);
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("WantOutcomes in order 3"));
}

TEST(NamedMachine, JobsOfADroppedStreamRunAndTheirOutcomesStayInThePool) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a");
  client.look();
  client.accept({1});
  client.submit(1, "b");
  client.machine.drop_stream(1);
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 2"));
  client.accept({2});
  client.value(1, "A"), client.value(2, "B");
  client.look();
  EXPECT_THAT(client.delivered, IsEmpty());
  EXPECT_THAT(client.sent, IsEmpty());
}

TEST(NamedMachine, ItLeavesOnlyWhenEverythingIsAccepted) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a"), client.submit(1, "b");
  client.machine.update(1, Payload::copy("u"));
  client.look();
  client.machine.leave();
  client.look();
  EXPECT_THAT(client.sent, IsEmpty());
  client.accept({1, 2});
  EXPECT_THAT(client.sent, IsEmpty());
  client.value(1, "A");
  client.machine.consumed({1});
  client.machine.receive(wire::UpdateAccepted{pool, 1});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [1]", "ClosePool leave"));
  client.come_back();
  client.machine.receive(wire::PoolKnown{pool, true, 1, {}, 2});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("PoolResumed @pool", "AckOutcomes [1]", "ClosePool leave"))
      << "the answer was lost";
  EXPECT_FALSE(client.machine.closed_at_head());
  client.machine.receive(wire::PoolClosed{pool});
  client.look();
  EXPECT_THAT(client.reports, ElementsAre("over: this program has left pool 'sweep'"));
  EXPECT_TRUE(client.machine.closed_at_head());
}

TEST(NamedMachine, WhoLeavesDoesNotWaitForWorkers) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a");
  client.look();
  EXPECT_EQ(client.machine.next_deadline(), t0 + 1s);
  client.machine.leave();
  client.look(t0 + 1s);
  EXPECT_THAT(client.reports, IsEmpty());
  EXPECT_EQ(client.machine.next_deadline(), never);
}

TEST(NamedMachine, WhoLeavesIsToldWhatWasRefused) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a");
  client.look();
  client.machine.leave();
  client.machine.receive(wire::JobsRefused{pool, {1}, ErrorInfo::of(ErrorKind::not_stored, "the disk is full")});
  client.look();
  EXPECT_THAT(client.reports, ElementsAre("pool 'sweep' did not accept 1 job: the disk is full"));
  EXPECT_THAT(client.sent, ElementsAre("ClosePool leave"));
}

TEST(NamedMachine, WhoCannotWaitAnyLongerIsToldWhatMayBeMissing) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a"), client.submit(1, "b");
  client.look();
  client.machine.leave();
  client.machine.session_closed("gone");
  client.look();
  client.machine.abandon(ErrorInfo::of(ErrorKind::pool_closed, "the head does not answer"));
  client.look();
  EXPECT_THAT(client.reports, ElementsAre("it is not known whether pool 'sweep' has the last 2 jobs: the head does not "
                                          "answer",
                                          "over: the head does not answer"));
  EXPECT_THAT(client.sent, IsEmpty()) << "abandoned, not closed";
}

TEST(NamedMachine, ClosingEndsItForGood) {
  NamedClient client;
  client.open_named();
  client.submit(1, "a");
  client.look();
  client.accept({1});
  client.machine.close(ErrorInfo::of(ErrorKind::pool_closed, "closed"));
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("ClosePool"));
  EXPECT_THAT(client.delivered, ElementsAre("1:1=!closed"));
}

}  // namespace
}  // namespace dc::client

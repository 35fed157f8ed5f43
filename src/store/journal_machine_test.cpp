// What the journal asks of the store next. (journal_thread_test.cpp has the thread, and the story of each promise.)
#include "store/journal_machine.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dc::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class JournalMachineTest : public testing::Test {
 protected:
  /// What was left by whoever had the store before is looked for first.
  void SetUp() override {
    ASSERT_EQ(next(), "tidy");
    answer();
  }
  /// An entry whose number is the ticket.
  void write(Ticket ticket, std::string text, bool refusable = true, LogId log = 1,
             std::vector<EntryNumber> erased = {}) {
    machine.write(ticket, log, ticket, Entry{std::move(text), {}}, std::move(erased), refusable);
  }
  /// Behind what comes because of the time.
  std::string next_of_interest() {
    std::string due = "sync";
    while (due == "check" || due == "sync") {
      now = std::max(now, machine.next_at());
      due = next();
      if (due == "check" || due == "sync") answer();
    }
    return due;
  }
  void fail_next(ErrorCode code) {
    ASSERT_THAT(next_of_interest(), testing::StartsWith("write"));
    answer(fail(code, "trouble"));
  }
  /// The next call as a text; it is under way until answer().
  std::string next() {
    call = machine.next(now);
    return call ? std::visit([](const auto& body) { return text_of(body); }, *call) : "nothing";
  }
  void answer(const Result<void>& result = boost::outcome_v2::success(), bool more = false) {
    machine.ended(std::move(*call), {result, 0, more}, now);
  }
  std::string done() {
    std::string text;
    for (const Journaled& one : machine.take_done())
      text += std::to_string(one.ticket) + (one.refused.empty() ? " " : "! ");
    return text;
  }
  static std::string text_of(const CheckHold&) { return "check"; }
  static std::string text_of(const RaiseTerm& body) { return "raise above " + std::to_string(body.above); }
  static std::string text_of(const Sync&) { return "sync"; }
  static std::string text_of(const Write& body) {
    std::string text = "write";
    for (const Change& one : body.changes)
      text += one.entry ? " " + one.entry->bytes : fmt::format(" -{}/{}", one.log, one.number);
    return text;
  }
  static std::string text_of(const Remove& body) { return "remove " + std::to_string(body.log); }
  static std::string text_of(const Load& body) { return "load " + std::to_string(body.wanted.ticket); }
  static std::string text_of(const Work&) { return "work"; }
  static std::string text_of(const Rewrite&) { return "rewrite"; }
  static std::string text_of(const Tidy&) { return "tidy"; }

  TimePoint now{std::chrono::hours(1)};
  JournalMachine machine{limits::store_patience, now};
  std::optional<StoreCall> call;
};

TEST_F(JournalMachineTest, WhatComesDuringAWriteIsTheNextOne) {
  write(1, "a");
  EXPECT_EQ(next(), "write a");
  write(2, "b");
  write(3, "c");
  machine.remove(4, 1);
  answer();
  EXPECT_EQ(done(), "1 ");
  EXPECT_EQ(next(), "write b c");
  answer();
  EXPECT_EQ(next(), "remove 1");
  answer();
  EXPECT_EQ(done(), "2 3 4 ");
  EXPECT_EQ(next(), "tidy");
  answer();
  EXPECT_EQ(next(), "nothing");
}

TEST_F(JournalMachineTest, AWriteThatFailedIsTriedAgainAsItWas) {
  write(1, "a");
  EXPECT_EQ(next(), "write a");
  write(2, "b");
  answer(fail(ErrorCode::io, "no answer"));
  EXPECT_EQ(machine.trouble(), "no answer");
  EXPECT_EQ(next(), "nothing") << "not at once";
  now = machine.next_at();
  EXPECT_EQ(next(), "write a");
  answer();
  EXPECT_EQ(machine.trouble(), "");
  EXPECT_EQ(next(), "write b");
}

TEST_F(JournalMachineTest, AFullStoreIsGivenWhatCannotBeRefusedAtOnce) {
  write(1, "job");
  write(2, "result", false);
  EXPECT_EQ(next(), "write job result");
  answer(fail(ErrorCode::full, "no room"));
  EXPECT_EQ(done(), "1! ");
  EXPECT_EQ(next(), "write result");
  write(3, "job");
  answer(fail(ErrorCode::full, "no room"));
  EXPECT_EQ(done(), "3! ");
}

TEST_F(JournalMachineTest, WhatAnEntryErasesGoesInTheSameCall) {
  write(7, "a", false, 1, {3, 5});
  write(8, "b", false, 2);
  write(9, "c", false, 2, {8});
  EXPECT_EQ(next(), "write a -1/3 -1/5 b c -2/8");
  answer(fail(ErrorCode::io, "no answer"));
  now = machine.next_at();
  EXPECT_EQ(next(), "write a -1/3 -1/5 b c -2/8") << "as it was";
  std::get<Write>(*call).changes[0].entry->attachments.emplace_back("stands for it");
  answer();
  const std::vector<Journaled> done = machine.take_done();
  ASSERT_EQ(done.size(), 3U);
  EXPECT_EQ(done[0].stored.size(), 1U);
  EXPECT_EQ(done[1].stored.size(), 0U);
}

TEST_F(JournalMachineTest, WhatIsGivenUpAndMayStandIsErasedWithTheNextWrite) {
  write(1, "job", true);
  write(2, "result", false);
  fail_next(ErrorCode::unreachable);
  now += limits::store_patience;
  fail_next(ErrorCode::unreachable);
  EXPECT_EQ(done(), "1! ");
  write(3, "more", false, 2);
  for (const ErrorCode code : {ErrorCode::unreachable, ErrorCode::full}) {
    now = machine.next_at();
    EXPECT_EQ(next_of_interest(), "write -1/1 result") << "as often as it takes";
    answer(fail(code, "trouble"));
  }
  now = machine.next_at();
  EXPECT_EQ(next_of_interest(), "write -1/1 result");
  answer();
  EXPECT_EQ(next_of_interest(), "tidy");
  answer();
  EXPECT_EQ(next_of_interest(), "write more") << "once is enough";
}

TEST_F(JournalMachineTest, WhatIsGivenUpAndMayStandIsErasedWhenNothingElseIsWritten) {
  write(1, "a", true);
  write(2, "b", true, 5);
  fail_next(ErrorCode::io);
  write(3, "c", true);
  fail_next(ErrorCode::full);
  EXPECT_EQ(done(), "3! ") << "the others may have been written the first time";
  now += limits::store_patience;
  fail_next(ErrorCode::full);
  EXPECT_EQ(done(), "1! 2! ");
  machine.close(now + 1h);
  EXPECT_FALSE(machine.over(now));
  EXPECT_EQ(next_of_interest(), "write -1/1 -5/2");
  answer(fail(ErrorCode::unreachable, "away"));
  EXPECT_EQ(machine.trouble(), "away");
  EXPECT_EQ(next(), "nothing") << "not at once";
  now = machine.next_at();
  EXPECT_EQ(next(), "write -1/1 -5/2");
  answer();
  EXPECT_EQ(machine.trouble(), "");
  EXPECT_TRUE(machine.over(now));
}

TEST_F(JournalMachineTest, WhatDidNotFitNeedNotBeErased) {
  write(1, "a", true);
  fail_next(ErrorCode::full);
  EXPECT_EQ(done(), "1! ");
  write(2, "b", true);
  EXPECT_EQ(next(), "write b");
  answer();
  EXPECT_EQ(next(), "nothing");
}

TEST_F(JournalMachineTest, NothingIsErasedInTheNextLifeOfALog) {
  const auto give_up = [&](Ticket ticket) {
    write(ticket, "a", true);
    fail_next(ErrorCode::unreachable);
    now += limits::store_patience;
    fail_next(ErrorCode::unreachable);
    EXPECT_EQ(done(), std::to_string(ticket) + "! ");
  };
  give_up(1);
  machine.remove(2, 1);
  write(3, "b", false);
  EXPECT_EQ(next_of_interest(), "remove 1");
  answer();
  EXPECT_EQ(next_of_interest(), "tidy");
  answer();
  EXPECT_EQ(next_of_interest(), "write b");
  answer();
  EXPECT_EQ(done(), "2 3 ");
  give_up(4);
  machine.run(5, [](Store&) -> Result<void> { return boost::outcome_v2::success(); });
  EXPECT_EQ(next_of_interest(), "write -1/4") << "it may replace the log";
  answer(fail(ErrorCode::unreachable, "away"));
  now = machine.next_at();
  EXPECT_EQ(next_of_interest(), "write -1/4");
  answer();
  EXPECT_EQ(next_of_interest(), "tidy");
  answer();
  EXPECT_EQ(next_of_interest(), "work");
}

TEST_F(JournalMachineTest, TidiesAfterWhatLeavesSomethingAndTakesTurnsWithWrites) {
  write(1, "a");
  EXPECT_EQ(next(), "write a");
  answer();
  EXPECT_EQ(next(), "nothing") << "nothing was erased";
  write(1, "anew");
  EXPECT_EQ(next(), "write anew");
  answer();
  EXPECT_EQ(next(), "tidy") << "it had attachments, perhaps";
  answer();
  write(2, "b", false, 1, {1});
  EXPECT_EQ(next(), "write b -1/1");
  write(3, "c");
  answer();
  EXPECT_EQ(next(), "tidy");
  answer(boost::outcome_v2::success(), true);
  EXPECT_EQ(next(), "write c");
  write(4, "d");
  answer();
  EXPECT_EQ(next(), "tidy");
  answer(boost::outcome_v2::success(), true);
  EXPECT_EQ(next(), "write d");
  answer();
  for (const bool more : {true, true, false}) {
    EXPECT_EQ(next(), "tidy") << "as long as there is more";
    answer(boost::outcome_v2::success(), more);
  }
  EXPECT_EQ(next(), "nothing");
  machine.remove(5, 1);
  EXPECT_EQ(next(), "remove 1");
  answer();
  EXPECT_EQ(next(), "tidy");
  answer();
  machine.run(6, [](Store&) -> Result<void> { return boost::outcome_v2::success(); });
  EXPECT_EQ(next(), "work");
  answer();
  EXPECT_EQ(next(), "tidy") << "it may have replaced a log";
}

TEST_F(JournalMachineTest, ATidyingThatFailedIsTriedMuchLater) {
  machine.remove(1, 1);
  EXPECT_EQ(next(), "remove 1");
  answer();
  EXPECT_EQ(next(), "tidy");
  const TimePoint failed = now;
  answer(fail(ErrorCode::protocol, "broken"));
  EXPECT_THAT(machine.take_warnings(), ElementsAre("what is over could not be deleted from the store: broken"));
  EXPECT_EQ(machine.trouble(), "") << "nothing waits for it";
  std::string call_made = next();
  EXPECT_EQ(call_made, "nothing");
  while (call_made != "tidy" && now < failed + 2 * limits::store_patience) {
    if (call) answer();
    now = machine.next_at();
    call_made = next();
  }
  EXPECT_EQ(now, failed + limits::store_patience);
  answer(fail(ErrorCode::fenced, "another head has it"));
  EXPECT_TRUE(machine.fenced());
}

TEST_F(JournalMachineTest, DamageIsRewrittenOnceInATrouble) {
  write(1, "a");
  EXPECT_EQ(next(), "write a");
  answer(fail(ErrorCode::protocol, "damaged"));
  EXPECT_EQ(next(), "rewrite");
  answer();
  EXPECT_EQ(next(), "write a");
  answer(fail(ErrorCode::protocol, "still damaged"));
  EXPECT_EQ(machine.trouble(), "still damaged");
  EXPECT_EQ(next(), "nothing");
}

TEST_F(JournalMachineTest, IsOverWhenAnotherHeadHasTheStore) {
  write(1, "a");
  EXPECT_EQ(next(), "write a");
  answer(fail(ErrorCode::fenced, "another head has it"));
  EXPECT_TRUE(machine.over(now) && machine.fenced() && machine.take_news());
  EXPECT_EQ(next(), "nothing");
  EXPECT_EQ(done(), "") << "whether it is durable is for that head to say";
}

TEST_F(JournalMachineTest, WritesWhatWaitsBeforeItEnds) {
  write(1, "a");
  machine.close(now + 1s);
  EXPECT_FALSE(machine.over(now));
  EXPECT_EQ(next(), "write a");
  answer(fail(ErrorCode::io, "no answer"));
  EXPECT_GT(machine.next_at(), now) << "and does not turn in circles until then";
  now = machine.next_at();
  EXPECT_EQ(next(), "write a");
  answer();
  EXPECT_TRUE(machine.over(now));
}

TEST_F(JournalMachineTest, RenewsTheTermAndBringsWritesToTheDiskInTime) {
  machine.raise_term(41);
  EXPECT_EQ(next(), "raise above 41");
  machine.ended(std::move(*call), {boost::outcome_v2::success(), 42, false}, now);
  EXPECT_EQ(machine.raised_term(), 42U);
  write(1, "a");
  EXPECT_EQ(next(), "write a");
  answer();
  std::vector<std::string> calls;
  for (int i = 0; i < 2; ++i) {
    now = machine.next_at();
    calls.push_back(next());
    answer();
  }
  EXPECT_THAT(calls, testing::UnorderedElementsAre("check", "sync"));
}

TEST_F(JournalMachineTest, LoadsAndWritesTakeTurns) {
  for (Ticket ticket = 1; ticket <= 3; ++ticket) machine.load(ticket, {});
  write(1, "a");
  EXPECT_EQ(next(), "write a");
  write(2, "b");
  answer();
  EXPECT_EQ(next(), "load 1");
  answer();
  EXPECT_EQ(next(), "write b");
  answer();
  EXPECT_EQ(next(), "load 2");
  answer();
  EXPECT_EQ(next(), "load 3");
  answer();
  EXPECT_TRUE(machine.take_news());
  std::vector<Ticket> tickets;
  for (const Loaded& one : machine.take_loaded()) tickets.push_back(one.ticket);
  EXPECT_THAT(tickets, ElementsAre(1, 2, 3));
}

TEST_F(JournalMachineTest, LoadsWhileWritesDoNotFitAndAgainWhenTheStoreDidNotAnswer) {
  write(1, "a", false);
  machine.load(1, {});
  EXPECT_EQ(next(), "write a");
  answer(fail(ErrorCode::full, "full"));
  EXPECT_EQ(next(), "load 1");
  answer(fail(ErrorCode::unreachable, "away"));
  EXPECT_EQ(machine.trouble(), "away");
  EXPECT_THAT(machine.take_loaded(), IsEmpty());
  now += limits::store_retry_delay_max;
  EXPECT_EQ(next(), "write a");
  answer();
  EXPECT_EQ(next(), "sync");
  answer();
  EXPECT_EQ(next(), "load 1");
  answer();
  EXPECT_EQ(machine.take_loaded().size(), 1U);
}

}  // namespace
}  // namespace dc::store

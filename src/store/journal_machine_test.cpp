// What the journal asks of the store next. (journal_thread_test.cpp has the thread, and the story of each promise.)
#include "store/journal_machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dc::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CountingReducer : public Reducer {
 public:
  void add(Entry&&) override { ++entries_; }
  std::vector<Entry> take() override { return {Entry{std::to_string(entries_), {}}}; }

 private:
  int entries_ = 0;
};

class JournalMachineTest : public testing::Test {
 protected:
  void append(Ticket ticket, std::string text, bool refusable = true, LogId log = 1) {
    machine.append(ticket, log, Entry{std::move(text), {}}, refusable);
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
  static std::string text_of(const Append& body) {
    std::string text = "append";
    for (const Addressed& one : body.entries) text += " " + one.entry.bytes;
    return text;
  }
  static std::string text_of(const Remove& body) { return "remove " + std::to_string(body.log); }
  static std::string text_of(const Load& body) { return "load " + std::to_string(body.wanted.ticket); }
  static std::string text_of(const Work&) { return "work"; }
  static std::string text_of(const Rewrite&) { return "rewrite"; }
  static std::string text_of(const Shorten& body) { return "shorten " + std::to_string(body.log); }

  TimePoint now{std::chrono::hours(1)};
  JournalMachine machine{limits::store_patience, now};
  std::optional<StoreCall> call;
};

TEST_F(JournalMachineTest, WhatComesDuringAnAppendIsTheNextOne) {
  append(1, "a");
  EXPECT_EQ(next(), "append a");
  append(2, "b");
  append(3, "c");
  machine.remove(4, 1);
  answer();
  EXPECT_EQ(done(), "1 ");
  EXPECT_EQ(next(), "append b c");
  answer();
  EXPECT_EQ(next(), "remove 1");
  answer();
  EXPECT_EQ(done(), "2 3 4 ");
  EXPECT_EQ(next(), "nothing");
}

TEST_F(JournalMachineTest, AnAppendThatFailedIsTriedAgainAsItWas) {
  append(1, "a");
  EXPECT_EQ(next(), "append a");
  append(2, "b");
  answer(fail(ErrorCode::io, "no answer"));
  EXPECT_EQ(machine.trouble(), "no answer");
  EXPECT_EQ(next(), "nothing") << "not at once";
  now = machine.next_at();
  EXPECT_EQ(next(), "append a");
  answer();
  EXPECT_EQ(machine.trouble(), "");
  EXPECT_EQ(next(), "append b");
}

TEST_F(JournalMachineTest, AFullStoreIsGivenWhatCannotBeRefusedAtOnce) {
  append(1, "job");
  append(2, "result", false);
  EXPECT_EQ(next(), "append job result");
  answer(fail(ErrorCode::full, "no room"));
  EXPECT_EQ(done(), "1! ");
  EXPECT_EQ(next(), "append result");
  append(3, "job");
  answer(fail(ErrorCode::full, "no room"));
  EXPECT_EQ(done(), "3! ");
}

TEST_F(JournalMachineTest, WritesAndPiecesOfAShorteningTakeTurns) {
  machine.compact(7);
  append(1, "a");
  append(2, "b");
  EXPECT_EQ(next(), "append a b");
  append(3, "c");
  answer();
  EXPECT_EQ(next(), "shorten 7");
  EXPECT_FALSE(std::get<Shorten>(*call).reducer) << "the caller makes one";
  std::get<Shorten>(*call).reducer = std::make_unique<CountingReducer>();
  answer(boost::outcome_v2::success(), true);
  EXPECT_EQ(next(), "append c");
  answer();
  EXPECT_EQ(next(), "shorten 7");
  EXPECT_TRUE(std::get<Shorten>(*call).reducer);
  answer(boost::outcome_v2::success(), false);
  EXPECT_EQ(next(), "nothing");
}

TEST_F(JournalMachineTest, ALogThatIsRemovedIsNotShortenedFurther) {
  machine.compact(1);
  machine.compact(1);
  EXPECT_EQ(next(), "shorten 1");
  std::get<Shorten>(*call).reducer = std::make_unique<CountingReducer>();
  machine.remove(1, 1);
  machine.compact(1);
  answer(boost::outcome_v2::success(), true);
  EXPECT_EQ(next(), "remove 1");
  answer();
  EXPECT_EQ(next(), "nothing");
}

TEST_F(JournalMachineTest, AShorteningThatFailedIsTriedMuchLater) {
  machine.compact(1);
  EXPECT_EQ(next(), "shorten 1");
  answer(fail(ErrorCode::protocol, "broken"));
  EXPECT_THAT(machine.take_warnings(),
              ElementsAre("the journal of pool 0000000000000001 could not be shortened: broken"));
  EXPECT_EQ(machine.trouble(), "") << "nothing waits for it";
  EXPECT_EQ(next(), "nothing");
}

TEST_F(JournalMachineTest, DamageIsRewrittenOnceInATrouble) {
  append(1, "a");
  EXPECT_EQ(next(), "append a");
  answer(fail(ErrorCode::protocol, "damaged"));
  EXPECT_EQ(next(), "rewrite");
  answer();
  EXPECT_EQ(next(), "append a");
  answer(fail(ErrorCode::protocol, "still damaged"));
  EXPECT_EQ(machine.trouble(), "still damaged");
  EXPECT_EQ(next(), "nothing");
}

TEST_F(JournalMachineTest, IsOverWhenAnotherHeadHasTheStore) {
  append(1, "a");
  EXPECT_EQ(next(), "append a");
  answer(fail(ErrorCode::fenced, "another head has it"));
  EXPECT_TRUE(machine.over(now) && machine.fenced() && machine.take_news());
  EXPECT_EQ(next(), "nothing");
  EXPECT_EQ(done(), "") << "whether it is durable is for that head to say";
}

TEST_F(JournalMachineTest, WritesWhatWaitsBeforeItEnds) {
  append(1, "a");
  machine.compact(1);
  machine.close(now + 1s);
  EXPECT_FALSE(machine.over(now));
  EXPECT_EQ(next(), "append a");
  answer(fail(ErrorCode::io, "no answer"));
  EXPECT_GT(machine.next_at(), now) << "and does not turn in circles until then";
  now = machine.next_at();
  EXPECT_EQ(next(), "append a");
  answer();
  EXPECT_TRUE(machine.over(now));
}

TEST_F(JournalMachineTest, RenewsTheTermAndBringsWritesToTheDiskInTime) {
  machine.raise_term(41);
  EXPECT_EQ(next(), "raise above 41");
  machine.ended(std::move(*call), {boost::outcome_v2::success(), 42, false}, now);
  EXPECT_EQ(machine.raised_term(), 42U);
  append(1, "a");
  EXPECT_EQ(next(), "append a");
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
  append(1, "a");
  EXPECT_EQ(next(), "append a");
  append(2, "b");
  answer();
  EXPECT_EQ(next(), "load 1");
  answer();
  EXPECT_EQ(next(), "append b");
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
  append(1, "a", false);
  machine.load(1, {});
  EXPECT_EQ(next(), "append a");
  answer(fail(ErrorCode::full, "full"));
  EXPECT_EQ(next(), "load 1");
  answer(fail(ErrorCode::unreachable, "away"));
  EXPECT_EQ(machine.trouble(), "away");
  EXPECT_THAT(machine.take_loaded(), IsEmpty());
  now += limits::store_retry_delay_max;
  EXPECT_EQ(next(), "append a");
  answer();
  EXPECT_EQ(next(), "sync");
  answer();
  EXPECT_EQ(next(), "load 1");
  answer();
  EXPECT_EQ(machine.take_loaded().size(), 1U);
}

}  // namespace
}  // namespace dc::store

// When a client ends that leaves its pool or closes it.
#include "client/leaving_machine.hpp"

#include <gtest/gtest.h>

namespace dc::client {
namespace {

using Step = LeavingMachine::Step;
using Close = LeavingMachine::Close;
using Seen = LeavingMachine::Seen;

constexpr TimePoint start{1h};
constexpr Seen with_head{true, false, 0}, without_head{false, false, 0}, over{true, true, 0};

Seen waiting_for(std::uint64_t unsettled, bool session = true) { return {session, false, unsettled}; }

LeavingMachine leaving() {
  LeavingMachine machine({.away = 5s, .progress = 35s, .goodbye = 300ms});
  EXPECT_TRUE(machine.leave());
  return machine;
}

TEST(Leaving, NobodyEndsUnasked) {
  LeavingMachine machine;
  EXPECT_EQ(machine.look(over, start), Step::wait);
  EXPECT_EQ(machine.look(without_head, start + 1h), Step::wait);
  EXPECT_EQ(machine.next_deadline(), never);
  EXPECT_FALSE(machine.leaving() || machine.closing() || machine.going());
}

TEST(Leaving, WhoLeavesWaitsForTheHeadAndThenHasAMomentToSaySo) {
  LeavingMachine machine = leaving();
  EXPECT_EQ(machine.look(waiting_for(2), start), Step::wait);
  EXPECT_EQ(machine.look(with_head, start + 1s),
            Step::wait);  // it has taken all, and has not said that the pool is left
  EXPECT_EQ(machine.look(over, start + 2s), Step::say_goodbye);
  EXPECT_TRUE(machine.going());
  EXPECT_STREQ(machine.goodbye(), "the client left its pool");
  EXPECT_EQ(machine.next_deadline(), start + 2300ms);
  EXPECT_EQ(machine.look(over, start + 2299ms), Step::wait);
  EXPECT_EQ(machine.look(over, start + 2300ms), Step::end);
  EXPECT_EQ(machine.next_deadline(), never);
  EXPECT_EQ(machine.look(over, start + 1h), Step::wait);
}

TEST(Leaving, AHeadThatIsAwayIsNotAwaitedForLong) {
  LeavingMachine machine = leaving();
  EXPECT_EQ(machine.look(waiting_for(2), start), Step::wait);
  EXPECT_EQ(machine.next_deadline(), start + 35s);
  EXPECT_EQ(machine.look(waiting_for(2, false), start + 10s), Step::wait);
  EXPECT_EQ(machine.next_deadline(), start + 15s);
  EXPECT_EQ(machine.look(waiting_for(2, false), start + 14999ms), Step::wait);
  EXPECT_EQ(machine.look(waiting_for(2, false), start + 15s), Step::abandon);
  EXPECT_EQ(machine.look(over, start + 15s), Step::say_goodbye);  // for the pool is given up now
}

TEST(Leaving, OneThatComesBackIsAwaitedAnew) {
  LeavingMachine machine = leaving();
  EXPECT_EQ(machine.look(waiting_for(2, false), start), Step::wait);
  EXPECT_EQ(machine.look(waiting_for(2), start + 4s), Step::wait);
  EXPECT_EQ(machine.look(waiting_for(2, false), start + 6s), Step::wait);
  EXPECT_EQ(machine.next_deadline(), start + 11s);
}

TEST(Leaving, OneThatTakesNothingIsNotAwaitedForEver) {
  LeavingMachine machine = leaving();
  EXPECT_EQ(machine.look(waiting_for(2), start), Step::wait);
  // It comes and goes, and every time a job more is in its hands but not taken.
  for (Duration time = 1s; time < 35s; time += 1s)
    EXPECT_EQ(machine.look(waiting_for(2, time / 1s % 2 == 0), start + time), Step::wait);
  EXPECT_EQ(machine.look(waiting_for(2), start + 35s), Step::abandon);
}

TEST(Leaving, WhateverItTakesGivesItMoreTime) {
  LeavingMachine machine = leaving();
  EXPECT_EQ(machine.look(waiting_for(2), start), Step::wait);
  EXPECT_EQ(machine.look(waiting_for(1), start + 30s), Step::wait);
  EXPECT_EQ(machine.next_deadline(), start + 65s);
  EXPECT_EQ(machine.look(waiting_for(1), start + 64s), Step::wait);
  EXPECT_EQ(machine.look(with_head, start + 64s), Step::wait);
  EXPECT_EQ(machine.next_deadline(), start + 99s);
}

TEST(Leaving, WhoClosesWaitsForTheAnswerAsLongAsItsUserLetsIt) {
  LeavingMachine machine;
  EXPECT_EQ(machine.close(1s, start), Close::pool);
  EXPECT_EQ(machine.close(9s, start), Close::nothing);
  EXPECT_FALSE(machine.leave());
  EXPECT_EQ(machine.look(with_head, start), Step::wait);
  EXPECT_EQ(machine.next_deadline(), start + 1s);
  LeavingMachine patient = machine, lonely = machine;
  EXPECT_EQ(machine.look(over, start + 100ms), Step::say_goodbye);
  EXPECT_STREQ(machine.goodbye(), "the client closed its pool");
  EXPECT_EQ(patient.look(with_head, start + 1s), Step::say_goodbye);
  EXPECT_EQ(lonely.look(without_head, start + 10ms), Step::say_goodbye);
}

TEST(Leaving, ClosingCutsTheWaitingShort) {
  LeavingMachine machine = leaving();
  EXPECT_EQ(machine.look(waiting_for(2), start), Step::wait);
  EXPECT_EQ(machine.close(1s, start + 2s), Close::abandon);
  EXPECT_EQ(machine.look(over, start + 2s), Step::say_goodbye);
  EXPECT_STREQ(machine.goodbye(), "the client left its pool");
  EXPECT_EQ(machine.close(1s, start + 2s), Close::nothing);
}

}  // namespace
}  // namespace dc::client

// Who waits for a store, who gives up, and what is said of it.
#include "head/candidate_machine.hpp"

#include <gtest/gtest.h>

namespace dc::head {
namespace {

using Next = CandidateMachine::Next;

const Error held = fail(ErrorCode::fenced,
                        "redis belongs to the head with process id 7 on north: stop that one first, or "
                        "name another store with --store");

TEST(CandidateMachine, AStandbyWaitsForWhatPasses) {
  CandidateMachine candidate(true);
  EXPECT_EQ(candidate.refused(held, false), Next::look_again);
  EXPECT_EQ(candidate.refused(fail(ErrorCode::unreachable, "no answer"), false), Next::look_again);
  EXPECT_EQ(candidate.refused(fail(ErrorCode::full, "no room"), false), Next::look_again);
  EXPECT_EQ(candidate.refused(fail(ErrorCode::invalid, "version 5"), false), Next::give_up);
  EXPECT_EQ(candidate.refused(fail(ErrorCode::protocol, "broken"), false), Next::give_up);
}

TEST(CandidateMachine, AnotherWaitsOnlyToSeeWhetherTheHolderLives) {
  CandidateMachine candidate(false);
  EXPECT_EQ(candidate.refused(held, true), Next::look_again);
  EXPECT_EQ(candidate.refused(held, false), Next::give_up);
  EXPECT_EQ(candidate.refused(fail(ErrorCode::unreachable, "no answer"), true), Next::give_up);
}

TEST(CandidateMachine, ItSaysOnceWhyItWaitsAndThatItHasTheStore) {
  CandidateMachine candidate(true);
  (void)candidate.refused(held, false);
  EXPECT_EQ(candidate.take_note(), "standby: redis belongs to the head with process id 7 on north. Waiting");
  (void)candidate.refused(held, false);
  EXPECT_EQ(candidate.take_note(), "");
  (void)candidate.refused(fail(ErrorCode::full, "no room"), false);
  EXPECT_EQ(candidate.take_note(), "standby: no room. Waiting");
  candidate.taken("redis");
  EXPECT_EQ(candidate.take_note(), "standby: the store redis is free, this head takes over");
}

TEST(CandidateMachine, OneThatDoesNotStandBySaysWhatItWaitsFor) {
  CandidateMachine candidate(false);
  (void)candidate.refused(held, true);
  EXPECT_EQ(candidate.take_note(),
            "redis belongs to the head with process id 7 on north. Waiting to see whether that one lives");
}

TEST(CandidateMachine, OneThatHasTheStoreAtOnceSaysNothing) {
  CandidateMachine candidate(true);
  candidate.taken("redis");
  EXPECT_EQ(candidate.take_note(), "");
}

}  // namespace
}  // namespace dc::head

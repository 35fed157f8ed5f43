// How a node ends that is told to, and when it reports the deaths of its workers.
#include <gtest/gtest.h>

#include <csignal>

#include "core/limits.hpp"
#include "node/death_book.hpp"
#include "node/stop_machine.hpp"

namespace dc::node {
namespace {

using Step = StopMachine::Step;

constexpr TimePoint start{1h};

// --- Signals ----------------------------------------------------------------------------------------------------

TEST(NodeStop, SigtermLetsJobsFinishAndCtrlCDoesNot) {
  StopMachine asked, interrupted;
  EXPECT_FALSE(asked.stopping());
  EXPECT_EQ(asked.signalled(SIGTERM, start), Step::leave_in_order);
  EXPECT_TRUE(asked.stopping());
  EXPECT_EQ(interrupted.signalled(SIGINT, start), Step::leave);
  EXPECT_EQ(asked.next_deadline(), never);
}

TEST(NodeStop, SignalsOfOneMomentAreOne) {
  StopMachine machine;
  EXPECT_EQ(machine.signalled(SIGTERM, start), Step::leave_in_order);
  EXPECT_EQ(machine.signalled(SIGTERM, start + 10ms), Step::nothing);
  EXPECT_EQ(machine.signalled(SIGHUP, start + 20ms), Step::nothing);
  EXPECT_EQ(machine.signalled(SIGINT, start + 1s), Step::leave);
  EXPECT_EQ(machine.signalled(SIGTERM, start + 2s), Step::end_at_once);
}

TEST(NodeStop, AHangUpWaitsForTheSigtermThatWasSentBeforeIt) {
  StopMachine machine;
  EXPECT_EQ(machine.signalled(SIGHUP, start), Step::nothing);
  EXPECT_TRUE(machine.stopping());
  StopMachine alone = machine;
  EXPECT_EQ(machine.next_deadline(), start + limits::signals_meet_within);
  EXPECT_EQ(machine.signalled(SIGTERM, start + 50ms), Step::leave_in_order);
  EXPECT_EQ(machine.look(start + 1s), Step::nothing);
  EXPECT_EQ(alone.look(start + 50ms), Step::nothing);
  EXPECT_EQ(alone.look(start + limits::signals_meet_within), Step::leave);
  EXPECT_EQ(alone.next_deadline(), never);
  EXPECT_EQ(alone.look(start + 1s), Step::nothing);
}

// --- Its head ---------------------------------------------------------------------------------------------------

TEST(NodeStop, AHeadThatHasEndedIsAwaitedForItsTime) {
  StopMachine machine(10s);
  machine.head_is_gone(false, start);  // it may come back, and is awaited for ever
  EXPECT_EQ(machine.next_deadline(), never);
  machine.head_is_gone(true, start);
  EXPECT_EQ(machine.look(start + 9s), Step::nothing);
  machine.head_is_here();
  EXPECT_EQ(machine.look(start + 20s), Step::nothing);
  machine.head_is_gone(true, start + 20s);
  EXPECT_EQ(machine.next_deadline(), start + 30s);
  EXPECT_FALSE(machine.stopping());
  EXPECT_EQ(machine.look(start + 30s), Step::leave_with_head);
  EXPECT_TRUE(machine.stopping());
}

TEST(NodeStop, OneThatLeavesAnywayDoesNotLeaveAgain) {
  StopMachine machine(10s);
  machine.head_is_gone(true, start);
  EXPECT_EQ(machine.signalled(SIGTERM, start + 1s), Step::leave_in_order);
  EXPECT_EQ(machine.look(start + 10s), Step::nothing);
  EXPECT_EQ(machine.next_deadline(), never);
}

TEST(NodeStop, WithoutATimeAHeadIsAwaitedForEver) {
  StopMachine machine;
  machine.head_is_gone(true, start);
  EXPECT_EQ(machine.next_deadline(), never);
}

// --- Dead workers -----------------------------------------------------------------------------------------------

constexpr WorkerId one{1}, other{2};

DeathBook::Dead dead(WorkerId worker, int signal, TimePoint at = start) {
  DeathBook::Dead dead{worker, {}};
  dead.end.signal = signal;
  dead.end.at = at;
  return dead;
}

std::vector<WorkerId> workers(const std::vector<DeathBook::Dead>& all) {
  std::vector<WorkerId> ids;
  for (const DeathBook::Dead& dead : all) ids.push_back(dead.worker);
  return ids;
}

TEST(NodeDeaths, WithoutDevicesADeathIsReportedAtOnce) {
  DeathBook book;
  EXPECT_TRUE(book.ended(dead(one, SIGSEGV), {}));
  EXPECT_TRUE(book.ended(dead(other, SIGTERM), {.expected = true}));
  EXPECT_EQ(book.next_deadline(), never);
}

TEST(NodeDeaths, ALookAtTheDevicesComesFirst) {
  DeathBook book;
  EXPECT_FALSE(book.ended(dead(one, SIGSEGV), {.devices_watched = true}));
  EXPECT_EQ(workers(book.looked_at(start - 1ms)), std::vector<WorkerId>{});  // taken before it has ended
  EXPECT_EQ(workers(book.looked_at(start)), std::vector{one});
  EXPECT_FALSE(book.ended(dead(other, SIGKILL), {.devices_watched = true}));
  EXPECT_EQ(book.next_deadline(), start + limits::look_at_death_patience);  // a driver may hang
  EXPECT_EQ(workers(book.due(start + limits::look_at_death_patience)), std::vector{other});
  EXPECT_EQ(book.next_deadline(), never);
}

TEST(NodeDeaths, ASigtermOfOthersMayBeForTheNodeToo) {
  DeathBook book;
  EXPECT_FALSE(book.ended(dead(one, SIGTERM), {.devices_watched = true}));
  EXPECT_EQ(workers(book.looked_at(start + 1ms)), std::vector<WorkerId>{});
  EXPECT_EQ(workers(book.due(start + limits::terminated_with_us - 1ms)), std::vector<WorkerId>{});
  const auto reported = book.due(start + limits::terminated_with_us);
  EXPECT_EQ(workers(reported), std::vector{one});
  EXPECT_EQ(reported.front().end.signal, SIGTERM);
}

}  // namespace
}  // namespace dc::node

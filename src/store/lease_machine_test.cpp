// How long the holder of a lease may believe in it, and when it asks again. (lease_thread_test.cpp has the thread.)
#include "store/lease_machine.hpp"

#include <gtest/gtest.h>

namespace dc::store {
namespace {

class LeaseMachineTest : public testing::Test {
 protected:
  LeaseMachine machine(Duration silence = Duration::zero()) { return {{.taken = start, .silence = silence}, start}; }
  static Renewal failed(ErrorCode code, Duration held = Duration::zero()) { return {fail(code, "no"), held}; }

  const TimePoint start = TimePoint{} + 1h;
};

TEST_F(LeaseMachineTest, ItIsOursForItsTimeAndUnsureAfterThat) {
  const LeaseMachine lease = machine();
  EXPECT_EQ(lease.hold(start), Hold::ours);
  EXPECT_EQ(lease.hold(start + limits::store_lease - 1ns), Hold::ours);
  EXPECT_EQ(lease.hold(start + limits::store_lease), Hold::unsure);
}

TEST_F(LeaseMachineTest, ARenewalCountsFromItsQuestion) {
  LeaseMachine lease = machine();
  ASSERT_TRUE(lease.renews(start + 5s));
  lease.renewed(start + 5s, {}, start + 9s);
  EXPECT_EQ(lease.hold(start + 15s - 1ns), Hold::ours);
  EXPECT_EQ(lease.hold(start + 15s), Hold::unsure);
  EXPECT_EQ(lease.next_at(), start + 5s + limits::store_renew_interval);
}

TEST_F(LeaseMachineTest, OneThatFailedChangesNothingAndIsTriedAgainSoon) {
  LeaseMachine lease = machine();
  lease.renewed(start + 1s, failed(ErrorCode::unreachable), start + 3s);
  EXPECT_EQ(lease.next_at(), start + 3s + limits::store_renew_again);
  EXPECT_EQ(lease.state().error().code, ErrorCode::unreachable);
  EXPECT_EQ(lease.hold(start + limits::store_lease), Hold::unsure);
  lease.renewed(start + 30s, {}, start + 30s);
  EXPECT_EQ(lease.hold(start + 30s), Hold::ours) << "nobody has taken it meanwhile";
}

TEST_F(LeaseMachineTest, AStoreWithoutRoomThatSaysWhoseItIsGivesALittleTime) {
  LeaseMachine lease = machine();
  lease.renewed(start + 20s, failed(ErrorCode::full, limits::store_takeover_pause), start + 20s);
  EXPECT_EQ(lease.hold(start + 20s), Hold::ours);
  EXPECT_EQ(lease.hold(start + 20s + limits::store_takeover_pause), Hold::unsure);
}

TEST_F(LeaseMachineTest, OneThatIsLostIsLostForGood) {
  LeaseMachine lease = machine();
  lease.renewed(start + 1s, failed(ErrorCode::fenced), start + 1s);
  EXPECT_EQ(lease.hold(start + 1s), Hold::lost);
  EXPECT_EQ(lease.next_at(), never);
}

TEST_F(LeaseMachineTest, NothingIsSaidDuringThePause) {
  const LeaseMachine lease = machine(limits::store_takeover_pause);
  EXPECT_EQ(lease.hold(start), Hold::unsure);
  EXPECT_EQ(lease.silence_left(start + 1s), limits::store_takeover_pause - 1s);
  EXPECT_EQ(lease.hold(start + limits::store_takeover_pause), Hold::ours);
  EXPECT_EQ(lease.silence_left(start + 1h), Duration::zero());
}

TEST_F(LeaseMachineTest, AHeadOfWhichAPartHangsDoesNotRenewIt) {
  LeaseMachine lease = machine();
  const TimePoint late = start + limits::store_stuck_after;
  lease.moved(Part::loop, late);
  EXPECT_FALSE(lease.renews(late)) << "its journal has not moved";
  EXPECT_EQ(lease.take_warning(), "this head has not moved for 30 s: it does not renew its hold on the store any more");
  EXPECT_EQ(lease.next_at(), late + limits::store_renew_again);
  EXPECT_FALSE(lease.renews(late + 1s));
  EXPECT_EQ(lease.take_warning(), "") << "that is said once";
  lease.moved(Part::journal, late + 1s);
  EXPECT_TRUE(lease.renews(late + 1s));
}

}  // namespace
}  // namespace dc::store

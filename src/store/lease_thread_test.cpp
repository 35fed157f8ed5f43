// Renewal, certainty and loss, with a store that answers as the test wants.
#include "store/lease_thread.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "store/until_for_tests.hpp"

namespace dc::store {
namespace {

class Leases : public testing::Test {
 protected:
  void start(Duration stuck_after = limits::store_stuck_after, Duration silence = Duration::zero()) {
    thread_ = std::make_unique<LeaseThread>(LeaseThread::Options{.renew = [this] { return renew(); },
                                                                 .taken = taken_,
                                                                 .silence = silence,
                                                                 .every = 5ms,
                                                                 .again = 1ms,
                                                                 .stuck_after = stuck_after});
  }
  LeaseThread::Renewal renew() {
    const std::lock_guard lock(mutex_);
    ++renewals_;
    return answer_;
  }
  void answer(LeaseThread::Renewal renewal) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(renewal);
  }
  int renewals() {
    const std::lock_guard lock(mutex_);
    return renewals_;
  }
  /// So many more renewals have come.
  bool come(int more) {
    const int before = renewals();
    return until([&] { return renewals() >= before + more; });
  }
  BootClock::time_point taken_ = BootClock::now();
  std::mutex mutex_;
  LeaseThread::Renewal answer_;
  int renewals_ = 0;
  std::unique_ptr<LeaseThread> thread_;
};

TEST_F(Leases, AreOursWhileTheyAreRenewed) {
  taken_ = BootClock::now() - limits::store_lease + 50ms;
  start();
  ASSERT_TRUE(come(20));
  EXPECT_EQ(thread_->hold(), Hold::ours);
  EXPECT_TRUE(thread_->state());
}

TEST_F(Leases, AreUnsureWhenTheyCouldNotBeRenewedForTooLongAndOursAgainAfterThat) {
  answer({fail(ErrorCode::unreachable, "no answer")});
  taken_ = BootClock::now() - limits::store_lease;
  start();
  EXPECT_EQ(thread_->hold(), Hold::unsure);
  ASSERT_TRUE(come(3));
  EXPECT_EQ(thread_->state().error().message, "no answer");
  answer({});
  EXPECT_TRUE(until([&] { return thread_->hold() == Hold::ours; }));
}

TEST_F(Leases, AreOursForAWhileWhenTheStoreSaysSoThoughItHasNoRoom) {
  answer({fail(ErrorCode::full, "no room"), limits::store_takeover_pause});
  taken_ = BootClock::now() - limits::store_lease;
  start();
  EXPECT_TRUE(until([&] { return thread_->hold() == Hold::ours; }));
  EXPECT_EQ(thread_->state().error().code, ErrorCode::full);
}

TEST_F(Leases, AreLostForGood) {
  start();
  ASSERT_TRUE(come(2));
  answer({fail(ErrorCode::fenced, "taken by south")});
  ASSERT_TRUE(until([&] { return thread_->hold() == Hold::lost; }));
  EXPECT_EQ(thread_->state().error().message, "taken by south");
  answer({});
  const int before = renewals();
  pass(20ms);
  EXPECT_EQ(renewals(), before);
}

TEST_F(Leases, AreNotRenewedForAHeadThatHangs) {
  start(200ms);
  for (int i = 0; i < 50; ++i) {  // only one of the two moves
    thread_->moved(Part::journal);
    pass(10ms);
  }
  const int before = renewals();
  pass(50ms);
  EXPECT_EQ(renewals(), before);
  thread_->moved(Part::loop);
  thread_->moved(Part::journal);
  EXPECT_TRUE(come(1)) << "it moves again";
}

TEST_F(Leases, AStepThatIsKnownToTakeLongIsNoHanging) {
  start(50ms);
  thread_->moved(Part::loop, 10s);
  thread_->moved(Part::journal, 10s);
  pass(100ms);
  EXPECT_TRUE(come(2));
}

TEST_F(Leases, SayNothingDuringTheirPause) {
  start(limits::store_stuck_after, 1h);
  EXPECT_EQ(thread_->hold(), Hold::unsure);
  EXPECT_GT(thread_->silence_left(), 59min);
}

TEST_F(Leases, TroubleIsToldThoughTheRenewalWentWell) {
  answer({boost::outcome_v2::success(), Duration::zero(), "keys are thrown away"});
  start();
  ASSERT_TRUE(until([&] { return !thread_->trouble().empty(); }));
  EXPECT_EQ(thread_->state().error().code, ErrorCode::full);
  EXPECT_EQ(thread_->hold(), Hold::ours);
}

}  // namespace
}  // namespace dc::store

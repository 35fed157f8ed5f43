// When a standby may take a lease, look by look.
#include "store/lease_watch.hpp"

#include <gtest/gtest.h>

namespace dc::store {
namespace {

using Verdict = LeaseWatch::Verdict;

const TimePoint start = TimePoint{} + 1h;

/// Looks every 500 ms from `from` on, for so long, at what does not change.
Verdict look_for(LeaseWatch& watch, TimePoint from, Duration time, const char* lease = "a") {
  Verdict last = Verdict::watching;
  for (TimePoint now = from; now <= from + time; now += limits::standby_look_interval)
    last = watch.look(lease, now, now);
  return last;
}

TEST(LeaseWatch, OneThatNobodyRenewsIsQuietAfterTheLease) {
  LeaseWatch watch;
  EXPECT_EQ(look_for(watch, start, limits::store_lease - 1ms), Verdict::watching);
  EXPECT_EQ(watch.quiet_at(), start + limits::store_lease);
  EXPECT_EQ(watch.look("a", start + limits::store_lease, start + limits::store_lease), Verdict::quiet);
}

TEST(LeaseWatch, ARenewalBeginsItAnew) {
  LeaseWatch watch;
  look_for(watch, start, 9s);
  EXPECT_EQ(watch.look("b", start + 9500ms, start + 9500ms), Verdict::renewed);
  EXPECT_EQ(look_for(watch, start + 10s, 9s, "b"), Verdict::watching);
  EXPECT_EQ(look_for(watch, start + 19500ms, 0s, "b"), Verdict::quiet);
}

TEST(LeaseWatch, AGapBetweenTwoLooksBeginsItAnew) {
  LeaseWatch watch;
  look_for(watch, start, 5s);
  EXPECT_EQ(watch.look("a", start + 30s, start + 30s), Verdict::watching) << "both may have been frozen";
  EXPECT_EQ(look_for(watch, start + 30500ms, 9s), Verdict::watching);
  EXPECT_EQ(look_for(watch, start + 40s, 0s), Verdict::quiet);
}

TEST(LeaseWatch, WhoWasRenewedDuringAGapLives) {
  LeaseWatch watch;
  look_for(watch, start, 5s);
  EXPECT_EQ(watch.look("b", start + 30s, start + 30s), Verdict::renewed);
}

TEST(LeaseWatch, AnAnswerThatTookLongIsNoOlderThanItsQuestion) {
  LeaseWatch watch;
  watch.look("a", start, start + 1s);  // it may have been written just before the answer
  EXPECT_EQ(look_for(watch, start + 1500ms, limits::store_lease - 1s), Verdict::watching);
  EXPECT_EQ(watch.look("a", start + limits::store_lease + 999ms, start + limits::store_lease + 2s), Verdict::watching);
  EXPECT_EQ(watch.look("a", start + limits::store_lease + 2s, start + limits::store_lease + 3s), Verdict::quiet);
}

}  // namespace
}  // namespace dc::store

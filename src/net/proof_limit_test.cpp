// Wrong passwords in all the frequencies that matter.
#include "net/proof_limit.hpp"

#include <gtest/gtest.h>

namespace dc::net {
namespace {

TEST(ProofLimit, HoldsUpWhoFailsTooOftenAndNobodyElse) {
  ProofLimit limit;
  TimePoint now{100s};
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(limit.admits("10.0.0.1", now));
    limit.failed("10.0.0.1", now);
  }
  EXPECT_FALSE(limit.admits("10.0.0.1", now));
  EXPECT_TRUE(limit.admits("10.0.0.2", now));
  now += 1s;
  EXPECT_TRUE(limit.admits("10.0.0.1", now));
  limit.failed("10.0.0.1", now);
  EXPECT_FALSE(limit.admits("10.0.0.1", now));
}

TEST(ProofLimit, ManyAddressesTogetherAreHeldUpButNotWhoNeverFailed) {
  ProofLimit limit;
  const TimePoint now{100s};
  for (int i = 0; i < 200; ++i) limit.failed("10.0." + std::to_string(i / 10) + "." + std::to_string(i % 10), now);
  EXPECT_FALSE(limit.admits("10.0.0.0", now));
  EXPECT_TRUE(limit.admits("192.168.0.1", now));
}

TEST(ProofLimit, MemoryIsBounded) {
  ProofLimit limit;
  const TimePoint now{100s};
  for (int i = 0; i < 50'000; ++i) limit.failed("host" + std::to_string(i), now);
  EXPECT_LE(limit.size(), 10'000U);
}

}  // namespace
}  // namespace dc::net

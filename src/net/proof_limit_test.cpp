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

TEST(ProofLimit, AnAddressWithAProofCannotBeUsedUpByAStrangerThere) {
  ProofLimit limit;
  TimePoint now{100s};
  EXPECT_FALSE(limit.knows("127.0.0.1", now));
  limit.opened("127.0.0.1");
  now += 48h;
  EXPECT_TRUE(limit.knows("127.0.0.1", now)) << "its session lasts";
  for (int i = 0; i < 150; ++i) limit.failed("127.0.0.1", now);
  EXPECT_TRUE(limit.admits("127.0.0.1", now));
  for (int i = 0; i < 500; ++i) limit.failed("127.0.0.1", now);
  EXPECT_FALSE(limit.admits("127.0.0.1", now)) << "guessing has a limit there too";
  EXPECT_TRUE(limit.admits("127.0.0.1", now + 20ms));
  limit.failed("10.0.0.1", now);
  EXPECT_TRUE(limit.admits("10.0.0.1", now)) << "others do not suffer";
  limit.closed("127.0.0.1", now);
  EXPECT_TRUE(limit.knows("127.0.0.1", now + 59min));
  EXPECT_FALSE(limit.knows("127.0.0.1", now + 61min));
}

TEST(ProofLimit, WhoeverFailedMostIsNotForgottenForOthers) {
  ProofLimit limit;
  const TimePoint now{100s};
  for (int i = 0; i < 20; ++i) limit.failed("10.0.0.1", now);
  for (int i = 0; i < 30'000; ++i) limit.failed("host" + std::to_string(i), now);
  EXPECT_FALSE(limit.admits("10.0.0.1", now));
}

TEST(ProofLimit, MemoryIsBounded) {
  ProofLimit limit;
  const TimePoint now{100s};
  for (int i = 0; i < 50'000; ++i) limit.failed("host" + std::to_string(i), now);
  EXPECT_LE(limit.size(), 10'000U);
  for (int i = 0; i < 11'000; ++i) {
    limit.opened("peer" + std::to_string(i));
    limit.closed("peer" + std::to_string(i), now + i * 1ms);
  }
  EXPECT_FALSE(limit.knows("peer0", now));
  EXPECT_TRUE(limit.knows("peer10999", now));
}

}  // namespace
}  // namespace dc::net

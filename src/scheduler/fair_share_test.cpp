// Weighted max-min shares.
#include "scheduler/fair_share.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dc::scheduler {
namespace {

using testing::ElementsAre;

TEST(FairShare, IsWeightedMaxMin) {
  using Shares = std::vector<std::uint32_t>;
  EXPECT_EQ(fair_share(4, {{1, 100}, {1, 100}}), (Shares{2, 2}));
  EXPECT_EQ(fair_share(4, {{1, 1}, {1, 100}}), (Shares{1, 3}));
  EXPECT_EQ(fair_share(6, {{2, 100}, {1, 100}}), (Shares{4, 2}));
  EXPECT_EQ(fair_share(3, {{1, 0}, {1, 2}}), (Shares{0, 2}));
  EXPECT_EQ(fair_share(0, {{1, 1}}), (Shares{0}));
}

}  // namespace
}  // namespace dc::scheduler

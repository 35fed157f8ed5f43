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

TEST(FairShare, CountsOnlySlotsThatAPoolCanUse) {
  using Shares = std::vector<std::uint32_t>;
  const std::vector<Demand> two{{1, 100}, {1, 100}};
  // Four that both can use, four that neither can.
  EXPECT_EQ(fair_share({{{true, true}, 4}, {{false, false}, 4}}, two), (Shares{2, 2}));
  // The second can use all, and leaves the first what it needs.
  EXPECT_EQ(fair_share({{{true, true}, 4}, {{false, true}, 4}}, two), (Shares{4, 4}));
  EXPECT_EQ(fair_share({{{true, true}, 2}, {{false, true}, 4}}, two), (Shares{2, 4}));
  // A chain: the third's only slot is reached by moving the second, which moves the first.
  const std::vector<Demand> three{{3, 2}, {2, 2}, {1, 1}};
  EXPECT_EQ(fair_share({{{true, false, false}, 1}, {{true, true, false}, 2}, {{false, true, true}, 2}}, three),
            (Shares{2, 2, 1}));
  // Whole workers only: three slots for workers of two make one, and the rest is the other's.
  EXPECT_EQ(fair_share({{{true, true}, 3}}, {{1, 100, 2}, {1, 100, 1}}), (Shares{2, 1}));
}

TEST(FairShare, GivesWholeWorkers) {
  using Shares = std::vector<std::uint32_t>;
  EXPECT_EQ(fair_share(5, {{1, 100, 2}}), (Shares{4}));
  EXPECT_EQ(fair_share(8, {{1, 100, 1}, {1, 100, 2}}), (Shares{4, 4}));
  EXPECT_EQ(fair_share(3, {{1, 100, 1}, {1, 100, 4}}), (Shares{3, 0}));
  EXPECT_EQ(fair_share(6, {{1, 3, 2}, {1, 100, 1}}), (Shares{2, 4}));
}

}  // namespace
}  // namespace dc::scheduler

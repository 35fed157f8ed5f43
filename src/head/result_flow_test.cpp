// Windows and turns: bounded in bytes, fair among nodes, and said only when something changes.
#include "head/result_flow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr PoolId pool{10};
constexpr NodeId a{1}, b{2}, c{3};

class ResultFlowTest : public testing::Test {
 protected:
  ResultFlow::Says said() { return std::exchange(says, {}); }
  static Attempt job(JobSequence sequence) { return {sequence, {77, 1}}; }
  ResultFlow flow{{.direct = {800, 5000}, .kept = {200, 1000}, .window_min = 100}};
  ResultFlow::Says says;
};

TEST_F(ResultFlowTest, NodesShareThePoolsWindow) {
  flow.add(pool, a, false, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 800, {}}));
  flow.add(pool, b, false, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 400, {}}, ResultFlow::Say{b, pool, 400, {}}));
  flow.add(pool, c, false, says);
  EXPECT_THAT(said(), SizeIs(3));
  flow.add(pool, NodeId{4}, false, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{NodeId{4}, pool, 200, {}})) << "the others need not be told";
  flow.add(pool, a, false, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 200, {}})) << "it is back, and does not know";
  flow.remove(NodeId{4}, says);
  flow.remove(pool, c, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 400, {}}, ResultFlow::Say{b, pool, 400, {}}));
  for (std::uint64_t node = 5; node < 105; ++node) flow.add(pool, NodeId{node}, false, says);
  EXPECT_EQ(said().back().window, 100U) << "and no less";
}

TEST_F(ResultFlowTest, LargeResultsHaveTurnsThatGoRoundTheNodes) {
  flow.add(pool, a, false, says);
  flow.add(pool, b, false, says);
  said();
  for (JobSequence i = 1; i <= 4; ++i) flow.ask(pool, a, job(i), 2000, says);
  flow.ask(pool, b, job(9), 2000, says);
  flow.ask(pool, a, job(1), 2000, says);  // said again, changes nothing
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 400, job(1)}, ResultFlow::Say{a, pool, 400, job(2)}));
  flow.acknowledged(pool, a, job(7), says);  // a small one
  EXPECT_THAT(said(), IsEmpty());
  flow.acknowledged(pool, a, job(1), says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{b, pool, 400, job(9)}));
  flow.acknowledged(pool, a, job(3), says);  // it was not wanted any more
  flow.acknowledged(pool, a, job(2), says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 400, job(4)}));
}

TEST_F(ResultFlowTest, WhatNodesThatAreGoneHaveSentTakesTheRoomOfOthers) {
  flow.add(pool, a, false, says);
  said();
  flow.strand(pool, 750, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 100, {}})) << "no less than that";
  flow.strand(pool, 730, says);
  EXPECT_THAT(said(), IsEmpty()) << "not with every result";
  for (JobSequence i = 1; i <= 3; ++i) flow.ask(pool, a, job(i), 4000, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 100, job(1)})) << "two only where nothing else waits";
  flow.strand(pool, 0, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 800, {}}, ResultFlow::Say{a, pool, 800, job(2)}));
}

TEST_F(ResultFlowTest, TwoTurnsAreOutHoweverLargeTheyAre) {
  flow.add(pool, a, false, says);
  said();
  for (JobSequence i = 1; i <= 3; ++i) flow.ask(pool, a, job(i), 1'000'000, says);
  EXPECT_THAT(said(), SizeIs(2));
  flow.acknowledged(pool, a, job(2), says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 800, job(3)}));
}

TEST_F(ResultFlowTest, ANodeThatIsGoneGivesItsTurnsBack) {
  flow.add(pool, a, false, says);
  flow.add(pool, b, false, says);
  for (JobSequence i = 1; i <= 4; ++i) flow.ask(pool, a, job(i), 3000, says);
  said();
  flow.ask(pool, b, job(9), 3000, says);
  EXPECT_THAT(said(), IsEmpty());
  flow.remove(a, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{b, pool, 800, {}}, ResultFlow::Say{b, pool, 800, job(9)}));
  flow.ask(pool, a, job(1), 3000, says);  // late
  flow.close(pool);
  flow.acknowledged(pool, b, job(9), says);
  flow.remove(b, says);
  EXPECT_THAT(said(), IsEmpty());
}

TEST_F(ResultFlowTest, WhatIsKeptHasLessRoom) {
  flow.add(pool, a, true, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 200, {}}));
  for (JobSequence i = 1; i <= 3; ++i) flow.ask(pool, a, job(i), 500, says);
  EXPECT_THAT(said(), ElementsAre(ResultFlow::Say{a, pool, 200, job(1)}, ResultFlow::Say{a, pool, 200, job(2)}));
}

}  // namespace
}  // namespace dc::head

// What the node keeps: within the window at once, larger ones by their turn, the rest when there is room.
#include "node/kept_results.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dc::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class KeptResultsTest : public testing::Test {
 protected:
  static Attempt job(JobSequence sequence, std::uint32_t attempt = 1) { return {sequence, {77, attempt}}; }
  /// Costs `bytes` in all.
  bool add(JobSequence sequence, std::size_t bytes, std::uint32_t attempt = 1) {
    Outcome outcome{Payload(std::string(bytes - limits::result_overhead_bytes, 'x')), {}};
    return results.offer(sequence, results.add(sequence, {job(sequence, attempt).token, WorkerId{1}, 5, outcome}));
  }
  std::vector<JobSequence> sent() {
    std::vector<JobSequence> all;
    while (const auto next = results.next()) all.push_back(*next);
    return all;
  }
  KeptResults results{{.window_min = 1000, .bytes_max = 6000, .results_max = 5}};
};

TEST_F(KeptResultsTest, SmallOnesWaitForRoomInTheirOrder) {
  EXPECT_TRUE(add(1, 500));
  EXPECT_TRUE(add(2, 500));
  EXPECT_FALSE(add(3, 600));
  EXPECT_FALSE(add(4, 300)) << "though there would be room soon";
  EXPECT_THAT(sent(), IsEmpty());
  results.acknowledge(job(1, 9));  // of another attempt
  EXPECT_THAT(sent(), IsEmpty());
  results.acknowledge(job(1));
  EXPECT_THAT(sent(), IsEmpty());
  results.acknowledge(job(2));
  EXPECT_THAT(sent(), ElementsAre(3, 4));
  results.acknowledge(job(3));
  results.acknowledge(job(4));
  EXPECT_TRUE(results.empty() && !results.any_parked());
  EXPECT_TRUE(add(5, 1000)) << "all room is back";
}

TEST_F(KeptResultsTest, LargeOnesHaveTheirTurnAndTakeNoRoom) {
  EXPECT_FALSE(add(1, 3000));
  EXPECT_TRUE(results.at(1).large);
  EXPECT_TRUE(add(2, 1000)) << "small ones pass it";
  results.turn(job(1, 9));  // of an attempt that is gone
  EXPECT_THAT(sent(), IsEmpty());
  results.turn(job(1));
  results.turn(job(1));
  EXPECT_THAT(sent(), ElementsAre(1));
  results.acknowledge(job(1));
  EXPECT_FALSE(add(3, 500));
  results.acknowledge(job(2));
  EXPECT_THAT(sent(), ElementsAre(3));
}

TEST_F(KeptResultsTest, AWindowThatShrinksMakesSmallOnesLarge) {
  results.window(2000);
  EXPECT_TRUE(add(1, 1500));
  EXPECT_FALSE(add(2, 1500));
  EXPECT_FALSE(add(3, 300));
  results.window(1000);
  EXPECT_THAT(sent(), IsEmpty());
  EXPECT_THAT(results.new_asks(), ElementsAre(2));
  EXPECT_THAT(results.new_asks(), IsEmpty());
  results.acknowledge(job(1));
  EXPECT_THAT(sent(), ElementsAre(3));
  results.turn(job(2));
  EXPECT_THAT(sent(), ElementsAre(2));
}

TEST_F(KeptResultsTest, ANewSessionBeginsWithNothingUnderWay) {
  EXPECT_TRUE(add(1, 800));
  EXPECT_FALSE(add(2, 800));
  EXPECT_FALSE(add(3, 5000));
  results.session_over();
  EXPECT_THAT(results.attempts(), ElementsAre(job(1), job(2), job(3)));
  EXPECT_TRUE(results.offer(1, results.at(1)));
  EXPECT_FALSE(results.offer(2, results.at(2)));
  EXPECT_FALSE(results.offer(3, results.at(3)));
  results.acknowledge(job(1));
  EXPECT_THAT(sent(), ElementsAre(2));
}

TEST_F(KeptResultsTest, OneThatIsAcknowledgedWhileItIsParkedHoldsUpNobody) {
  EXPECT_TRUE(add(1, 800));
  results.session_over();
  EXPECT_TRUE(add(2, 800));
  EXPECT_FALSE(results.offer(1, results.at(1)));
  results.acknowledge(job(2));
  results.acknowledge(job(1));  // which the earlier session had sent
  EXPECT_TRUE(results.empty());
  EXPECT_TRUE(add(3, 800)) << "no acknowledgement will come that could let it go";
}

TEST_F(KeptResultsTest, AnAttemptIsNotHeldUpByTheParkedOneThatItReplaces) {
  EXPECT_TRUE(add(1, 800));
  EXPECT_FALSE(add(2, 800));
  results.acknowledge(job(1));
  EXPECT_TRUE(add(2, 800, 2));
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(KeptResultsTest, AnotherAttemptTakesTheResultsPlace) {
  EXPECT_TRUE(add(1, 900));
  EXPECT_TRUE(add(1, 1000, 2)) << "the first one takes no room any more";
  results.acknowledge(job(1));
  EXPECT_FALSE(results.empty());
  results.acknowledge(job(1, 2));
  EXPECT_TRUE(results.empty());
}

TEST_F(KeptResultsTest, ItIsFullAtABoundAndNoMoreAtHalfOfIt) {
  for (JobSequence i = 1; i <= 5; ++i) add(i, 300);
  EXPECT_FALSE(results.full(false));
  add(6, 300);
  EXPECT_TRUE(results.full(false));
  for (JobSequence i = 1; i <= 3; ++i) results.acknowledge(job(i));
  EXPECT_TRUE(results.full(true));
  results.acknowledge(job(4));
  EXPECT_FALSE(results.full(true));
  add(7, 5900);
  EXPECT_TRUE(results.full(false)) << "in bytes";
}

TEST_F(KeptResultsTest, TextsOfErrorsCount) {
  ErrorInfo error = ErrorInfo::of(ErrorKind::job_error, std::string(700, 'x'));
  error.traceback = std::string(700, 'x');
  Outcome outcome;
  outcome.error = error;
  EXPECT_FALSE(results.offer(1, results.add(1, {job(1).token, WorkerId{1}, 5, outcome})));
}

}  // namespace
}  // namespace dc::node

// Intervals of numbers.
#include "core/job_numbers.hpp"

#include <gmock/gmock.h>

#include <limits>

namespace dc {
namespace {

using testing::ElementsAre;
using testing::Pair;

std::vector<std::pair<JobSequence, JobSequence>> intervals(const JobNumbers& numbers) {
  return {numbers.intervals().begin(), numbers.intervals().end()};
}

TEST(JobNumbers, AreIntervals) {
  JobNumbers numbers;
  EXPECT_TRUE(numbers.add(1));
  EXPECT_TRUE(numbers.add(3));
  EXPECT_FALSE(numbers.add(3));
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, 1), Pair(3, 3)));
  EXPECT_TRUE(numbers.add(2));
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, 3)));
  numbers.add(10, 20);
  EXPECT_EQ(numbers.highest(), 20);
  numbers.remove(15);
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, 3), Pair(10, 14), Pair(16, 20)));
  numbers.remove(10);
  numbers.remove(20);
  numbers.remove(7);
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, 3), Pair(11, 14), Pair(16, 19)));
  EXPECT_TRUE(numbers.contains(11));
  EXPECT_FALSE(numbers.contains(10));
  EXPECT_FALSE(numbers.contains(0));
  EXPECT_TRUE(numbers.add(std::numeric_limits<JobSequence>::max() - 1)) << "a stranger's number costs no memory";
  EXPECT_EQ(numbers.intervals().size(), 4);
}

TEST(JobNumbers, TakeAWholeIntervalInOneStepWhateverItMeets) {
  JobNumbers numbers;
  for (const JobSequence sequence : {3, 5, 10, 20}) numbers.add(sequence);
  numbers.add(1, 2);
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, 3), Pair(5, 5), Pair(10, 10), Pair(20, 20)));
  numbers.add(4, 12);
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, 12), Pair(20, 20)));
  numbers.add(6, 7);
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, 12), Pair(20, 20)));
  numbers.add(14, 18);
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, 12), Pair(14, 18), Pair(20, 20)));
  constexpr JobSequence many = std::numeric_limits<JobSequence>::max() / 2;
  numbers.add(1, many);  // one by one this would never end
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, many)));
  numbers.add(7, 6);
  EXPECT_THAT(intervals(numbers), ElementsAre(Pair(1, many)));
}

}  // namespace
}  // namespace dc

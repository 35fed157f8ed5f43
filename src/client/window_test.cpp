// How far a map reads ahead, and what it hands out when.
#include "client/window.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dc::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Jobs = Window<std::string>;

constexpr std::size_t workers = 4;

/// Reads as many items of `size` bytes as there is room for; how many they were.
std::size_t read_batch(Jobs& jobs, JobSequence& last, std::size_t size = 1, bool slow = false) {
  std::vector<std::size_t> sizes;
  for (const auto room = jobs.room(); room.holds_more(sizes.size(), size * sizes.size()) && !(slow && !sizes.empty());)
    sizes.push_back(size);
  jobs.submitted(last + 1, sizes, slow);
  last += sizes.size();
  return sizes.size();
}

std::size_t read_all(Jobs& jobs, JobSequence& last, std::size_t size = 1) {
  std::size_t all = 0;
  while (const std::size_t some = read_batch(jobs, last, size)) all += some;
  return all;
}

void arrive(Jobs& jobs, JobSequence sequence, std::size_t bytes = 1) {
  jobs.arrived(sequence, bytes, std::to_string(sequence));
}

std::vector<std::string> handed_out(Jobs& jobs) {
  std::vector<std::string> all;
  while (auto outcome = jobs.next()) all.push_back(*outcome);
  return all;
}

TEST(Window, HandsOutInTheOrderOfTheItemsOrAsTheyCome) {
  for (const bool ordered : {true, false}) {
    Jobs jobs({.ordered = ordered}, workers);
    JobSequence last = 10;  // other streams of the pool have had numbers
    read_all(jobs, last);
    for (const JobSequence sequence : {13, 12}) arrive(jobs, sequence);
    EXPECT_EQ(handed_out(jobs), ordered ? std::vector<std::string>{} : (std::vector<std::string>{"13", "12"}));
    arrive(jobs, 11);
    EXPECT_EQ(handed_out(jobs),
              ordered ? (std::vector<std::string>{"11", "12", "13"}) : std::vector<std::string>{"11"});
  }
}

TEST(Window, ReadsTwoForEachWorkerAndGoesOnAtHalfOfThem) {
  Jobs jobs({.ordered = true}, 10);
  JobSequence last = 0;
  EXPECT_TRUE(jobs.due());
  EXPECT_EQ(read_all(jobs, last), 20U);
  EXPECT_FALSE(jobs.due());
  for (JobSequence sequence = 1; sequence <= 20; ++sequence) arrive(jobs, sequence);
  for (int i = 0; i < 9; ++i) jobs.next();
  EXPECT_FALSE(jobs.due()) << "results that wait for their consumer count";
  jobs.next();
  EXPECT_TRUE(jobs.due());
  EXPECT_EQ(read_all(jobs, last), 10U);
}

TEST(Window, ResultsThatWaitDoNotCountWhenItIsNotBounded) {
  Jobs jobs({.ordered = true, .bounded = false}, 10);
  JobSequence last = 0;
  EXPECT_EQ(read_all(jobs, last), 20U);
  for (JobSequence sequence = 2; sequence <= 11; ++sequence) arrive(jobs, sequence, limits::imap_window_bytes);
  EXPECT_THAT(handed_out(jobs), IsEmpty());
  EXPECT_TRUE(jobs.due());
  EXPECT_EQ(read_all(jobs, last), 10U);
}

TEST(Window, BatchesGrowWhileItemsComeQuicklyAndSlowOnesGoAlone) {
  Jobs jobs({.jobs_min = 1000}, workers);
  JobSequence last = 0;
  std::vector<std::size_t> batches;
  for (int i = 0; i < 10; ++i) batches.push_back(read_batch(jobs, last));
  EXPECT_THAT(batches, ElementsAre(1, 2, 4, 8, 16, 32, 64, 128, 256, Jobs::batch_max));
  EXPECT_EQ(read_batch(jobs, last, 1, true), 1U);
  EXPECT_TRUE(jobs.slow());
  EXPECT_FALSE(jobs.due()) << "what is there is consumed first";
  EXPECT_EQ(read_batch(jobs, last), 1U);
  EXPECT_EQ(read_batch(jobs, last), 2U);
}

TEST(Window, BytesLimitIsForArgumentsAndResultsButEachWorkerMayHaveOne) {
  Jobs jobs({}, workers);
  JobSequence last = 0;
  EXPECT_EQ(read_all(jobs, last, limits::imap_window_bytes / 8), 8U);
  Jobs huge({}, workers);
  EXPECT_EQ(read_all(huge, last = 0, 2 * limits::imap_window_bytes), workers);
  // Results of a quarter of the limit: those that are there count, and those to come count with their mean.
  Jobs results({}, 2);
  EXPECT_EQ(read_all(results, last = 0), 16U);
  for (JobSequence sequence = 1; sequence <= 16; ++sequence) arrive(results, sequence, limits::imap_window_bytes / 4);
  while (results.next()) {
  }
  EXPECT_EQ(read_all(results, last), 5U);
}

TEST(Window, NoMoreIsReadAfterTheEnd) {
  Jobs jobs({}, workers);
  JobSequence last = 0;
  EXPECT_TRUE(jobs.empty());
  read_batch(jobs, last);
  jobs.end_items();
  EXPECT_FALSE(jobs.due());
  EXPECT_EQ(read_all(jobs, last), 0U);
  EXPECT_FALSE(jobs.empty());
  arrive(jobs, 1);
  EXPECT_THAT(handed_out(jobs), ElementsAre("1"));
  EXPECT_TRUE(jobs.empty());
}

TEST(Window, WidensWhenJobsAreShortOrWorkersWouldBeIdle) {
  Jobs jobs({.ordered = true, .jobs_max = 100}, workers);
  JobSequence last = 0;
  EXPECT_EQ(read_all(jobs, last), 16U);
  EXPECT_EQ(jobs.begin_wait(), Jobs::look_again);
  jobs.end_wait(true, Jobs::short_wait, workers);
  EXPECT_EQ(read_all(jobs, last), 0U) << "they took long";
  jobs.end_wait(true, Jobs::short_wait - 1ns, workers);
  EXPECT_EQ(read_all(jobs, last), 16U);
  EXPECT_EQ(jobs.begin_wait(), Jobs::look_again);
  jobs.end_wait(false, Jobs::look_again, 20);
  EXPECT_EQ(read_all(jobs, last), 8U) << "two for each of the workers that there are now";
  // All but the first are there and wait for it: nobody has anything to do.
  for (JobSequence sequence = 2; sequence <= 40; ++sequence) arrive(jobs, sequence);
  EXPECT_EQ(jobs.begin_wait(), Duration::zero());
  jobs.end_wait(false, Duration::zero(), 20);
  EXPECT_EQ(read_all(jobs, last), 40U);
  for (JobSequence sequence = 41; sequence <= 80; ++sequence) arrive(jobs, sequence);
  EXPECT_EQ(jobs.begin_wait(), Duration::zero());
  jobs.end_wait(false, Duration::zero(), 20);
  EXPECT_EQ(read_all(jobs, last), 20U) << "there is a limit";
  EXPECT_EQ(jobs.begin_wait(), Jobs::look_again);
}

TEST(Window, WidensWhenManyResultsComeAtOnceAfterALongWay) {
  Jobs jobs({.ordered = false, .jobs_max = 100}, workers);
  JobSequence last = 0;
  EXPECT_EQ(read_all(jobs, last), 16U);
  const auto come = [&](JobSequence first, JobSequence end) {
    EXPECT_EQ(jobs.begin_wait(), Jobs::look_again);
    for (JobSequence sequence = first; sequence <= end; ++sequence) arrive(jobs, sequence);
    jobs.end_wait(true, 2 * Jobs::short_wait, workers);
    handed_out(jobs);
    return read_all(jobs, last);
  };
  EXPECT_EQ(come(1, 3), 3U) << "the jobs take long";
  EXPECT_EQ(come(4, 7), 4U + 16U);
  EXPECT_EQ(come(8, 14), 7U);
  EXPECT_EQ(come(15, 30), 16U + 32U);
}

}  // namespace
}  // namespace dc::client

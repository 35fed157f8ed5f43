// JobTable against a std::map.
#include "core/job_table.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace dc {
namespace {

using Items = std::vector<std::pair<JobSequence, std::string>>;

template <class Map>
Items items_of(const Map& map) {
  Items items;
  for (const auto& [sequence, text] : map) items.emplace_back(sequence, text);
  return items;
}

TEST(JobTable, IsAMapFromNumbersOfJobs) {
  std::mt19937 random(1);  // NOLINT: the same every time
  JobTable<std::string> table;
  std::map<JobSequence, std::string> map;
  for (int i = 0; i < 20'000; ++i) {
    const JobSequence sequence = 1 + random() % 500 * (random() % 2 == 0 ? 1 : 7);
    if (random() % 5 < 2) {
      table[sequence] = map[sequence] = std::to_string(i);
    } else if (const auto found = table.find(sequence); found != table.end()) {
      EXPECT_EQ(found->first, sequence);
      EXPECT_EQ(found->second, map.at(sequence));
      table.erase(found);
      map.erase(sequence);
    }
    EXPECT_EQ(table.size(), map.size());
    EXPECT_EQ(table.contains(sequence), map.contains(sequence));
    const auto next = table.lower_bound(sequence);
    const auto expected = map.lower_bound(sequence);
    ASSERT_EQ(next == table.end(), expected == map.end());
    if (expected != map.end()) {
      EXPECT_EQ(next->first, expected->first);
    }
    if (i % 100 == 0) {
      ASSERT_EQ(items_of(table), items_of(map));
    }
  }
  for (const auto& [sequence, text] : map) table.erase(table.find(sequence));
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.begin(), table.end());
}

TEST(JobTable, LeavesWhatItHasWhereItIs) {
  JobTable<std::string> table;
  std::string* const first = &table[64];
  *first = "first";
  for (JobSequence sequence = 1; sequence < 1000; sequence += 3) table[sequence] = "other";
  EXPECT_EQ(&table[64], first);
  EXPECT_EQ(table[64], "other");
  EXPECT_EQ(table[63], "");
}

TEST(JobTable, UsesTheRoomOfTheLatestAgain) {
  JobTable<std::string> table;
  const std::string* const first = &table[64];
  for (JobSequence sequence = 64; sequence < 64 * 50; ++sequence) {
    table[sequence] = "there";
    EXPECT_EQ(&table[sequence], first + sequence % 64);
    table.erase(table.find(sequence));
    EXPECT_TRUE(table.empty());
  }
  table[1] = "before";
  EXPECT_EQ(&table[1], first + 1);
}

TEST(JobTable, TakesTheHighestNumbers) {
  JobTable<int> table;
  table[UINT64_MAX] = 1;
  table[0] = 2;
  EXPECT_EQ(table.begin()->second, 2);
  EXPECT_EQ(table.lower_bound(1)->first, UINT64_MAX);
  EXPECT_EQ(++table.find(UINT64_MAX), table.end());
}

}  // namespace
}  // namespace dc

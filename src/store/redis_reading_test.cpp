// How logs are read from a Redis: in how many round trips, and past damage.
#include "core/limits.hpp"
#include "store/faulty_redis_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Redis = RedisFixture;

/// A store whose round trips are counted.
class RedisTrips : public FaultyRedisFixture {
 protected:
  void SetUp() override {
    FaultyRedisFixture::SetUp();
    if (!store_) return;
    // A large command is written in several pieces, one after the other.
    faults_.breaks = [this](std::string_view step) {
      trips_ += step == "read" && last_step_ == "write" ? 1 : 0;
      last_step_ = step;
      return false;
    };
    faults_.change_read = [this](std::string& text) { received_ += text.size(); };
  }
  std::string last_step_;
  int trips_ = 0;
  std::size_t received_ = 0;
};

TEST_F(RedisTrips, ManySmallLogsTakeFewRoundTrips) {
  constexpr LogId logs = 100;
  Logs expected;
  std::vector<Change> changes;
  for (LogId log = 0; log < logs; ++log) {
    changes.push_back(put(log, 1, entry(std::to_string(log))));
    expected[log].push_back(*changes.back().entry);
  }
  for (EntryNumber number = 2; number < 5000; ++number) {  // more than is measured at once
    changes.push_back(put(5, number, entry(std::to_string(number))));
    expected[5].push_back(*changes.back().entry);
  }
  ASSERT_EQ(problem(write(*store_, changes)), "");
  server_->ask({"HSET", key("entries"), "50000", "1"});
  server_->ask({"SET", key("log:50000:entries"), "a song"});
  EXPECT_EQ(code_of(store_->replay(50000, [](EntryNumber, Entry&&) {})), ErrorCode::protocol);
  trips_ = 0;
  ASSERT_EQ(store_->logs().value().size(), logs + 1);
  for (LogId log = 0; log < logs; ++log) EXPECT_EQ(read_log(*store_, log), expected[log]) << log;
  EXPECT_LT(trips_, 15) << "also where another log cannot be read";
  trips_ = 0;
  server_->ask({"HDEL", key("entries"), "50000"});
  EXPECT_EQ(read_all(*store_), expected);
  EXPECT_LT(trips_, 15);
}

TEST_F(RedisTrips, AStartWithAThousandPoolsTakesFewOfThem) {
  constexpr LogId logs = 1000;
  std::vector<Change> changes;
  for (LogId log = 0; log < logs; ++log) {
    changes.push_back(put(log, 1, entry("spec")));
    changes.push_back(put(log, 2, entry("jobs", {std::to_string(log), "shared"})));
  }
  ASSERT_EQ(problem(write(*store_, changes)), "");
  trips_ = 0;
  const Result<std::vector<LogId>> ids = store_->logs();
  ASSERT_EQ(ids.value().size(), logs);
  std::size_t payloads = 0;
  for (const LogId log : ids.value()) {
    std::vector<std::string> read;
    const auto each = [&](EntryNumber, Entry&& entry) {
      read.push_back(entry.bytes);
      payloads += entry.attachments.size();
    };
    ASSERT_EQ(problem(store_->replay(log, each, Attachments::refer)), "");
    ASSERT_THAT(read, ElementsAre("spec", "jobs"));
  }
  EXPECT_EQ(payloads, 2 * logs);
  EXPECT_LT(trips_, 20);
}

TEST_F(RedisTrips, WhatIsReadAtOnceIsBounded) {
  constexpr std::size_t size = std::size_t{3} << 20;
  constexpr int entries = 40;
  for (int i = 1; i <= entries; ++i) {
    const auto number = static_cast<EntryNumber>(i);
    ASSERT_EQ(problem(write(*store_, {put(1, number, entry(std::string(size, 'x'))), put(2, number, entry("small"))})),
              "");
  }
  ASSERT_EQ(store_->logs().value().size(), 2U);
  Position position;
  int read = 0;
  for (bool more = true; more;) {
    received_ = 0;
    const Result<bool> went = store_->read(1, position, Attachments::load, [&](EntryNumber, Entry&& entry) {
      EXPECT_EQ(entry.bytes.size(), size);
      ++read;
    });
    ASSERT_EQ(problem(went), "");
    EXPECT_GT(received_, size);
    EXPECT_LT(received_, limits::store_group_bytes + size / 2);
    more = went.value();
  }
  EXPECT_EQ(read, entries);
  EXPECT_EQ(read_log(*store_, 2).size(), static_cast<std::size_t>(entries));
}

TEST_F(RedisTrips, ANewEntryTakesOneAndTheEndOfOneTwo) {
  ASSERT_EQ(problem(write(*store_, {put(1, 1, entry("first of its log"))})), "");
  trips_ = 0;
  ASSERT_EQ(problem(write(*store_, {put(1, 2, entry("a")), put(1, 3, entry("b"))})), "");
  EXPECT_EQ(trips_, 1);
  ASSERT_EQ(problem(write(*store_, {put(1, 4, entry("c")), erase(1, 2), erase(1, 3)})), "");
  EXPECT_EQ(trips_, 3);
}

TEST_F(Redis, WhatWasReadAheadIsForgottenWhenItChanges) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}, {2, entry("b")}, {3, entry("c")}, {4, entry("d")}})), "");
  ASSERT_EQ(store->logs().value().size(), 4U);
  EXPECT_EQ(read_log(*store, 1), (std::vector<Entry>{entry("a")}));
  EXPECT_EQ(read_log(*store, 2), (std::vector<Entry>{entry("b")}));  // and 3 with it
  ASSERT_EQ(problem(append(*store, {{3, entry("more")}})), "");
  EXPECT_EQ(read_log(*store, 3), (std::vector<Entry>{entry("c"), entry("more")}));
  ASSERT_EQ(store->logs().value().size(), 4U);
  EXPECT_EQ(read_log(*store, 1).size(), 1U);
  EXPECT_EQ(read_log(*store, 2).size(), 1U);
  ASSERT_EQ(problem(replace(*store, 3, {entry("new")})), "");
  EXPECT_EQ(read_log(*store, 3), (std::vector<Entry>{entry("new")}));
}

TEST_F(Redis, ReadingGoesOnBehindDamage) {
  const auto store = open();
  ASSERT_EQ(problem(write(
                *store, {put(1, 1, entry("a")), put(1, 2, entry("b")), put(1, 3, entry("c")), put(1, 4, entry("d"))})),
            "");
  server_->ask({"HSET", key("log:1:entries"), "2", "x"});
  server_->ask({"HDEL", key("log:1:entries"), "3"});
  Position position;
  std::vector<std::string> told;
  for (bool more = true; more;) {
    const Result<bool> went =
        store->read(1, position, Attachments::refer, [&](EntryNumber, Entry&& entry) { told.push_back(entry.bytes); });
    if (!went) told.push_back(problem(went).substr(problem(went).find('(', 12)));
    more = !went || went.value();
    ASSERT_LT(told.size(), 10U);
  }
  EXPECT_THAT(told, ElementsAre("a", HasSubstr("an entry is damaged"), "d", HasSubstr("an entry is missing")));
}

}  // namespace
}  // namespace dc::store

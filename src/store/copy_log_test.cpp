// Logs are copied between stores of all kinds, whole or not at all.
#include "store/copy_log.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "store/memory_store.hpp"
#include "store/redis_fixture_for_tests.hpp"
#include "store/sqlite_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::HasSubstr;

const GoOn goes_on = [] { return Result<void>(boost::outcome_v2::success()); };

/// A store of one kind, with the place where it keeps what it has.
class Place {
 public:
  virtual ~Place() = default;
  virtual std::unique_ptr<Store> open() = 0;
};
class InMemory : public Place {
 public:
  std::unique_ptr<Store> open() override { return std::make_unique<MemoryStore>(disk_); }

 private:
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
};
class InSqlite : public Place {
 public:
  std::unique_ptr<Store> open() override {
    return std::make_unique<SqliteStore>(SqliteOptions{.path = dir_.file("head.db"), .content_hash = test_hash});
  }

 private:
  TemporaryDir dir_;
};
class InRedis : public Place {
 public:
  std::unique_ptr<Store> open() override {
    return std::make_unique<RedisStore>(RedisOptions{.address = server_.address(), .content_hash = test_hash});
  }

 private:
  RedisServer server_;
};

std::unique_ptr<Place> place_of(const std::string& kind) {
  if (kind == "Memory") return std::make_unique<InMemory>();
  if (kind == "Sqlite") return std::make_unique<InSqlite>();
  return std::make_unique<InRedis>();
}

std::unique_ptr<Store> acquired(Place& place) {
  auto store = place.open();
  EXPECT_EQ(problem(store->acquire(first_owner)), "");
  return store;
}

class CopyLog : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    const auto& [from, to] = GetParam();
    if ((from == "Redis" || to == "Redis") && RedisServer::program().empty()) GTEST_SKIP() << "no redis-server";
    from_place_ = place_of(from);
    to_place_ = place_of(to);
    from_ = acquired(*from_place_);
    to_ = acquired(*to_place_);
  }
  void reopen_target() {
    to_.reset();
    to_ = acquired(*to_place_);
  }

  std::unique_ptr<Place> from_place_, to_place_;
  std::unique_ptr<Store> from_, to_;
};

TEST_P(CopyLog, ALogIsTheSameInAnotherStoreWithWhatItSharesWithOthers) {
  const std::string shared(100'000, 's'), large(5 << 20, 'l'), larger(6 << 20, 'm');
  ASSERT_EQ(problem(write(*from_, {put(7, 3, entry("born", {shared})), put(7, 20, entry("", {"a", shared, "a"})),
                                   put(7, 21, entry("many megabytes", {large, shared, larger})),
                                   put(7, 1000, entry("last")), put(9, 1, entry("other", {shared, large}))})),
            "");
  const Result<CopiedLog> copied = copy_log(*from_, 7, *to_, 7, {}, goes_on);
  ASSERT_EQ(problem(copied), "");
  EXPECT_EQ(copied.value().entries, 4U);
  EXPECT_EQ(copied.value().bytes, 4 + 14 + 4 + 2 + 3 * shared.size() + large.size() + larger.size());
  ASSERT_EQ(problem(copy_log(*from_, 9, *to_, 11, {}, goes_on)), "");
  reopen_target();
  EXPECT_EQ(read_numbered(*to_, 7), read_numbered(*from_, 7));
  EXPECT_EQ(read_numbered(*to_, 11), read_numbered(*from_, 9));
  EXPECT_TRUE(same_log(*from_, *to_, 7).value());
  ASSERT_EQ(problem(to_->remove(11)), "");
  tidy(*to_);
  EXPECT_EQ(read_all(*to_), (Logs{{7, read_log(*from_, 7)}}));
}

TEST_P(CopyLog, ManyEntriesAreAllThereAndTheFirstIsWrittenLast) {
  std::vector<Change> changes;
  for (EntryNumber number = 2; number < 10'000; ++number) changes.push_back(put(1, number, entry("e")));
  ASSERT_EQ(problem(from_->write(changes)), "");
  bool began = false;
  const GoOn look = [&]() -> Result<void> {
    if (began) {
      EXPECT_GT(read_numbered(*to_, 1).begin()->first, 2U);
    }
    began = !to_->logs().value().empty();
    return boost::outcome_v2::success();
  };
  ASSERT_EQ(problem(copy_log(*from_, 1, *to_, 1, entry("another first", {"with a payload"}), look)), "");
  EXPECT_TRUE(began);
  auto expected = read_numbered(*from_, 1);
  expected[2] = entry("another first", {"with a payload"});
  EXPECT_EQ(read_numbered(*to_, 1), expected);
  EXPECT_FALSE(same_log(*from_, *to_, 1).value());
}

TEST_P(CopyLog, ACopyThatIsInterruptedAnywhereLeavesNothing) {
  ASSERT_EQ(problem(write(*from_, {put(1, 1, entry("a", {std::string(5 << 20, 'x'), std::string(5 << 20, 'y')})),
                                   put(1, 2, entry("b", {"c"})), put(1, 3, entry("d"))})),
            "");
  ASSERT_EQ(problem(write(*to_, {put(2, 1, entry("stays"))})), "");
  int asked = 0, most = 0;
  const GoOn ends = [&]() -> Result<void> {
    if (++asked <= most) return boost::outcome_v2::success();
    return fail(ErrorCode::left, "interrupted");
  };
  Result<CopiedLog> copied = fail(ErrorCode::left, "");
  for (; !copied; ++most) {
    asked = 0;
    copied = copy_log(*from_, 1, *to_, 1, {}, ends);
    if (copied) break;
    EXPECT_EQ(problem(copied), "interrupted");
    EXPECT_EQ(read_all(*to_), (Logs{{2, {entry("stays")}}}));
  }
  EXPECT_GT(most, 5);
  EXPECT_EQ(read_numbered(*to_, 1), read_numbered(*from_, 1));
}

INSTANTIATE_TEST_SUITE_P(Stores, CopyLog,
                         testing::Combine(testing::Values("Memory", "Sqlite", "Redis"),
                                          testing::Values("Memory", "Sqlite", "Redis")),
                         [](const auto& pair) { return std::get<0>(pair.param) + "To" + std::get<1>(pair.param); });

using CopyDamaged = SqliteFixture;

TEST_F(CopyDamaged, ADamagedEntryOrPayloadOrALostOneLeavesNothing) {
  ASSERT_EQ(problem(write(*open(), {put(1, 1, entry("a")), put(1, 2, entry("b", {std::string(100'000, 'x')})),
                                    put(1, 3, entry("c"))})),
            "");
  const std::vector<std::string> damages{"UPDATE entries SET bytes = x'00' WHERE number = 3",
                                         "UPDATE contents SET bytes = x'00'", "DELETE FROM contents",
                                         "DELETE FROM entries WHERE number = 3"};
  for (const std::string& damage : damages) {
    SCOPED_TRACE(damage);
    const std::string sound = path_;
    path_ = dir_.file("damaged.db");
    std::filesystem::copy_file(sound, path_, std::filesystem::copy_options::overwrite_existing);
    edit(damage);
    {
      const auto from = open();
      MemoryStore to;
      ASSERT_EQ(problem(to.acquire(first_owner)), "");
      const Result<CopiedLog> copied = copy_log(*from, 1, to, 1, {}, goes_on);
      EXPECT_EQ(code_of(copied), ErrorCode::protocol);
      EXPECT_THAT(problem(copied), HasSubstr(path_));
      EXPECT_EQ(read_all(to), Logs{});
    }
    path_ = sound;
  }
}

TEST_F(CopyDamaged, AStoreThatIsFullIsLeftAsItWas) {
  const auto from = open();
  ASSERT_EQ(problem(write(*from, {put(1, 1, entry("a")), put(1, 2, entry("b", {std::string(100'000, 'x')}))})), "");
  const auto disk = std::make_shared<MemoryDisk>();
  disk->bytes_max = 50'000;
  MemoryStore to(disk);
  ASSERT_EQ(problem(to.acquire(first_owner)), "");
  EXPECT_EQ(code_of(copy_log(*from, 1, to, 1, {}, goes_on)), ErrorCode::full);
  EXPECT_EQ(read_all(to), Logs{});
}

TEST(SameLog, IsToldFromAnotherByNumbersBytesAndPayloads) {
  MemoryStore one;
  ASSERT_EQ(problem(one.acquire(first_owner)), "");
  ASSERT_EQ(problem(write(one, {put(1, 1, entry("a", {"p"})), put(1, 2, entry("b"))})), "");
  const std::vector<std::vector<Change>> others{{put(1, 1, entry("a", {"p"})), put(1, 3, entry("b"))},
                                                {put(1, 1, entry("a", {"q"})), put(1, 2, entry("b"))},
                                                {put(1, 1, entry("a", {"p"})), put(1, 2, entry("c"))},
                                                {put(1, 1, entry("a", {"p", "p"})), put(1, 2, entry("b"))},
                                                {put(1, 1, entry("a", {"p"}))},
                                                {put(2, 1, entry("a", {"p"})), put(2, 2, entry("b"))}};
  for (const std::vector<Change>& changes : others) {
    MemoryStore other;
    ASSERT_EQ(problem(other.acquire(first_owner)), "");
    ASSERT_EQ(problem(write(other, changes)), "");
    EXPECT_FALSE(same_log(one, other, 1).value());
    EXPECT_FALSE(same_log(other, one, 1).value());
  }
  EXPECT_TRUE(same_log(one, one, 1).value());
}

}  // namespace
}  // namespace dc::store

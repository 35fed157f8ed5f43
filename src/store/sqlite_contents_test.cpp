// Which contents stand in an SQLite file, and when they leave it.
#include <filesystem>

#include "core/limits.hpp"
#include "store/sqlite_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::HasSubstr;

using Sqlite = SqliteFixture;

TEST_F(Sqlite, ContentsGoWithTheirLastEntry) {
  const auto store = open();
  ASSERT_EQ(problem(write(*store, {put(1, 1, entry("a", {"one", "two"})), put(2, 1, entry("b", {"two", "two"}))})), "");
  const auto contents = [&] {
    tidy(*store);
    EXPECT_EQ(number("SELECT count(*) FROM orphans"), 0);
    return number("SELECT count(*) FROM contents");
  };
  EXPECT_EQ(contents(), 2);
  ASSERT_EQ(problem(write(*store, {put(1, 1, entry("a", {"two"}))})), "");
  EXPECT_EQ(number("SELECT count(*) FROM contents"), 2) << "a write deletes none";
  EXPECT_EQ(contents(), 1);
  ASSERT_EQ(problem(replace(*store, 1, {entry("a", {"three"})})), "");
  EXPECT_EQ(contents(), 2);
  ASSERT_EQ(problem(write(*store, {erase(2, 1)})), "");
  EXPECT_EQ(contents(), 1);
  ASSERT_EQ(problem(store->remove(1)), "");
  EXPECT_EQ(number("SELECT count(*) FROM contents"), 1);
  EXPECT_EQ(contents(), 0);
  EXPECT_EQ(number("SELECT count(*) FROM attachments") + number("SELECT count(*) FROM logs"), 0);
}

TEST_F(Sqlite, ShrinksWhenTheLogDoes) {
  const auto store = open();
  ASSERT_EQ(problem(replace(*store, 1, many(20'000, 2000))), "");
  const auto large = std::filesystem::file_size(path_) + std::filesystem::file_size(path_ + "-wal");
  ASSERT_EQ(problem(replace(*store, 1, {entry("done")})), "");
  tidy(*store);
  EXPECT_GT(large, 40'000'000U);
  EXPECT_LT(std::filesystem::file_size(path_) + std::filesystem::file_size(path_ + "-wal"), large / 10);
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("done")}}}));
}

/// Of several parts, none like another.
std::string large_content(std::size_t parts) {
  std::string content(parts * limits::store_part_bytes - 17, 'l');
  for (std::size_t i = 0; i < content.size(); i += 1013) content[i] = static_cast<char>(i / 1013);
  return content;
}

TEST_F(Sqlite, AContentIsDeletedInSlices) {
  const auto store = open();
  ASSERT_EQ(problem(write(*store, {put(1, 1, entry("a", {large_content(5), "small"})), put(1, 2, entry("b"))})), "");
  const auto parts = [&] { return number("SELECT count(*) FROM contents"); };
  EXPECT_EQ(parts(), 6);
  ASSERT_EQ(problem(write(*store, {erase(1, 1)})), "");
  std::vector<std::int64_t> left{parts()};
  for (bool more = true; more && left.size() < 100;) {
    const Result<bool> tidied = store->tidy();
    ASSERT_EQ(problem(tidied), "");
    more = tidied.value();
    left.push_back(parts());
  }
  EXPECT_EQ(left.front(), 6) << "not by the write";
  EXPECT_EQ(left.back(), 0);
  for (std::size_t i = 1; i < left.size(); ++i) EXPECT_LE(left[i - 1] - left[i], 3) << "32 MiB at once";
  EXPECT_EQ(number("SELECT count(*) FROM orphans"), 0);
  EXPECT_EQ(number("PRAGMA auto_vacuum"), 2) << "other commits move nothing";
  EXPECT_LT(std::filesystem::file_size(path_) + std::filesystem::file_size(path_ + "-wal"), limits::store_part_bytes);
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("b")}}}));
}

TEST_F(Sqlite, WhatComesAgainWhileItIsHalfDeletedIsStoredWhole) {
  const auto store = open();
  const std::string content = large_content(4);
  ASSERT_EQ(problem(write(*store, {put(1, 1, entry("a", {content}))})), "");
  ASSERT_EQ(problem(store->remove(1)), "");
  ASSERT_TRUE(store->tidy().value());
  const std::int64_t left = number("SELECT count(*) FROM contents");
  ASSERT_TRUE(left > 0 && left < 4) << left;
  ASSERT_EQ(problem(write(*store, {put(2, 1, entry("b", {content}))})), "");
  tidy(*store);
  EXPECT_EQ(number("SELECT count(*) FROM contents"), 4);
  EXPECT_EQ(read_log(*store, 2), std::vector<Entry>{entry("b", {content})});
  ASSERT_EQ(problem(write(*store, {erase(2, 1)})), "");
  tidy(*store);
  EXPECT_EQ(number("SELECT count(*) FROM contents"), 0);
}

TEST_F(Sqlite, WhatAHeadLeftUntidiedIsDeletedByTheNext) {
  ASSERT_EQ(problem(write(*open(), {put(1, 1, entry("a", {"one", "two"})), put(2, 1, entry("b", {"two"}))})), "");
  ASSERT_EQ(problem(open()->remove(1)), "");
  const auto store = open();
  EXPECT_EQ(number("SELECT count(*) FROM contents"), 2);
  tidy(*store);
  EXPECT_EQ(number("SELECT count(*) FROM contents"), 1);
  EXPECT_EQ(read_all(*store), (Logs{{2, {entry("b", {"two"})}}}));
}

/// Reading must not touch them: what is damaged there is noticed by whoever loads it.
TEST_F(Sqlite, ContentsThatAreReferredToAreNotRead) {
  const auto store = open();
  ASSERT_EQ(problem(write(*store, {put(1, 1, entry("a", {"first"}))})), "");
  edit("UPDATE contents SET bytes = CAST('FIRST' AS BLOB)");
  std::vector<Entry> read;
  ASSERT_EQ(problem(store->replay(
                1, [&](EntryNumber, Entry&& entry) { read.push_back(std::move(entry)); }, Attachments::refer)),
            "");
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].attachments[0].size(), 5U);
  EXPECT_THAT(problem(store->load(read[0].attachments[0])), HasSubstr("missing or damaged"));
}

}  // namespace
}  // namespace dc::store

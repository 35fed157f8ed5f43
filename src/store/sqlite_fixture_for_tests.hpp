// A test with an SQLite file, which other programs may change.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "store/sqlite_store.hpp"
#include "store/store_fixture_for_tests.hpp"

namespace dc::store {

class SqliteFixture : public testing::Test {
 protected:
  std::unique_ptr<SqliteStore> open(std::uint64_t pages_max = 0) {
    auto store =
        std::make_unique<SqliteStore>(SqliteOptions{.path = path_, .content_hash = test_hash, .pages_max = pages_max});
    EXPECT_EQ(problem(store->acquire(first_owner)), "");
    return store;
  }
  /// A change by another program.
  void edit(const std::string& sql) {
    const Result<std::unique_ptr<SqliteDb>> db = SqliteDb::open(path_);
    ASSERT_EQ(problem(db), "");
    ASSERT_EQ(problem(db.value()->execute(sql)), "");
  }
  std::int64_t number(const std::string& sql) { return SqliteDb::open(path_).value()->number(sql).value(); }
  Result<std::uint64_t> acquired() {
    return SqliteStore(SqliteOptions{.path = path_, .content_hash = test_hash}).acquire(first_owner);
  }
  /// Pages behind the first, which tells what there is; and with how many of them damaged the file was opened.
  struct Pages {
    std::size_t all = 0, opened = 0;
  };
  /// Calls `body` with a store on the file, and its term, for each page that may be damaged, one at a time.
  template <class Body>
  Pages with_each_page_damaged(Body body) {
    std::ifstream file(path_, std::ios::binary);
    const std::string whole(std::istreambuf_iterator<char>(file), {});
    constexpr std::size_t page_bytes = 4096;
    Pages pages{whole.size() / page_bytes - 1};
    for (std::size_t at = page_bytes; at < whole.size() && !HasFatalFailure(); at += page_bytes) {
      SCOPED_TRACE(at / page_bytes);
      std::string damaged = whole;
      damaged.replace(at, page_bytes, std::string(page_bytes, 'z'));
      for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + ending);
      std::ofstream(path_, std::ios::binary) << damaged;
      SqliteStore store(SqliteOptions{.path = path_, .content_hash = test_hash});
      const Result<std::uint64_t> term = store.acquire(first_owner);
      if (!term) continue;
      ++pages.opened;
      body(store, term.value());
    }
    return pages;
  }
  std::string why_not_replayed(LogId log) {
    const auto store = open();
    const Result<void> replayed = store->replay(log, [](EntryNumber, Entry&&) {});
    EXPECT_EQ(code_of(replayed), ErrorCode::protocol);
    return problem(replayed);
  }

  TemporaryDir dir_;
  std::string path_ = dir_.file("head.db");
};

inline std::vector<Entry> many(int count, std::size_t size) {
  std::vector<Entry> entries;
  for (int i = 0; i < count; ++i) entries.push_back(entry(std::to_string(i) + std::string(size, 'x')));
  return entries;
}

}  // namespace dc::store

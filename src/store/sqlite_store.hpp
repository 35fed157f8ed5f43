// The store of one head: an SQLite file in write-ahead mode, and a lock file beside it.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "core/lock_file.hpp"
#include "store/sqlite_db.hpp"
#include "store/store.hpp"

namespace dc::store {

struct SqliteOptions {
  std::string path;
  Durability durability = Durability::always;
  ContentHash content_hash;
  std::uint64_t pages_max = 0;  ///< for tests: the file may not grow beyond; 0: no limit
};

class SqliteStore : public Store {
 public:
  explicit SqliteStore(SqliteOptions options);
  ~SqliteStore() override;

  [[nodiscard]] std::string description() const override;
  Result<std::uint64_t> acquire(const Owner& owner) override;
  /// In the place of acquire(), for reading only: what stands in the file now, until release(), whatever a head writes
  /// meanwhile, which is not kept from it. `not_found`: there is no such file. (sqlite_snapshot.cpp)
  Result<void> take_snapshot();
  Result<void> check_hold() override;
  void release() override;
  Result<std::vector<LogId>> logs() override;
  std::map<LogId, std::uint64_t> sizes() override { return sizes_; }
  Result<void> write(std::span<Change> changes) override;
  Result<bool> read(LogId log, Position& position, Attachments attachments,
                    const std::function<void(EntryNumber, Entry&&)>& each) override;
  Result<void> replace(LogId log, std::span<const Entry> entries) override;
  Result<void> remove(LogId log) override;
  Result<bool> tidy() override;
  Result<void> rewrite() override;  ///< sqlite_rewrite.cpp
  Result<void> sync() override;

 private:
  Result<Payload> fetch_content(const std::string& hash) override;
  struct Statements;

  Result<void> open();
  Result<void> prepare();
  Result<void> check_version();
  Result<std::int64_t> known_version();
  Result<void> take_lock(const Owner& owner);
  Result<void> check_held() const;
  Result<void> logs_of_entries(std::set<LogId>& ids);
  Result<void> logs_noted(std::set<LogId>& ids);
  Result<bool> next_row(SqliteStatement& rows, LogId log) const;
  Result<void> change(const std::function<Result<void>()>& body);
  /// These are within a transaction.
  Result<bool> put(LogId log, EntryNumber number, const Entry& entry, std::vector<std::string>* hashes = nullptr);
  Result<bool> erase(LogId log, EntryNumber number);
  Result<void> count(LogId log, std::int64_t more);
  Result<void> keep(const std::string& hash, const Payload& content);
  Result<void> exchange(LogId log, std::span<const Entry> entries);
  Result<void> upgrade();  ///< sqlite_upgrade.cpp
  Result<bool> look_at_orphan(std::size_t& left);

  [[nodiscard]] bool can_shrink();
  bool shrink();
  Result<void> find_lost(LogId log, Position& position);
  Result<Entry> read_entry(LogId log, EntryNumber number, Attachments attachments);
  Result<Payload> content(const std::string& hash);
  Result<Payload> stand_in(std::string hash);
  [[nodiscard]] Error broken(LogId log, std::string_view what) const;

  SqliteOptions options_;
  LockFile lock_;
  std::unique_ptr<SqliteDb> db_;
  std::unique_ptr<Statements> statements_;
  std::map<LogId, std::uint64_t> sizes_;  ///< see sizes()
  bool unsynced_ = false;
  bool shrunk_ = false;  ///< not all of it has come to the file
};

}  // namespace dc::store

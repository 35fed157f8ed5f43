// SQLite's C interface with owners, and its errors as sentences.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.hpp"

namespace dc::store {

class SqliteDb;

/// A prepared statement. Bind all, step until it says false; it is reset by the next bind_all.
class SqliteStatement {
 public:
  SqliteStatement(SqliteDb& db, std::string_view sql);

  /// Binds ?1, ?2, ... Text and bytes are not copied: they must live until the last step.
  template <class... Values>
  SqliteStatement& bind_all(const Values&... values) {
    reset();
    int index = 0;
    (bind(++index, values), ...);
    return *this;
  }
  /// True: there is a row.
  Result<bool> step();
  /// For statements without rows.
  Result<void> run();
  void reset();

  [[nodiscard]] std::int64_t integer(int column) { return sqlite3_column_int64(statement_.get(), column); }
  [[nodiscard]] bool is_null(int column) { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }
  [[nodiscard]] std::string_view bytes(int column);

 private:
  void bind(int index, std::int64_t value) { sqlite3_bind_int64(statement_.get(), index, value); }
  void bind(int index, std::uint64_t value) { bind(index, static_cast<std::int64_t>(value)); }
  void bind(int index, std::string_view bytes) {
    // A null pointer would be NULL, not an empty blob.
    sqlite3_bind_blob64(statement_.get(), index, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
  }

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  SqliteDb* db_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int prepared_ = SQLITE_OK;
};

class SqliteDb {
 public:
  /// Makes the file when it is missing: born with mode 0600, as those that SQLite makes beside it.
  static Result<std::unique_ptr<SqliteDb>> open(const std::string& path);
  /// Of a file that is there; nothing is changed.
  static Result<std::unique_ptr<SqliteDb>> open_to_read(const std::string& path);

  Result<void> execute(const std::string& sql);
  /// The single number that `sql` gives.
  Result<std::int64_t> number(const std::string& sql);
  /// The last error of a call that returned `code`, with the remedy.
  [[nodiscard]] Error error(int code) const;
  /// fdatasync of the write-ahead log. After one that failed its content goes to the database itself: the kernel tells
  /// of a page that it could not write once, and forgets it.
  Result<void> sync_log();
  [[nodiscard]] sqlite3* handle() const { return db_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  static Result<std::unique_ptr<SqliteDb>> open_with(const std::string& path, int flags);
  static int checkpoint(void* self, sqlite3* db, const char* name, int pages);
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  std::string path_;
  bool log_suspect_ = false;  ///< a sync of it has failed
  std::unique_ptr<sqlite3, Close> db_;
};

/// Rolls back at the end unless it was committed.
class SqliteTransaction {
 public:
  static Result<SqliteTransaction> begin(SqliteDb& db);
  SqliteTransaction(SqliteTransaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;
  ~SqliteTransaction();
  Result<void> commit();

 private:
  explicit SqliteTransaction(SqliteDb& db) : db_(&db) {}
  SqliteDb* db_;
};

}  // namespace dc::store

// See sqlite_db.hpp.
#include "store/sqlite_db.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/fd.hpp"

namespace dc::store {
namespace {

/// SQLite's own default.
constexpr int checkpoint_pages = 1000;

constexpr int busy_timeout_ms = 2000;

std::string reason(sqlite3* db, int code) {
  const int system = db ? sqlite3_system_errno(db) : 0;
  const bool of_system = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
  if (of_system && system != 0) return fmt::format("{}: {}", sqlite3_errstr(code), std::strerror(system));
  return sqlite3_errstr(code);
}

Error describe(sqlite3* db, const std::string& path, int code) {
  const int system = db ? sqlite3_system_errno(db) : 0;
  const std::string why = reason(db, code);
  switch (code & 0xff) {
    case SQLITE_FULL:
      return fail(
          ErrorCode::full,
          fmt::format("the store {} is full ({}): free some space on its disk, or finish some named pools", path, why));
    case SQLITE_IOERR:
      if (system == ENOSPC || system == EDQUOT) {
        return fail(ErrorCode::full, fmt::format("the disk of the store {} is full: free some space there", path));
      }
      return fail(ErrorCode::io, fmt::format("the disk of the store {} fails ({}): look into the system's log, or name "
                                             "a file on another disk with --store",
                                             path, why));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return fail(
          ErrorCode::protocol,
          fmt::format("the store {} is broken ({}): move the file away (and those beside it that begin with its "
                      "name) and bring a copy back, or what `sqlite3 FILE .recover` finds in it, or start without one; "
                      "named pools in it are lost then",
                      path, why));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return fail(ErrorCode::io,
                  fmt::format("cannot write the store {} ({}): give yourself the right to write this file "
                              "and its directory, or name another with --store sqlite:///path",
                              path, why));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(ErrorCode::io,
                  fmt::format("another program uses the store {} (perhaps the sqlite3 shell): end it", path));
    default:
      return fail(ErrorCode::io,
                  fmt::format("the store {} fails ({}): try again, or name another with --store", path, why));
  }
}

}  // namespace

SqliteStatement::SqliteStatement(SqliteDb& db, std::string_view sql) : db_(&db) {
  sqlite3_stmt* statement = nullptr;
  prepared_ = sqlite3_prepare_v3(db.handle(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                 &statement, nullptr);
  statement_.reset(statement);
}

void SqliteStatement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

Result<bool> SqliteStatement::step() {
  if (prepared_ != SQLITE_OK) return db_->error(prepared_);
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  Result<bool> answer = code == SQLITE_DONE ? Result<bool>(false) : Result<bool>(db_->error(code));
  reset();  // an unfinished statement would keep its transaction open
  return answer;
}

Result<void> SqliteStatement::run() {
  BOOST_OUTCOME_TRYV(step());
  reset();
  return boost::outcome_v2::success();
}

std::string_view SqliteStatement::bytes(int column) {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data ? std::string_view(data, static_cast<std::size_t>(size)) : std::string_view();
}

Result<std::unique_ptr<SqliteDb>> SqliteDb::open(const std::string& path) {
  {
    // SQLite would make it with the umask. A failure is SQLite's to tell. Closed before SQLite opens it, whose locks it
    // would take along.
    const Fd born(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    // One that is there already, a copy for instance, may be wider.
    struct stat file {};
    if (born.get() >= 0 && ::fstat(born.get(), &file) == 0 && (file.st_mode & 077) != 0) ::fchmod(born.get(), 0600);
  }
  BOOST_OUTCOME_TRY(opened, open_with(path, SQLITE_OPEN_READWRITE));
  sqlite3_wal_hook(opened->db_.get(), &SqliteDb::checkpoint, opened.get());
  return opened;
}

/// As SQLite does by itself after a commit, which would not tell of a sync that failed.
int SqliteDb::checkpoint(void* self, sqlite3* db, const char* name, int pages) {
  if (pages < checkpoint_pages) return SQLITE_OK;
  const int code = sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if ((code & 0xff) == SQLITE_IOERR) static_cast<SqliteDb*>(self)->log_suspect_ = true;
  return SQLITE_OK;
}

Result<std::unique_ptr<SqliteDb>> SqliteDb::open_to_read(const std::string& path) {
  return open_with(path, SQLITE_OPEN_READONLY);
}

Result<std::unique_ptr<SqliteDb>> SqliteDb::open_with(const std::string& path, int flags) {
  auto opened = std::make_unique<SqliteDb>();
  opened->path_ = path;
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  opened->db_.reset(db);
  if (code != SQLITE_OK) return opened->error(code);
  sqlite3_busy_timeout(db, busy_timeout_ms);
  return opened;
}

Error SqliteDb::error(int code) const { return describe(db_.get(), path_, code); }

Result<void> SqliteDb::execute(const std::string& sql) {
  const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code);
  return boost::outcome_v2::success();
}

Result<std::int64_t> SqliteDb::number(const std::string& sql) {
  SqliteStatement statement(*this, sql);
  BOOST_OUTCOME_TRY(row, statement.step());
  return row ? statement.integer(0) : 0;
}

Result<void> SqliteDb::sync_log() {
  sqlite3_file* log = nullptr;
  sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_JOURNAL_POINTER, static_cast<void*>(&log));
  if (!log || !log->pMethods) return boost::outcome_v2::success();
  const int code = log_suspect_
                       ? sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr)
                       : log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
  log_suspect_ = code != SQLITE_OK;
  if (code != SQLITE_OK) return error(code);
  return boost::outcome_v2::success();
}

Result<SqliteTransaction> SqliteTransaction::begin(SqliteDb& db) {
  BOOST_OUTCOME_TRYV(db.execute("BEGIN IMMEDIATE"));
  return SqliteTransaction(db);
}

SqliteTransaction::~SqliteTransaction() {
  if (db_ && !sqlite3_get_autocommit(db_->handle())) (void)db_->execute("ROLLBACK");
}

Result<void> SqliteTransaction::commit() { return db_->execute("COMMIT"); }

}  // namespace dc::store

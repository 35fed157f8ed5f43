// Writing a file anew of which pages are damaged; see sqlite_store.hpp. What is damaged would stay in the way: of the
// logs on it, which cannot be deleted, and of their neighbours, when SQLite balances its tree.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.hpp"
#include "core/log.hpp"
#include "store/checksum.hpp"
#include "store/sqlite_schema.hpp"

namespace dc::store {
namespace {

/// Stands where entries could not be read: its checksum is wrong.
constexpr std::string_view damaged_entry = "damaged";

/// Copies the rows of a log, from its beginning up to the first that cannot be read, and from its end back to that.
/// False: some could not be read.
Result<bool> copy_rows(SqliteDb& from, const std::string& select, LogId log, const std::array<std::string, 2>& orders,
                       const std::function<Result<void>(SqliteStatement&, bool from_end)>& copy) {
  for (const std::string& order : orders) {
    SqliteStatement rows(from, select + " WHERE log = ?1 ORDER BY " + order);
    rows.bind_all(log);
    while (true) {
      const Result<bool> row = rows.step();
      if (!row && row.error().code != ErrorCode::protocol) return row.error();
      if (!row) break;
      if (!row.value()) return true;
      BOOST_OUTCOME_TRYV(copy(rows, &order == &orders.back()));
    }
  }
  return false;
}

/// Those parts that can be read: a content without one of them is none, and its hash tells.
Result<void> copy_content(SqliteDb& from, std::string_view hash, SqliteStatement& insert) {
  // The index may be what is damaged.
  for (const char* table : {"contents", "contents NOT INDEXED"}) {
    SqliteStatement parts(from, fmt::format("SELECT part, bytes FROM {} WHERE hash = ?1 ORDER BY part", table));
    parts.bind_all(hash);
    while (true) {
      const Result<bool> row = parts.step();
      if (!row && row.error().code != ErrorCode::protocol) return row.error();
      if (!row) break;
      if (!row.value()) return boost::outcome_v2::success();
      BOOST_OUTCOME_TRYV(insert.bind_all(hash, parts.integer(0), parts.bytes(1)).run());
    }
  }
  return boost::outcome_v2::success();
}

/// So many entries a log should have; 0: nobody knows.
Result<std::int64_t> entries_noted(SqliteDb& from, LogId log) {
  SqliteStatement noted(from, "SELECT entries FROM logs WHERE log = ?1");
  const Result<bool> row = noted.bind_all(log).step();
  if (!row && row.error().code != ErrorCode::protocol) return row.error();
  return row && row.value() ? noted.integer(0) : 0;
}

Result<void> copy_logs(SqliteDb& from, SqliteDb& to, const std::vector<LogId>& logs) {
  SqliteStatement note(to, "INSERT INTO logs VALUES(?1, ?2)");
  SqliteStatement entry(to, "INSERT OR IGNORE INTO entries VALUES(?1, ?2, ?3, ?4, ?5)");
  SqliteStatement attachment(to, "INSERT OR IGNORE INTO attachments VALUES(?1, ?2, ?3, ?4)");
  SqliteStatement content(to, "INSERT OR IGNORE INTO contents VALUES(?1, ?2, ?3)");
  std::set<std::string> hashes;
  for (const LogId log : logs) {
    std::set<std::int64_t> numbers;
    std::int64_t free = 1;  // behind those from the beginning
    BOOST_OUTCOME_TRY(
        whole, copy_rows(from, "SELECT number, checksum, attachments, bytes FROM entries", log,
                         {"number", "number DESC"}, [&](SqliteStatement& row, bool from_end) {
                           const std::int64_t number = row.integer(0);
                           if (!from_end) free = number + 1;
                           numbers.insert(number);
                           return entry.bind_all(log, number, row.integer(1), row.integer(2), row.bytes(3)).run();
                         }));
    // What was at its end must not seem never to have been.
    if (!whole) {
      while (!numbers.insert(free).second) ++free;
      BOOST_OUTCOME_TRYV(entry.bind_all(log, free, checksum(damaged_entry) + 1, std::int64_t{0}, damaged_entry).run());
    }
    BOOST_OUTCOME_TRY(noted, whole ? entries_noted(from, log) : 0);
    BOOST_OUTCOME_TRYV(note.bind_all(log, std::max(noted, static_cast<std::int64_t>(numbers.size()))).run());
    BOOST_OUTCOME_TRYV(copy_rows(from, "SELECT number, position, hash FROM attachments", log,
                                 {"number, position", "number DESC, position DESC"}, [&](SqliteStatement& row, bool) {
                                   hashes.emplace(row.bytes(2));
                                   return attachment.bind_all(log, row.integer(0), row.integer(1), row.bytes(2)).run();
                                 }));
  }
  for (const std::string& hash : hashes) {
    BOOST_OUTCOME_TRYV(copy_content(from, hash, content));
  }
  return boost::outcome_v2::success();
}

/// With what SQLite keeps beside it.
void delete_database(const std::string& path) {
  for (const char* ending : {"", "-wal", "-shm", "-journal"}) ::unlink((path + ending).c_str());
}

Error failed_to(std::string_view what, const std::string& path) {
  return fail(ErrorCode::io, fmt::format("cannot {} {} ({})", what, path, std::strerror(errno)));
}

/// The file at `fresh` takes the place of that at `path`, of which nothing is left in a write-ahead file; that one is
/// kept at `aside`.
Result<void> exchange_files(const std::string& fresh, const std::string& path, const std::string& aside) {
  delete_database(aside);
  if (::link(path.c_str(), aside.c_str()) != 0) return failed_to("make", aside);
  // They are of the old one: SQLite would take them for the new one's.
  for (const char* ending : {"-wal", "-shm"}) {
    if (::unlink((path + ending).c_str()) != 0 && errno != ENOENT) return failed_to("delete", path + ending);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return failed_to("replace", path);
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const Fd folder(::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) ::fsync(folder.get());
  return boost::outcome_v2::success();
}

}  // namespace

Result<void> SqliteStore::rewrite() {
  const std::string fresh = options_.path + ".new";
  const std::string aside = options_.path + ".damaged";
  BOOST_OUTCOME_TRY(ids, logs());
  delete_database(fresh);
  const auto write = [&]() -> Result<void> {
    BOOST_OUTCOME_TRY(db, SqliteDb::open(fresh));
    BOOST_OUTCOME_TRYV(db->execute("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA synchronous=FULL"));
    BOOST_OUTCOME_TRY(transaction, SqliteTransaction::begin(*db));
    BOOST_OUTCOME_TRYV(db->execute(sqlite_schema()));
    BOOST_OUTCOME_TRY(term, db_->number("SELECT term FROM terms"));
    BOOST_OUTCOME_TRYV(db->execute(fmt::format("UPDATE terms SET term = {}", term)));
    BOOST_OUTCOME_TRYV(copy_logs(*db_, *db, ids));
    BOOST_OUTCOME_TRYV(transaction.commit());
    // All that the old one has is in its file then, if nobody else reads it.
    BOOST_OUTCOME_TRY(busy, db_->number("PRAGMA wal_checkpoint(TRUNCATE)"));
    if (busy != 0) {
      return fail(ErrorCode::io,
                  fmt::format("another program uses the store {} (perhaps the sqlite3 shell): end it", options_.path));
    }
    return boost::outcome_v2::success();
  };
  if (const Result<void> written = write(); !written) {
    delete_database(fresh);
    return written;
  }
  statements_.reset();
  db_.reset();
  const Result<void> exchanged = exchange_files(fresh, options_.path, aside);
  if (!exchanged) delete_database(fresh);
  BOOST_OUTCOME_TRYV(open());
  BOOST_OUTCOME_TRYV(prepare());
  if (exchanged) {
    log::warning(
        "the store {} had damaged pages and was written anew; {} is what it was: delete it when nothing is to "
        "be looked for in it any more",
        options_.path, aside);
  }
  return exchanged;
}

}  // namespace dc::store

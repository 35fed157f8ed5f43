// Makes a file of schema version 1 one of today's, in place; see sqlite_schema.hpp. A damaged page should not keep the
// file from being opened: it costs the logs on it, as before. So all is read before anything is changed, for SQLite
// changes nothing more when a read has failed within a transaction.
#include <fmt/format.h>

#include <map>
#include <optional>

#include "store/sqlite_schema.hpp"

namespace dc::store {
namespace {

/// How many entries each log should have, where that can be told.
using Counts = std::map<std::int64_t, std::optional<std::int64_t>>;

Result<void> find_logs(SqliteDb& db, Counts& counts) {
  SqliteStatement next(db, "SELECT min(log) FROM entries WHERE log > ?1");
  for (std::int64_t after = INT64_MIN;;) {
    BOOST_OUTCOME_TRYV(next.bind_all(after).step());
    if (next.is_null(0)) return boost::outcome_v2::success();
    after = next.integer(0);
    counts.try_emplace(after);
  }
}

/// What was noted of the logs counts where the entries cannot tell. The first heads did not note them.
Result<void> find_noted_logs(SqliteDb& db, Counts& counts) {
  BOOST_OUTCOME_TRY(noted, db.number("SELECT count(*) FROM sqlite_schema WHERE name = 'logs'"));
  if (noted == 0) return boost::outcome_v2::success();
  SqliteStatement logs(db, "SELECT log FROM logs");
  while (true) {
    BOOST_OUTCOME_TRY(row, logs.step());
    if (!row) return boost::outcome_v2::success();
    counts.try_emplace(logs.integer(0));
  }
}

/// The number of the last entry is how many there were: they were numbered without gaps.
Result<void> count_entries(SqliteDb& db, Counts& counts) {
  SqliteStatement last(db, "SELECT max(number) FROM entries WHERE log = ?1");
  for (auto& [id, count] : counts) {
    const Result<bool> row = last.bind_all(id).step();
    if (!row && row.error().code != ErrorCode::protocol) return row.error();
    if (row && !last.is_null(0)) count = last.integer(0);
  }
  return boost::outcome_v2::success();
}

}  // namespace

Result<void> SqliteStore::upgrade() {
  Counts counts;
  const Result<void> found = find_logs(*db_, counts);
  if (!found && found.error().code != ErrorCode::protocol) return found;
  if (!found) {
    BOOST_OUTCOME_TRYV(find_noted_logs(*db_, counts));
  }
  BOOST_OUTCOME_TRYV(count_entries(*db_, counts));
  BOOST_OUTCOME_TRY(transaction, SqliteTransaction::begin(*db_));
  // The table is kept, since a new one may be put beside a damaged page.
  BOOST_OUTCOME_TRYV(db_->execute("CREATE TABLE IF NOT EXISTS logs(log INTEGER PRIMARY KEY)"));
  BOOST_OUTCOME_TRYV(db_->execute("ALTER TABLE logs ADD COLUMN entries INTEGER; DELETE FROM logs"));
  BOOST_OUTCOME_TRYV(db_->execute(sqlite_orphans_table));
  SqliteStatement note(*db_, "INSERT INTO logs VALUES(?1, ?2)");
  SqliteStatement note_uncounted(*db_, "INSERT INTO logs VALUES(?1, NULL)");
  for (const auto& [id, count] : counts) {
    BOOST_OUTCOME_TRYV(count ? note.bind_all(id, *count).run() : note_uncounted.bind_all(id).run());
  }
  BOOST_OUTCOME_TRYV(db_->execute(fmt::format("PRAGMA user_version={}", sqlite_schema_version)));
  return transaction.commit();
}

}  // namespace dc::store

// See sqlite_store.hpp.
#include "store/sqlite_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>

#include "core/log.hpp"
#include "store/checksum.hpp"
#include "store/held_by.hpp"
#include "store/sqlite_schema.hpp"
#include "store/stored_content.hpp"

namespace dc::store {
namespace {

/// The write-ahead log is cut back to this size when it has been merged into the file.
constexpr std::int64_t wal_bytes_kept = std::int64_t{64} << 20;
}  // namespace

SqliteStore::SqliteStore(SqliteOptions options) : options_(std::move(options)) {}
SqliteStore::~SqliteStore() { SqliteStore::release(); }

std::string SqliteStore::description() const { return fmt::format("SQLite ({})", options_.path); }

Error SqliteStore::broken(LogId log, std::string_view what) const {
  return fail(ErrorCode::protocol,
              fmt::format("the store {} is broken ({} of pool {:016x})", options_.path, what, log));
}

Result<void> SqliteStore::take_lock(const Owner& owner) {
  LockFile::Taken taken = LockFile::take(options_.path + ".lock");
  if (!taken.problem.empty()) {
    return fail(ErrorCode::io, fmt::format("cannot use the store {}: {}", options_.path, taken.problem));
  }
  if (!taken.owner.empty()) {
    Owner other{taken.owner, 0};  // "pid host"
    const std::size_t digits = std::min(taken.owner.find(' '), std::size_t{10});
    if (digits < taken.owner.size() && std::isdigit(static_cast<unsigned char>(taken.owner[0]))) {
      other = {taken.owner.substr(digits + 1),
               static_cast<std::uint32_t>(std::strtoul(taken.owner.c_str(), nullptr, 10))};
    }
    return held_by("the store " + options_.path, other);
  }
  lock_ = std::move(taken.lock);
  if (const std::string problem = lock_.write(fmt::format("{} {}", owner.pid, owner.host)); !problem.empty()) {
    return fail(ErrorCode::full, fmt::format("cannot use the store {}: {}", options_.path, problem));
  }
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::check_version() {
  BOOST_OUTCOME_TRY(tables, db_->number("SELECT count(*) FROM sqlite_schema"));
  if (tables == 0) {
    BOOST_OUTCOME_TRY(transaction, SqliteTransaction::begin(*db_));
    BOOST_OUTCOME_TRYV(db_->execute(sqlite_schema()));
    return transaction.commit();
  }
  BOOST_OUTCOME_TRY(version, known_version());
  if (version == sqlite_schema_without_orphans) return upgrade();
  return boost::outcome_v2::success();
}

/// Of the schema.
Result<std::int64_t> SqliteStore::known_version() {
  BOOST_OUTCOME_TRY(id, db_->number("PRAGMA application_id"));
  BOOST_OUTCOME_TRY(version, db_->number("PRAGMA user_version"));
  if (id != sqlite_application_id) {
    return fail(ErrorCode::protocol,
                fmt::format("{} is the database of another program: name another file with --store", options_.path));
  }
  if (version != sqlite_schema_without_orphans && version != sqlite_schema_version) {
    return fail(
        ErrorCode::protocol,
        fmt::format("the store {} has version {}, and this head knows version {}: start the head of the version "
                    "that wrote it, or name another file with --store",
                    options_.path, version, sqlite_schema_version));
  }
  return version;
}

Result<void> SqliteStore::open() {
  BOOST_OUTCOME_TRY(opened, SqliteDb::open(options_.path));
  db_ = std::move(opened);
  // auto_vacuum must come before the first table. FULL also for setting up: a term is never given out again.
  BOOST_OUTCOME_TRYV(
      db_->execute(fmt::format("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; "
                               "PRAGMA synchronous=FULL; PRAGMA journal_size_limit={}",
                               wal_bytes_kept)));
  BOOST_OUTCOME_TRYV(check_version());
  if (options_.pages_max > 0) {
    BOOST_OUTCOME_TRYV(db_->execute(fmt::format("PRAGMA max_page_count={}", options_.pages_max)));
  }
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::prepare() {
  if (options_.durability == Durability::interval) {
    BOOST_OUTCOME_TRYV(db_->execute("PRAGMA synchronous=NORMAL"));
  }
  statements_ = std::make_unique<Statements>(*db_);
  return boost::outcome_v2::success();
}

Result<std::uint64_t> SqliteStore::acquire(const Owner& owner) {
  if (!lock_.held()) {
    BOOST_OUTCOME_TRYV(take_lock(owner));
  }
  const auto attempt = [&]() -> Result<std::uint64_t> {
    BOOST_OUTCOME_TRYV(open());
    BOOST_OUTCOME_TRYV(db_->execute("UPDATE terms SET term = term + 1"));
    BOOST_OUTCOME_TRY(term, db_->number("SELECT term FROM terms"));
    BOOST_OUTCOME_TRYV(prepare());
    return static_cast<std::uint64_t>(term);
  };
  Result<std::uint64_t> term = attempt();
  if (!term) release();
  return term;
}

// The lock lasts as long as the process: nobody can have taken it.
Result<void> SqliteStore::check_hold() { return check_held(); }

void SqliteStore::release() {
  if (db_) (void)sync();
  statements_.reset();
  db_.reset();
  shrunk_ = false;
  lock_ = LockFile();
}

Result<void> SqliteStore::check_held() const {
  if (!statements_)
    return fail(ErrorCode::fenced, fmt::format("the store {} was given up by this head", options_.path));
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::sync() {
  if (!unsynced_) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRYV(db_->sync_log());
  unsynced_ = false;
  return boost::outcome_v2::success();
}

/// Jumps from log to log instead of reading all entries.
Result<void> SqliteStore::logs_of_entries(std::set<LogId>& ids) {
  for (std::int64_t after = INT64_MIN;;) {
    BOOST_OUTCOME_TRYV(statements_->logs.bind_all(after).step());
    if (statements_->logs.is_null(0)) break;
    after = statements_->logs.integer(0);
    ids.insert(static_cast<LogId>(after));
  }
  statements_->logs.reset();
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::logs_noted(std::set<LogId>& ids) {
  statements_->noted.bind_all();
  while (true) {
    BOOST_OUTCOME_TRY(row, statements_->noted.step());
    if (!row) return boost::outcome_v2::success();
    const auto id = static_cast<LogId>(statements_->noted.integer(0));
    ids.insert(id);
    sizes_[id] = static_cast<std::uint64_t>(statements_->noted.integer(1));
  }
}

/// Those that have entries, and those of which all are lost.
Result<std::vector<LogId>> SqliteStore::logs() {
  BOOST_OUTCOME_TRYV(check_held());
  std::set<LogId> ids;
  sizes_.clear();
  const Result<void> told = logs_of_entries(ids);
  if (!told && told.error().code != ErrorCode::protocol) return told.error();
  const Result<void> noted = logs_noted(ids);
  if (!noted && noted.error().code != ErrorCode::protocol) return noted.error();
  if (!told && !noted) return told.error();
  if (!told) log::error("a page of the store {} is damaged: named pools that stand on it are refused", options_.path);
  return std::vector<LogId>(ids.begin(), ids.end());
}

// --- Writing ----------------------------------------------------------------------------------------------------

Result<void> SqliteStore::change(const std::function<Result<void>()>& body) {
  BOOST_OUTCOME_TRYV(check_held());
  const auto attempt = [&]() -> Result<void> {
    BOOST_OUTCOME_TRY(transaction, SqliteTransaction::begin(*db_));
    BOOST_OUTCOME_TRYV(body());
    return transaction.commit();
  };
  const Result<void> done = attempt();
  unsynced_ = unsynced_ || options_.durability == Durability::interval;
  return done;
}

/// Whether it stands in the place of another. Appends the hashes of the attachments to `hashes`, where there are such.
Result<bool> SqliteStore::put(LogId log, EntryNumber number, const Entry& entry, std::vector<std::string>* hashes) {
  const auto insert = [&] {
    return statements_->insert
        .bind_all(log, number, checksum(entry.bytes), entry.attachments.size(), std::string_view(entry.bytes))
        .run();
  };
  BOOST_OUTCOME_TRYV(insert());
  const bool stood = sqlite3_changes(db_->handle()) == 0;  // seldom: nothing is looked for before
  if (stood) {
    BOOST_OUTCOME_TRYV(erase(log, number));
    BOOST_OUTCOME_TRYV(insert());
  }
  std::int64_t position = 0;
  for (const Payload& attachment : entry.attachments) {
    const std::string* stored = stored_hash(attachment);
    const std::string hash = stored ? *stored : options_.content_hash(attachment.bytes());
    if (!stored) {
      BOOST_OUTCOME_TRYV(keep(hash, attachment));
    }
    BOOST_OUTCOME_TRYV(statements_->attach.bind_all(log, number, position++, std::string_view(hash)).run());
    if (hashes) hashes->push_back(hash);
  }
  return stood;
}

/// Whether it stood.
Result<bool> SqliteStore::erase(LogId log, EntryNumber number) {
  BOOST_OUTCOME_TRYV(statements_->orphan.bind_all(log, number).run());
  BOOST_OUTCOME_TRYV(statements_->detach.bind_all(log, number).run());
  BOOST_OUTCOME_TRYV(statements_->erase.bind_all(log, number).run());
  return sqlite3_changes(db_->handle()) > 0;
}

/// The log has so many more entries, or fewer.
Result<void> SqliteStore::count(LogId log, std::int64_t more) {
  if (more != 0) {
    BOOST_OUTCOME_TRYV(statements_->count.bind_all(log, more).run());
  }
  if (more < 0) {
    BOOST_OUTCOME_TRYV(statements_->forget_empty.bind_all(log).run());
  }
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::write(std::span<Change> changes) {
  std::vector<std::string> hashes;
  BOOST_OUTCOME_TRYV(change([&]() -> Result<void> {
    std::map<LogId, std::int64_t> more;
    for (const Change& change : changes) {
      BOOST_OUTCOME_TRY(stood, change.entry ? put(change.log, change.number, *change.entry, &hashes)
                                            : erase(change.log, change.number));
      more[change.log] += (change.entry ? 1 : 0) - (stood ? 1 : 0);
    }
    for (const auto& [log, entries] : more) {
      BOOST_OUTCOME_TRYV(count(log, entries));
    }
    return boost::outcome_v2::success();
  }));
  stand_in_for_attachments(changes, std::move(hashes));
  return boost::outcome_v2::success();
}

/// Within a transaction.
Result<void> SqliteStore::exchange(LogId log, std::span<const Entry> entries) {
  BOOST_OUTCOME_TRYV(statements_->orphan_all.bind_all(log).run());
  BOOST_OUTCOME_TRYV(statements_->detach_all.bind_all(log).run());
  BOOST_OUTCOME_TRYV(statements_->erase_all.bind_all(log).run());
  BOOST_OUTCOME_TRYV(statements_->forget.bind_all(log).run());
  EntryNumber number = 0;
  for (const Entry& entry : entries) {
    BOOST_OUTCOME_TRYV(put(log, ++number, entry));
  }
  return count(log, static_cast<std::int64_t>(number));
}

Result<void> SqliteStore::replace(LogId log, std::span<const Entry> entries) {
  return change([&] { return exchange(log, entries); });
}

Result<void> SqliteStore::remove(LogId log) { return replace(log, {}); }

// --- Reading ----------------------------------------------------------------------------------------------------

/// A page that is damaged is what its log suffers from, not the whole store.
Result<bool> SqliteStore::next_row(SqliteStatement& rows, LogId log) const {
  Result<bool> row = rows.step();
  if (row || row.error().code != ErrorCode::protocol) return row;
  return broken(log, "a damaged page among the entries");
}

/// Of the row that `entries` stands on.
Result<Entry> SqliteStore::read_entry(LogId log, EntryNumber number, Attachments how) {
  SqliteStatement& row = statements_->entries;
  Entry entry{std::string(row.bytes(3)), {}};
  if (checksum(entry.bytes) != static_cast<std::uint64_t>(row.integer(1))) return broken(log, "an entry is damaged");
  const auto attachments = static_cast<std::size_t>(row.integer(2));
  if (attachments == 0) return entry;
  statements_->attached.bind_all(log, number);
  while (true) {
    BOOST_OUTCOME_TRY(more, next_row(statements_->attached, log));
    if (!more) break;
    std::string hash(statements_->attached.bytes(0));
    Result<Payload> payload = how == Attachments::load ? content(hash) : stand_in(std::move(hash));
    if (!payload) {
      statements_->attached.reset();
      return payload.error().message.empty() ? broken(log, "a payload is missing or damaged") : payload.error();
    }
    entry.attachments.push_back(std::move(payload.value()));
  }
  if (entry.attachments.size() != attachments) return broken(log, "a payload is missing");
  return entry;
}

Result<bool> SqliteStore::read(LogId log, Position& position, Attachments attachments,
                               const std::function<void(EntryNumber, Entry&&)>& each) {
  constexpr std::size_t page_bytes = std::size_t{4} << 20;
  BOOST_OUTCOME_TRYV(check_held());
  const auto attempt = [&]() -> Result<bool> {
    statements_->entries.bind_all(log, position.behind);
    for (std::size_t bytes = 0; bytes < page_bytes;) {
      BOOST_OUTCOME_TRY(row, next_row(statements_->entries, log));
      if (!row) return bytes > 0;
      position.behind = static_cast<EntryNumber>(statements_->entries.integer(0));
      BOOST_OUTCOME_TRY(entry, read_entry(log, position.behind, attachments));
      bytes += size_of(entry) + 1;
      each(position.behind, std::move(entry));
    }
    return true;
  };
  Result<bool> more = attempt();
  statements_->entries.reset();
  if (more && !more.value()) {
    BOOST_OUTCOME_TRYV(find_lost(log, position));
  }
  return more;
}

/// At the end of a log: told once.
Result<void> SqliteStore::find_lost(LogId log, Position& position) {
  if (position.loss_told) return boost::outcome_v2::success();
  const Result<bool> noted = statements_->lost.bind_all(log).step();
  if (!noted && noted.error().code != ErrorCode::protocol) return noted.error();
  // That how many there should be is on a damaged page costs nothing yet.
  const std::int64_t lost = noted && noted.value() ? statements_->lost.integer(0) : 0;
  statements_->lost.reset();
  if (lost <= 0) return boost::outcome_v2::success();
  position.loss_told = true;
  return broken(log, "an entry is missing");
}

}  // namespace dc::store

// See sqlite_store.hpp.
#include "store/sqlite_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "core/limits.hpp"
#include "core/log.hpp"
#include "store/checksum.hpp"
#include "store/held_by.hpp"
#include "store/sqlite_schema.hpp"
#include "store/stored_content.hpp"

namespace dc::store {
namespace {

/// The write-ahead log is cut back to this size when it has been merged into the file.
constexpr std::int64_t wal_bytes_kept = std::int64_t{64} << 20;
/// The file is cut when this many pages of it are free, and they are more than half of it.
constexpr std::int64_t free_pages_kept = 4096;

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
  BOOST_OUTCOME_TRY(id, db_->number("PRAGMA application_id"));
  BOOST_OUTCOME_TRY(version, db_->number("PRAGMA user_version"));
  if (id != sqlite_application_id) {
    return fail(ErrorCode::protocol,
                fmt::format("{} is the database of another program: name another file with --store", options_.path));
  }
  if (version != sqlite_schema_version) {
    return fail(
        ErrorCode::protocol,
        fmt::format("the store {} has version {}, and this head knows version {}: start the head of the version "
                    "that wrote it, or name another file with --store",
                    options_.path, version, sqlite_schema_version));
  }
  return db_->execute(sqlite_logs_table);  // which earlier heads did not make
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
  last_numbers_.clear();
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
    ids.insert(static_cast<LogId>(statements_->noted.integer(0)));
  }
}

/// The entries themselves tell, where they can be read; else what was noted of them.
Result<std::vector<LogId>> SqliteStore::logs() {
  BOOST_OUTCOME_TRYV(check_held());
  std::set<LogId> ids;
  std::set<LogId> noted;
  const Result<void> told = logs_of_entries(ids);
  if (!told && told.error().code != ErrorCode::protocol) return told.error();
  const Result<void> read = logs_noted(noted);
  if (!told) {
    if (!read) return told.error();
    log::error("a page of the store {} is damaged: named pools that stand on it are refused", options_.path);
    ids.insert(noted.begin(), noted.end());
  } else if (read && ids != noted) {  // an earlier head was here
    BOOST_OUTCOME_TRYV(change([&]() -> Result<void> {
      BOOST_OUTCOME_TRYV(db_->execute("DELETE FROM logs"));
      for (const LogId id : ids) {
        BOOST_OUTCOME_TRYV(statements_->note.bind_all(id).run());
      }
      return boost::outcome_v2::success();
    }));
  }
  return std::vector<LogId>(ids.begin(), ids.end());
}

// What fails is rolled back, so that nothing is left to take out by the next call.
Result<void> SqliteStore::change(const std::function<Result<void>()>& body) {
  BOOST_OUTCOME_TRYV(check_held());
  const auto attempt = [&]() -> Result<void> {
    BOOST_OUTCOME_TRY(transaction, SqliteTransaction::begin(*db_));
    BOOST_OUTCOME_TRYV(body());
    return transaction.commit();
  };
  const Result<void> done = attempt();
  if (!done) last_numbers_.clear();
  unsynced_ = unsynced_ || options_.durability == Durability::interval;
  return done;
}

Result<std::int64_t> SqliteStore::next_number(LogId log) {
  if (const auto known = last_numbers_.find(log); known != last_numbers_.end()) return ++known->second;
  BOOST_OUTCOME_TRYV(statements_->last.bind_all(log).step());
  const std::int64_t last = statements_->last.integer(0);  // 0 for a log that does not exist
  statements_->last.reset();
  return last_numbers_[log] = last + 1;
}

/// Appends the hashes of the attachments to `hashes`, where there are such.
Result<void> SqliteStore::insert(LogId log, const Entry& entry, std::vector<std::string>* hashes) {
  BOOST_OUTCOME_TRY(number, next_number(log));
  if (number == 1) {
    const Result<void> noted = statements_->note.bind_all(log).run();
    if (!noted && noted.error().code != ErrorCode::protocol) return noted;  // a damaged page there costs nothing yet
  }
  BOOST_OUTCOME_TRYV(
      statements_->insert
          .bind_all(log, number, checksum(entry.bytes), entry.attachments.size(), std::string_view(entry.bytes))
          .run());
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
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::append(std::span<Addressed> batch) {
  std::vector<std::string> hashes;
  BOOST_OUTCOME_TRYV(change([&]() -> Result<void> {
    for (const Addressed& addressed : batch) {
      BOOST_OUTCOME_TRYV(insert(addressed.log, addressed.entry, &hashes));
    }
    return boost::outcome_v2::success();
  }));
  auto hash = hashes.begin();
  for (Addressed& addressed : batch) {
    for (Payload& attachment : addressed.entry.attachments) {
      attachment = stored_content(std::move(*hash++), attachment.size());
    }
  }
  return boost::outcome_v2::success();
}

/// A page that is damaged is what its log suffers from, not the whole store.
Result<bool> SqliteStore::next_row(SqliteStatement& rows, LogId log) const {
  Result<bool> row = rows.step();
  if (row || row.error().code != ErrorCode::protocol) return row;
  return broken(log, "a damaged page among the entries");
}

/// Of the row that `entries` stands on.
Result<Entry> SqliteStore::read_entry(LogId log, std::int64_t number, Attachments how) {
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
                               const std::function<void(Entry&&)>& each) {
  constexpr std::size_t page_bytes = std::size_t{4} << 20;
  BOOST_OUTCOME_TRYV(check_held());
  const auto attempt = [&]() -> Result<bool> {
    statements_->entries.bind_all(log, position.entries);
    for (std::size_t bytes = 0; bytes < page_bytes;) {
      BOOST_OUTCOME_TRY(row, next_row(statements_->entries, log));
      if (!row) return bytes > 0;
      const auto number = static_cast<std::int64_t>(position.entries) + 1;
      if (const std::int64_t stands = statements_->entries.integer(0); stands != number) {
        position.entries = static_cast<std::uint64_t>(stands) - 1;
        return broken(log, "an entry is missing");
      }
      ++position.entries;
      BOOST_OUTCOME_TRY(entry, read_entry(log, number, attachments));
      bytes += size_of(entry) + 1;
      each(std::move(entry));
    }
    return true;
  };
  Result<bool> more = attempt();
  statements_->entries.reset();
  return more;
}

Result<std::vector<std::string>> SqliteStore::hashes_of(LogId log) {
  std::vector<std::string> hashes;
  statements_->hashes.bind_all(log);
  while (true) {
    BOOST_OUTCOME_TRY(row, statements_->hashes.step());
    if (!row) return hashes;
    hashes.emplace_back(statements_->hashes.bytes(0));
  }
}

/// Within a transaction.
Result<void> SqliteStore::exchange(LogId log, std::span<const Entry> entries) {
  BOOST_OUTCOME_TRY(hashes, hashes_of(log));
  BOOST_OUTCOME_TRYV(statements_->detach.bind_all(log).run());
  BOOST_OUTCOME_TRYV(statements_->erase.bind_all(log).run());
  last_numbers_.erase(log);
  if (const Result<void> forgotten = statements_->forget.bind_all(log).run();
      !forgotten && forgotten.error().code != ErrorCode::protocol) {
    return forgotten;
  }
  for (const Entry& entry : entries) {
    BOOST_OUTCOME_TRYV(insert(log, entry));
  }
  for (const std::string& hash : hashes) {
    BOOST_OUTCOME_TRYV(statements_->collect.bind_all(std::string_view(hash)).run());
  }
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::replace(LogId log, std::span<const Entry> entries) {
  BOOST_OUTCOME_TRYV(change([&] { return exchange(log, entries); }));
  shrink();
  return boost::outcome_v2::success();
}

/// Gives free pages back to the disk. That it cannot is no harm: the next entries use them.
void SqliteStore::shrink() {
  const Result<std::int64_t> free = db_->number("PRAGMA freelist_count");
  const Result<std::int64_t> all = db_->number("PRAGMA page_count");
  if (!free || !all || free.value() < free_pages_kept || 2 * free.value() < all.value()) return;
  if (db_->execute("PRAGMA incremental_vacuum")) (void)db_->execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

Result<void> SqliteStore::remove(LogId log) { return replace(log, {}); }

}  // namespace dc::store

// See sqlite_store.hpp. The schema is below; another one needs another schema_version.
#include "store/sqlite_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "core/limits.hpp"
#include "store/checksum.hpp"
#include "store/held_by.hpp"

namespace dc::store {
namespace {

constexpr std::int64_t application_id = 0x64634a31;  // "dcJ1", for `file` and against foreign databases
constexpr std::int64_t schema_version = 1;

// Entries are numbered over all logs in the order of their appends.
constexpr auto schema = R"(
CREATE TABLE terms(term INTEGER NOT NULL);
INSERT INTO terms VALUES(0);
CREATE TABLE entries(number INTEGER PRIMARY KEY AUTOINCREMENT, log INTEGER NOT NULL, checksum INTEGER NOT NULL,
                     bytes BLOB NOT NULL);
CREATE INDEX entries_of_log ON entries(log);
CREATE TABLE attachments(number INTEGER NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL,
                         PRIMARY KEY(number, position)) WITHOUT ROWID;
CREATE INDEX attachments_by_hash ON attachments(hash);
CREATE TABLE contents(hash BLOB NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE UNIQUE INDEX contents_by_hash ON contents(hash, part);
)";

}  // namespace

struct SqliteStore::Statements {
  explicit Statements(SqliteDb& db)
      : logs(db, "SELECT DISTINCT log FROM entries"),
        insert(db, "INSERT INTO entries(log, checksum, bytes) VALUES(?1, ?2, ?3)"),
        attach(db, "INSERT INTO attachments VALUES(?1, ?2, ?3)"),
        known(db, "SELECT 1 FROM contents WHERE hash = ?1 LIMIT 1"),
        keep(db, "INSERT INTO contents VALUES(?1, ?2, ?3)"),
        entries(db, "SELECT number, checksum, bytes FROM entries WHERE log = ?1 ORDER BY number"),
        attached(db, "SELECT hash FROM attachments WHERE number = ?1 ORDER BY position"),
        parts(db, "SELECT bytes FROM contents WHERE hash = ?1 ORDER BY part"),
        hashes(db,
               "SELECT DISTINCT hash FROM attachments WHERE number IN (SELECT number FROM entries WHERE log = ?1)"),
        detach(db, "DELETE FROM attachments WHERE number IN (SELECT number FROM entries WHERE log = ?1)"),
        erase(db, "DELETE FROM entries WHERE log = ?1"),
        collect(db,
                "DELETE FROM contents WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM attachments WHERE hash = ?1)") {}
  SqliteStatement logs, insert, attach, known, keep, entries, attached, parts, hashes, detach, erase, collect;
};

SqliteStore::SqliteStore(SqliteOptions options) : options_(std::move(options)) {}
SqliteStore::~SqliteStore() { SqliteStore::release(); }

std::string SqliteStore::description() const { return fmt::format("SQLite ({})", options_.path); }

Error SqliteStore::broken(LogId log, std::string_view what) const {
  return fail(ErrorCode::protocol,
              fmt::format("the store {} is broken ({} of pool {:016x}): move the file away (and those beside it that "
                          "begin with its name) and bring a copy back, or start without one; named pools in it are "
                          "lost then",
                          options_.path, what, log));
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
      other = {taken.owner.substr(digits + 1), static_cast<std::uint32_t>(std::strtoul(taken.owner.c_str(), nullptr, 10))};
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
  BOOST_OUTCOME_TRY(const std::int64_t tables, db_->number("SELECT count(*) FROM sqlite_schema"));
  if (tables == 0) {
    BOOST_OUTCOME_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*db_));
    BOOST_OUTCOME_TRY(db_->execute(schema));
    BOOST_OUTCOME_TRY(
        db_->execute(fmt::format("PRAGMA application_id={}; PRAGMA user_version={}", application_id, schema_version)));
    return transaction.commit();
  }
  BOOST_OUTCOME_TRY(const std::int64_t id, db_->number("PRAGMA application_id"));
  BOOST_OUTCOME_TRY(const std::int64_t version, db_->number("PRAGMA user_version"));
  if (id != application_id) {
    return fail(ErrorCode::protocol,
                fmt::format("{} is the database of another program: name another file with --store", options_.path));
  }
  if (version != schema_version) {
    return fail(ErrorCode::protocol,
                fmt::format("the store {} has version {}, and this head knows version {}: start the head of the version "
                            "that wrote it, or name another file with --store",
                            options_.path, version, schema_version));
  }
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::open() {
  BOOST_OUTCOME_TRY(auto opened, SqliteDb::open(options_.path));
  db_ = std::move(opened);
  std::error_code ignored;
  std::filesystem::permissions(options_.path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write,
                               ignored);
  // FULL also for setting up: a term that was given out must never be given out again.
  BOOST_OUTCOME_TRY(db_->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"));
  BOOST_OUTCOME_TRY(check_version());
  if (options_.pages_max > 0) {
    BOOST_OUTCOME_TRY(db_->execute(fmt::format("PRAGMA max_page_count={}", options_.pages_max)));
  }
  return boost::outcome_v2::success();
}

Result<std::uint64_t> SqliteStore::acquire(const Owner& owner) {
  if (!lock_.held()) {
    BOOST_OUTCOME_TRY(take_lock(owner));
  }
  const auto attempt = [&]() -> Result<std::uint64_t> {
    BOOST_OUTCOME_TRY(open());
    BOOST_OUTCOME_TRY(db_->execute("UPDATE terms SET term = term + 1"));
    BOOST_OUTCOME_TRY(const std::int64_t term, db_->number("SELECT term FROM terms"));
    if (options_.durability == Durability::interval) {
      BOOST_OUTCOME_TRY(db_->execute("PRAGMA synchronous=NORMAL"));
    }
    statements_ = std::make_unique<Statements>(*db_);
    return static_cast<std::uint64_t>(term);
  };
  Result<std::uint64_t> term = attempt();
  if (!term) release();
  return term;
}

// The lock lasts as long as the process: nobody can have taken it.
Result<void> SqliteStore::renew() { return check_held(); }

void SqliteStore::release() {
  if (db_) (void)sync();
  statements_.reset();
  db_.reset();
  lock_ = LockFile();
}

Result<void> SqliteStore::check_held() const {
  if (!statements_) return fail(ErrorCode::fenced, fmt::format("the store {} was given up by this head", options_.path));
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::sync() {
  if (!unsynced_) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(db_->sync_log());
  unsynced_ = false;
  return boost::outcome_v2::success();
}

Result<std::vector<LogId>> SqliteStore::logs() {
  BOOST_OUTCOME_TRY(check_held());
  std::vector<LogId> ids;
  statements_->logs.bind_all();
  while (true) {
    BOOST_OUTCOME_TRY(const bool row, statements_->logs.step());
    if (!row) break;
    ids.push_back(static_cast<LogId>(statements_->logs.integer(0)));
  }
  std::sort(ids.begin(), ids.end());  // SQLite's integers are signed
  return ids;
}

Result<void> SqliteStore::keep(const std::string& hash, const Payload& content) {
  BOOST_OUTCOME_TRY(const bool known, statements_->known.bind_all(std::string_view(hash)).step());
  if (known) {
    statements_->known.reset();
    return boost::outcome_v2::success();
  }
  std::int64_t part = 0;
  std::string_view left = content.view();
  do {
    const std::string_view piece = left.substr(0, limits::store_part_bytes);
    BOOST_OUTCOME_TRY(statements_->keep.bind_all(std::string_view(hash), part++, piece).run());
    left.remove_prefix(piece.size());
  } while (!left.empty());
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::insert(LogId log, const Entry& entry) {
  BOOST_OUTCOME_TRY(statements_->insert.bind_all(log, checksum(entry.bytes), std::string_view(entry.bytes)).run());
  const std::int64_t number = sqlite3_last_insert_rowid(db_->handle());
  std::int64_t position = 0;
  for (const Payload& attachment : entry.attachments) {
    const std::string hash = options_.content_hash(attachment.bytes());
    BOOST_OUTCOME_TRY(keep(hash, attachment));
    BOOST_OUTCOME_TRY(statements_->attach.bind_all(number, position++, std::string_view(hash)).run());
  }
  return boost::outcome_v2::success();
}

// A commit that fails is rolled back, so that nothing is left to take out by the next append.
Result<void> SqliteStore::append(std::span<const Addressed> batch) {
  BOOST_OUTCOME_TRY(check_held());
  BOOST_OUTCOME_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*db_));
  for (const Addressed& addressed : batch) {
    BOOST_OUTCOME_TRY(insert(addressed.log, addressed.entry));
  }
  BOOST_OUTCOME_TRY(transaction.commit());
  unsynced_ = options_.durability == Durability::interval;
  return boost::outcome_v2::success();
}

Result<Payload> SqliteStore::load(const std::string& hash) {
  std::string content;
  bool found = false;
  statements_->parts.bind_all(std::string_view(hash));
  while (true) {
    BOOST_OUTCOME_TRY(const bool row, statements_->parts.step());
    if (!row) break;
    found = true;
    content += statements_->parts.bytes(0);
  }
  Payload payload(std::move(content));
  if (!found || options_.content_hash(payload.bytes()) != hash) return fail(ErrorCode::protocol, "");
  return payload;
}

Result<void> SqliteStore::replay(LogId log, const std::function<void(Entry&&)>& each) {
  BOOST_OUTCOME_TRY(check_held());
  Statements& use = *statements_;
  use.entries.bind_all(log);
  while (true) {
    BOOST_OUTCOME_TRY(const bool row, use.entries.step());
    if (!row) return boost::outcome_v2::success();
    Entry entry{std::string(use.entries.bytes(2)), {}};
    if (checksum(entry.bytes) != static_cast<std::uint64_t>(use.entries.integer(1))) {
      use.entries.reset();
      return broken(log, "an entry");
    }
    use.attached.bind_all(use.entries.integer(0));
    while (true) {
      BOOST_OUTCOME_TRY(const bool more, use.attached.step());
      if (!more) break;
      Result<Payload> payload = load(std::string(use.attached.bytes(0)));
      if (!payload) {
        use.attached.reset();
        use.entries.reset();
        return payload.error().message.empty() ? broken(log, "a payload") : payload.error();
      }
      entry.attachments.push_back(std::move(payload.value()));
    }
    each(std::move(entry));
  }
}

Result<void> SqliteStore::clear(LogId log) {
  BOOST_OUTCOME_TRY(statements_->detach.bind_all(log).run());
  return statements_->erase.bind_all(log).run();
}

Result<void> SqliteStore::replace(LogId log, std::span<const Entry> entries) {
  BOOST_OUTCOME_TRY(check_held());
  BOOST_OUTCOME_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*db_));
  std::vector<std::string> hashes;
  statements_->hashes.bind_all(log);
  while (true) {
    BOOST_OUTCOME_TRY(const bool row, statements_->hashes.step());
    if (!row) break;
    hashes.emplace_back(statements_->hashes.bytes(0));
  }
  BOOST_OUTCOME_TRY(clear(log));
  for (const Entry& entry : entries) {
    BOOST_OUTCOME_TRY(insert(log, entry));
  }
  for (const std::string& hash : hashes) {
    BOOST_OUTCOME_TRY(statements_->collect.bind_all(std::string_view(hash)).run());
  }
  BOOST_OUTCOME_TRY(transaction.commit());
  unsynced_ = options_.durability == Durability::interval;
  return boost::outcome_v2::success();
}

Result<void> SqliteStore::remove(LogId log) { return replace(log, {}); }

}  // namespace dc::store

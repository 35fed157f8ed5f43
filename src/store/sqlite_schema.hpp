// What stands in the file of a SqliteStore, and the statements on it.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "store/sqlite_store.hpp"

namespace dc::store {

inline constexpr std::int64_t sqlite_application_id = 0x64634a31;  // "dcJ1", for `file` and against foreign databases
/// Another schema needs another version; but a table beside these that earlier heads may ignore does not.
inline constexpr std::int64_t sqlite_schema_version = 1;

// Entries of a log are numbered from 1 without gaps, so that a lost one is noticed.
inline constexpr auto sqlite_tables = R"(
CREATE TABLE terms(term INTEGER NOT NULL);
INSERT INTO terms VALUES(0);
CREATE TABLE entries(log INTEGER NOT NULL, number INTEGER NOT NULL, checksum INTEGER NOT NULL,
                     attachments INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY(log, number)) WITHOUT ROWID;
CREATE TABLE attachments(log INTEGER NOT NULL, number INTEGER NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL,
                         PRIMARY KEY(log, number, position)) WITHOUT ROWID;
CREATE INDEX attachments_by_hash ON attachments(hash);
CREATE TABLE contents(hash BLOB NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE UNIQUE INDEX contents_by_hash ON contents(hash, part);
)";
/// Which logs there are is told by the entries; this tells it when a page of those is damaged.
inline constexpr auto sqlite_logs_table = "CREATE TABLE IF NOT EXISTS logs(log INTEGER PRIMARY KEY)";

/// All that makes an empty file one of ours.
inline std::string sqlite_schema() {
  return fmt::format("{}{};PRAGMA application_id={}; PRAGMA user_version={}", sqlite_tables, sqlite_logs_table,
                     sqlite_application_id, sqlite_schema_version);
}

struct SqliteStore::Statements {
  explicit Statements(SqliteDb& db)
      : logs(db, "SELECT min(log) FROM entries WHERE log > ?1"),
        noted(db, "SELECT log FROM logs ORDER BY log"),
        note(db, "INSERT OR IGNORE INTO logs VALUES(?1)"),
        forget(db, "DELETE FROM logs WHERE log = ?1"),
        last(db, "SELECT max(number) FROM entries WHERE log = ?1"),
        insert(db, "INSERT INTO entries VALUES(?1, ?2, ?3, ?4, ?5)"),
        attach(db, "INSERT INTO attachments VALUES(?1, ?2, ?3, ?4)"),
        known(db, "SELECT 1 FROM contents WHERE hash = ?1 LIMIT 1"),
        keep(db, "INSERT INTO contents VALUES(?1, ?2, ?3)"),
        entries(
            db,
            "SELECT number, checksum, attachments, bytes FROM entries WHERE log = ?1 AND number > ?2 ORDER BY number "
            "LIMIT 1024"),
        attached(db, "SELECT hash FROM attachments WHERE log = ?1 AND number = ?2 ORDER BY position"),
        parts(db, "SELECT bytes FROM contents WHERE hash = ?1 ORDER BY part"),
        size(db, "SELECT sum(length(bytes)) FROM contents WHERE hash = ?1"),
        hashes(db, "SELECT DISTINCT hash FROM attachments WHERE log = ?1"),
        detach(db, "DELETE FROM attachments WHERE log = ?1"),
        erase(db, "DELETE FROM entries WHERE log = ?1"),
        collect(db, "DELETE FROM contents WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM attachments WHERE hash = ?1)") {
  }
  SqliteStatement logs, noted, note, forget, last, insert, attach, known, keep, entries, attached, parts, size, hashes,
      detach, erase, collect;
};

}  // namespace dc::store

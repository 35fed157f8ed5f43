// What stands in the file of a SqliteStore, and the statements on it.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "store/sqlite_store.hpp"

namespace dc::store {

inline constexpr std::int64_t sqlite_application_id = 0x64634a31;  // "dcJ1", for `file` and against foreign databases
/// Another schema needs another version; but a table beside these that earlier heads may ignore does not.
inline constexpr std::int64_t sqlite_schema_version = 2;
/// Its entries were numbered from 1 without gaps, and contents were deleted with their last entry. It is upgraded
/// (sqlite_upgrade.cpp).
inline constexpr std::int64_t sqlite_schema_without_orphans = 1;

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
/// How many entries each log has, so that a lost one is noticed, and which logs there are when a page of the entries is
/// damaged. Null: that could not be counted when the file was upgraded.
inline constexpr auto sqlite_logs_table = "CREATE TABLE logs(log INTEGER PRIMARY KEY, entries INTEGER)";
/// Contents that lost a reference, perhaps the last one. They are deleted when there is time (SqliteStore::tidy).
inline constexpr auto sqlite_orphans_table = "CREATE TABLE orphans(hash BLOB PRIMARY KEY) WITHOUT ROWID";

/// All that makes an empty file one of ours.
inline std::string sqlite_schema() {
  return fmt::format("{}{};{};PRAGMA application_id={}; PRAGMA user_version={}", sqlite_tables, sqlite_logs_table,
                     sqlite_orphans_table, sqlite_application_id, sqlite_schema_version);
}

struct SqliteStore::Statements {
  explicit Statements(SqliteDb& db)
      : logs(db, "SELECT min(log) FROM entries WHERE log > ?1"),
        noted(db, "SELECT log, entries FROM logs ORDER BY log"),
        count(db,
              "INSERT INTO logs VALUES(?1, ?2) ON CONFLICT(log) DO UPDATE SET entries = entries + excluded.entries"),
        forget(db, "DELETE FROM logs WHERE log = ?1"),
        forget_empty(db,
                     "DELETE FROM logs WHERE log = ?1 AND coalesce(entries, (SELECT count(*) FROM entries WHERE log = "
                     "?1)) <= 0"),
        lost(db, "SELECT entries - (SELECT count(*) FROM entries WHERE log = ?1) FROM logs WHERE log = ?1"),
        insert(db, "INSERT OR IGNORE INTO entries VALUES(?1, ?2, ?3, ?4, ?5)"),
        erase(db, "DELETE FROM entries WHERE log = ?1 AND number = ?2"),
        erase_all(db, "DELETE FROM entries WHERE log = ?1"),
        attach(db, "INSERT INTO attachments VALUES(?1, ?2, ?3, ?4)"),
        orphan(db, "INSERT OR IGNORE INTO orphans SELECT hash FROM attachments WHERE log = ?1 AND number = ?2"),
        orphan_all(db, "INSERT OR IGNORE INTO orphans SELECT hash FROM attachments WHERE log = ?1"),
        detach(db, "DELETE FROM attachments WHERE log = ?1 AND number = ?2"),
        detach_all(db, "DELETE FROM attachments WHERE log = ?1"),
        known(db, "SELECT 1 FROM contents WHERE hash = ?1 AND part = 0"),
        discard(db, "DELETE FROM contents WHERE hash = ?1"),
        keep(db, "INSERT INTO contents VALUES(?1, ?2, ?3)"),
        entries(
            db,
            "SELECT number, checksum, attachments, bytes FROM entries WHERE log = ?1 AND number > ?2 ORDER BY number "
            "LIMIT 1024"),
        attached(db, "SELECT hash FROM attachments WHERE log = ?1 AND number = ?2 ORDER BY position"),
        parts(db, "SELECT bytes FROM contents WHERE hash = ?1 ORDER BY part"),
        size(db, "SELECT sum(length(bytes)) FROM contents WHERE hash = ?1"),
        orphans(db, "SELECT hash, EXISTS (SELECT 1 FROM attachments WHERE hash = orphans.hash) FROM orphans LIMIT 1"),
        part(db, "SELECT part, length(bytes) FROM contents WHERE hash = ?1 ORDER BY part LIMIT 1"),
        drop_part(db, "DELETE FROM contents WHERE hash = ?1 AND part = ?2"),
        settle(db, "DELETE FROM orphans WHERE hash = ?1") {}
  SqliteStatement logs, noted, count, forget, forget_empty, lost, insert, erase, erase_all, attach, orphan, orphan_all,
      detach, detach_all, known, discard, keep, entries, attached, parts, size, orphans, part, drop_part, settle;
};

}  // namespace dc::store

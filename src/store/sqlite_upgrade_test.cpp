// Files of schema version 1, as earlier heads left them.
#include "store/checksum.hpp"
#include "store/sqlite_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::HasSubstr;

/// All that makes a file one of theirs.
constexpr auto tables = R"(
PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;
CREATE TABLE terms(term INTEGER NOT NULL);
INSERT INTO terms VALUES(41);
CREATE TABLE entries(log INTEGER NOT NULL, number INTEGER NOT NULL, checksum INTEGER NOT NULL,
                     attachments INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY(log, number)) WITHOUT ROWID;
CREATE TABLE attachments(log INTEGER NOT NULL, number INTEGER NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL,
                         PRIMARY KEY(log, number, position)) WITHOUT ROWID;
CREATE INDEX attachments_by_hash ON attachments(hash);
CREATE TABLE contents(hash BLOB NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE UNIQUE INDEX contents_by_hash ON contents(hash, part);
PRAGMA application_id=1684228657; PRAGMA user_version=1;
)";
constexpr auto logs_table = "CREATE TABLE logs(log INTEGER PRIMARY KEY);";

class SqliteUpgrade : public SqliteFixture {
 protected:
  static std::string blob(std::string_view text) { return fmt::format("CAST('{}' AS BLOB)", text); }
  /// Commands that put an entry as earlier heads did; each attachment stands once.
  static std::string entry_of_old(LogId log, int number, const Entry& entry) {
    std::string sql =
        fmt::format("INSERT INTO entries VALUES({}, {}, {}, {}, {});", static_cast<std::int64_t>(log), number,
                    static_cast<std::int64_t>(checksum(entry.bytes)), entry.attachments.size(), blob(entry.bytes));
    int position = 0;
    for (const Payload& attachment : entry.attachments) {
      const std::string hash = blob(test_hash(attachment.bytes()));
      sql += fmt::format("INSERT INTO attachments VALUES({}, {}, {}, {});", static_cast<std::int64_t>(log), number,
                         position++, hash);
      sql += fmt::format("INSERT OR IGNORE INTO contents VALUES({}, 0, {});", hash, blob(attachment.view()));
    }
    return sql;
  }
  std::string all_of(const Logs& logs) {
    std::string sql;
    for (const auto& [log, entries] : logs) {
      for (std::size_t i = 0; i < entries.size(); ++i) sql += entry_of_old(log, static_cast<int>(i) + 1, entries[i]);
      sql += fmt::format("INSERT INTO logs VALUES({});", static_cast<std::int64_t>(log));
    }
    return sql;
  }
  const Logs logs_{{3, {entry("a", {"one", "two"}), entry("b"), entry("c", {"two"})}},
                   {UINT64_MAX, {entry("d", {"one"})}}};
};

TEST_F(SqliteUpgrade, ReadsWhatStoodAndGoesOn) {
  edit(std::string(tables) + logs_table + all_of(logs_));
  {
    const auto store = open();
    EXPECT_EQ(number("PRAGMA user_version"), 2);
    EXPECT_EQ(number("SELECT term FROM terms"), 42);
    EXPECT_EQ(read_all(*store), logs_);
    EXPECT_EQ(read_numbered(*store, 3).rbegin()->first, 3U);
    ASSERT_EQ(problem(write(*store, {put(3, 4, entry("e", {"three"})), erase(3, 1)})), "");
    tidy(*store);
    EXPECT_EQ(number("SELECT count(*) FROM contents"), 3);
    ASSERT_EQ(problem(store->remove(UINT64_MAX)), "");
    tidy(*store);
    EXPECT_EQ(number("SELECT count(*) FROM contents"), 2);
  }
  const Logs expected{{3, {entry("b"), entry("c", {"two"}), entry("e", {"three"})}}};
  EXPECT_EQ(read_all(*open()), expected) << "it is upgraded once";
}

TEST_F(SqliteUpgrade, AlsoAFileOfTheFirstHeadsWhichDidNotNoteTheirLogs) {
  edit(std::string(tables) + logs_table + all_of(logs_) + "DROP TABLE logs");
  EXPECT_EQ(read_all(*open()), logs_);
  EXPECT_EQ(number("SELECT sum(entries) FROM logs"), 4);
}

TEST_F(SqliteUpgrade, ALostEntryStaysLost) {
  edit(std::string(tables) + logs_table + all_of(logs_) + "DELETE FROM entries WHERE log = 3 AND number = 2");
  EXPECT_THAT(why_not_replayed(3), HasSubstr("an entry is missing"));
  EXPECT_EQ(read_log(*open(), UINT64_MAX), logs_.at(UINT64_MAX));
}

TEST_F(SqliteUpgrade, ADamagedPageCostsOnlyTheLogsOnIt) {
  Logs all;
  for (LogId log = 1; log <= 3; ++log) {
    for (int i = 0; i < 25; ++i) all[log].push_back(entry(std::to_string(i) + std::string(300, 'x')));
  }
  edit(std::string(tables) + logs_table + all_of(all));
  std::size_t all_sound = 0;
  const Pages pages = with_each_page_damaged([&](SqliteStore& store, std::uint64_t) {
    ASSERT_THAT(store.logs().value(), testing::ElementsAre(1, 2, 3));
    std::size_t sound = 0;
    for (const auto& [log, entries] : all) {
      std::vector<Entry> read;
      const Result<void> replayed =
          store.replay(log, [&](EntryNumber, Entry&& entry) { read.push_back(std::move(entry)); });
      EXPECT_TRUE(!replayed || read == entries);
      sound += replayed ? 1 : 0;
    }
    EXPECT_GE(sound, 1U) << "a page holds entries of two logs at most";
    all_sound += sound == 3 ? 1 : 0;
  });
  // Not those that tell where others are, nor what holds the term, nor two in whose place the new table is made.
  EXPECT_GE(pages.opened + 5, pages.all);
  EXPECT_LT(all_sound, pages.opened) << "some pages were of entries";
}

}  // namespace
}  // namespace dc::store

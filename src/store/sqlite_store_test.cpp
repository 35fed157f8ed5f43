// What only a file can suffer: no room, damage, foreign hands, another version.
#include "store/sqlite_store.hpp"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>

#include "core/fd.hpp"
#include "store/sqlite_fixture_for_tests.hpp"

namespace {

/// Of this program, and of SQLite in it: fdatasync of files whose names end so fails.
std::string broken_disk;
std::string last_synced;

}  // namespace

extern "C" int fdatasync(int fd) {
  std::error_code none;
  last_synced = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), none).string();
  if (broken_disk.empty() || !last_synced.ends_with(broken_disk)) return static_cast<int>(::syscall(SYS_fdatasync, fd));
  errno = EIO;
  return -1;
}

namespace dc::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using Sqlite = SqliteFixture;

TEST_F(Sqlite, IsBornOnlyForItsOwner) {
  const mode_t before = ::umask(0);
  const Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const std::filesystem::path directory = std::filesystem::path(path_).parent_path();
  ASSERT_GE(::inotify_add_watch(watch.get(), directory.c_str(), IN_CREATE | IN_ATTRIB), 0);
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  ::umask(before);
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    EXPECT_EQ(file.status().permissions(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << file.path();
    ++files;
  }
  EXPECT_GE(files, 3);  // the file, the log beside it, the lock
  alignas(inotify_event) std::array<char, 4096> events{};
  const ssize_t size = ::read(watch.get(), events.data(), events.size());
  for (ssize_t at = 0; at < size;) {
    const auto* event = reinterpret_cast<const inotify_event*>(events.data() + at);
    const bool narrowed = event->len > 0 && event->name == std::string("head.db") && (event->mask & IN_ATTRIB) != 0;
    EXPECT_FALSE(narrowed);
    at += static_cast<ssize_t>(sizeof *event + event->len);
  }
}

TEST_F(Sqlite, FullIsSaidAndTheNextWriteThatFitsIsTaken) {
  const auto store = open(100);
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  const Result<void> refused = append(*store, {{1, entry("b")}, {1, entry("c", {std::string(1'000'000, 'x')})}});
  EXPECT_EQ(code_of(refused), ErrorCode::full);
  EXPECT_THAT(problem(refused), AllOf(HasSubstr(path_), HasSubstr("free some space")));
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("a")}}}));
  ASSERT_EQ(problem(append(*store, {{1, entry("d")}})), "");
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("a"), entry("d")}}}));
}

/// A disk of a few MiB.
class SqliteOnSmallDisk : public Sqlite {
 protected:
  void SetUp() override {
    disk_ = dir_.file("disk");
    std::filesystem::create_directory(disk_);
    if (::mount("tmpfs", disk_.c_str(), "tmpfs", 0, "size=8m,mode=0700") != 0) {
      GTEST_SKIP() << "a small disk needs the right to mount one";
    }
    mounted_ = true;
    path_ = disk_ + "/head.db";
  }
  void TearDown() override {
    if (mounted_) ::umount2(disk_.c_str(), MNT_DETACH);
  }
  std::string disk_;
  bool mounted_ = false;
};

TEST_F(SqliteOnSmallDisk, AFullDiskIsSaidAndGoesOnWhenThereIsRoom) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  const std::string ballast = disk_ + "/ballast";
  std::ofstream(ballast, std::ios::binary) << std::string(16 << 20, 'x');
  Result<void> refused = append(*store, {{1, entry("big", {std::string(100'000, 'x')})}});
  EXPECT_EQ(code_of(refused), ErrorCode::full);
  EXPECT_THAT(problem(refused), AllOf(HasSubstr(path_), HasSubstr("free some space")));
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("a")}}}));
  std::filesystem::remove(ballast);
  ASSERT_EQ(problem(append(*store, {{1, entry("b")}})), "");
  const Logs expected{{1, {entry("a"), entry("b")}}};
  EXPECT_EQ(read_all(*store), expected);
  store->release();
  EXPECT_EQ(read_all(*open()), expected);
}

TEST_F(SqliteOnSmallDisk, AReadOnlyDiskIsSaid) {
  open();
  ASSERT_EQ(::mount(nullptr, disk_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  const Result<std::uint64_t> refused = acquired();
  EXPECT_EQ(code_of(refused), ErrorCode::io);
  EXPECT_THAT(problem(refused), AllOf(HasSubstr(path_), HasSubstr("Read-only file system")));
}

TEST_F(Sqlite, WhatAFailedSyncConcernedIsBroughtToTheDiskByAnotherWay) {
  SqliteStore store({.path = path_, .durability = Durability::interval, .content_hash = test_hash});
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  ASSERT_EQ(problem(append(store, {{1, entry("a")}})), "");
  ASSERT_EQ(problem(store.sync()), "");
  EXPECT_THAT(last_synced, testing::EndsWith("head.db-wal"));
  ASSERT_EQ(problem(append(store, {{1, entry("b")}})), "");
  broken_disk = "-wal";
  EXPECT_THAT(problem(store.sync()), HasSubstr("look into the system's log"));
  broken_disk.clear();
  ASSERT_EQ(problem(store.sync()), "");
  EXPECT_THAT(last_synced, testing::EndsWith("head.db")) << "the log's second sync would not have told";
  EXPECT_EQ(std::filesystem::file_size(path_ + "-wal"), 0U);
  ASSERT_EQ(problem(append(store, {{1, entry("c")}})), "");
  ASSERT_EQ(problem(store.sync()), "");
  EXPECT_THAT(last_synced, testing::EndsWith("head.db-wal"));
}

TEST_F(Sqlite, ADirectoryInItsPlaceIsSaid) {
  std::filesystem::create_directory(path_);
  const Result<std::uint64_t> refused = acquired();
  EXPECT_EQ(code_of(refused), ErrorCode::io);
  EXPECT_THAT(problem(refused), AllOf(HasSubstr(path_), HasSubstr("name another")));
}

TEST_F(Sqlite, ATornTailIsDroppedAndWhatReturnedIsKept) {
  // The head dies without closing: the write-ahead log stays.
  const pid_t child = ::fork();
  if (child == 0) {
    SqliteStore store(SqliteOptions{.path = path_, .content_hash = test_hash});
    const bool good = store.acquire(first_owner) && append(store, {{1, entry("a")}}) &&
                      append(store, {{1, entry("b")}, {2, entry("torn", {std::string(10'000, 'x')})}});
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const std::string wal = path_ + "-wal";
  std::filesystem::resize_file(wal, std::filesystem::file_size(wal) - 100);
  EXPECT_EQ(read_all(*open()), (Logs{{1, {entry("a")}}}));
}

TEST_F(Sqlite, ABrokenEntryIsAnErrorThatNamesTheFile) {
  ASSERT_EQ(problem(write(*open(), {put(1, 1, entry("aaa")), put(1, 2, entry("bbb")), put(2, 1, entry("c"))})), "");
  edit("UPDATE entries SET bytes = CAST('abb' AS BLOB) WHERE log = 1 AND number = 2");
  EXPECT_THAT(why_not_replayed(1), AllOf(HasSubstr(path_), HasSubstr("an entry is damaged")));
  EXPECT_EQ(read_log(*open(), 2), std::vector<Entry>{entry("c")});
}

TEST_F(Sqlite, ALostEntryIsAnError) {
  ASSERT_EQ(problem(write(
                *open(), {put(1, 1, entry("a")), put(1, 4, entry("b")), put(1, 9, entry("c")), put(2, 7, entry("d"))})),
            "");
  edit("DELETE FROM entries WHERE log = 1 AND number = 4");
  EXPECT_THAT(why_not_replayed(1), HasSubstr("an entry is missing"));
  const auto store = open();
  Position position;
  std::vector<std::string> told;
  for (bool more = true; more && told.size() < 10;) {
    const Result<bool> went =
        store->read(1, position, Attachments::load, [&](EntryNumber, Entry&& entry) { told.push_back(entry.bytes); });
    if (!went) told.emplace_back("missing");
    more = !went || went.value();
  }
  EXPECT_THAT(told, testing::ElementsAre("a", "c", "missing"));
  // Also when it was the only one, and as long as the log is not replaced.
  edit("DELETE FROM entries WHERE log = 2");
  EXPECT_EQ(store->logs().value(), (std::vector<LogId>{1, 2}));
  EXPECT_EQ(code_of(store->replay(2, [](EntryNumber, Entry&&) {})), ErrorCode::protocol);
  ASSERT_EQ(problem(write(*store, {erase(1, 1), erase(1, 9)})), "");
  EXPECT_EQ(code_of(store->replay(1, [](EntryNumber, Entry&&) {})), ErrorCode::protocol);
  ASSERT_EQ(problem(store->remove(1)), "");
  ASSERT_EQ(problem(replace(*store, 2, {entry("e")})), "");
  EXPECT_EQ(read_all(*store), (Logs{{2, {entry("e")}}}));
}

TEST_F(Sqlite, ABrokenOrLostPayloadIsAnError) {
  ASSERT_EQ(problem(append(*open(), {{1, entry("a", {"first"})}, {2, entry("b", {"second"})}, {3, entry("c", {"d"})}})),
            "");
  edit("UPDATE contents SET bytes = CAST('FIRST' AS BLOB) WHERE bytes = CAST('first' AS BLOB)");
  edit("DELETE FROM contents WHERE bytes = CAST('second' AS BLOB)");
  edit("DELETE FROM attachments WHERE log = 3");
  for (const LogId log : {1, 2, 3}) EXPECT_THAT(why_not_replayed(log), HasSubstr("a payload is missing"));
}

TEST_F(Sqlite, DamagedPagesAreAnError) {
  ASSERT_EQ(problem(replace(*open(), 1, many(2000, 500))), "");
  const auto size = std::filesystem::file_size(path_);
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(size / 2));
  file << std::string(20'000, 'z');
  file.close();
  EXPECT_THAT(why_not_replayed(1), AllOf(HasSubstr(path_), HasSubstr("is broken")));
}

/// With one page of its file overwritten. Which logs can be read?
std::set<LogId> readable(SqliteStore& store, const Logs& all) {
  std::set<LogId> sound;
  for (const auto& [log, entries] : all) {
    std::vector<Entry> read;
    const Result<void> replayed =
        store.replay(log, [&](EntryNumber, Entry&& entry) { read.push_back(std::move(entry)); });
    if (replayed) {
      EXPECT_EQ(read, entries);
      sound.insert(log);
    } else {
      EXPECT_EQ(code_of(replayed), ErrorCode::protocol);
      EXPECT_THAT(problem(replayed), HasSubstr(fmt::format("of pool {:016x}", log)));
    }
  }
  return sound;
}

TEST_F(Sqlite, ADamagedPageCostsOnlyTheLogsOnItAndGoesWhenTheFileIsWrittenAnew) {
  Logs all;
  std::vector<Addressed> batch;
  for (int i = 0; i < 25; ++i) {
    for (LogId log = 1; log <= 3; ++log) {
      const std::vector<std::string> payloads(i == 7 ? 1 : 0, std::to_string(log));
      all[log].push_back(entry(std::to_string(i) + std::string(300, 'x'), payloads));
      batch.push_back({log, all[log].back()});
    }
  }
  ASSERT_EQ(problem(append(*open(), std::move(batch))), "");
  const Pages pages = with_each_page_damaged([&](SqliteStore& store, std::uint64_t term) {
    ASSERT_THAT(store.logs().value(), testing::ElementsAre(1, 2, 3));
    const std::set<LogId> before = readable(store, all);
    ASSERT_EQ(problem(store.rewrite()), "");
    const std::set<LogId> sound = readable(store, all);  // more, where only an index was damaged; whole, or told
    EXPECT_TRUE(std::includes(sound.begin(), sound.end(), before.begin(), before.end()));
    Logs expected = all;
    for (const LogId log : {1, 2, 3}) {
      if (!sound.contains(log)) {
        EXPECT_EQ(problem(replace(store, log, {entry("cut")})), "");
        expected[log] = {entry("cut")};
      }
      EXPECT_EQ(problem(append(store, {{log, entry("next")}})), "");
      expected[log].push_back(entry("next"));
    }
    EXPECT_EQ(read_all(store), expected);
    store.release();
    EXPECT_EQ(read_all(*open()), expected);
    EXPECT_GT(acquired().value(), term + 1) << "terms go on";
  });
  EXPECT_GE(pages.opened + 2, pages.all) << "all but what holds the term";
  EXPECT_TRUE(std::filesystem::exists(path_ + ".damaged"));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(Sqlite, WhatIsNoDatabaseIsLeftAlone) {
  const std::string content(5000, 'n');
  std::ofstream(path_) << content;
  const Result<std::uint64_t> refused = acquired();
  EXPECT_EQ(code_of(refused), ErrorCode::protocol);
  EXPECT_THAT(problem(refused), HasSubstr(path_));
  std::ifstream file(path_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), content);
}

TEST_F(Sqlite, ADatabaseOfAnotherProgramIsLeftAlone) {
  edit("CREATE TABLE songs(title TEXT)");
  const Result<std::uint64_t> refused = acquired();
  EXPECT_EQ(code_of(refused), ErrorCode::protocol);
  EXPECT_THAT(problem(refused), HasSubstr("another program"));
  EXPECT_EQ(number("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(Sqlite, AnotherVersionIsLeftAlone) {
  open();
  edit("PRAGMA user_version=99");
  const Result<std::uint64_t> refused = acquired();
  EXPECT_EQ(code_of(refused), ErrorCode::protocol);
  EXPECT_THAT(problem(refused), AllOf(HasSubstr("version 99"), HasSubstr("knows version 2")));
}

TEST_F(Sqlite, TheLockOfADeadHeadDoesNotCount) {
  const pid_t child = ::fork();
  if (child == 0) {
    SqliteStore store(SqliteOptions{.path = path_, .content_hash = test_hash});
    ::_exit(store.acquire(second_owner) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_TRUE(std::filesystem::exists(path_ + ".lock"));
  EXPECT_EQ(problem(acquired()), "");
}

}  // namespace
}  // namespace dc::store

// What is found in the files of a store that is not in use.
#include "store/earlier_logs.hpp"

#include <fstream>

#include "store/redis_fixture_for_tests.hpp"
#include "store/sqlite_store.hpp"

namespace dc::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto usual_prefix = "distributed-computing";

class EarlierRedisLogs : public RedisFixture {};

TEST_F(EarlierRedisLogs, AreReadFromTheAppendOnlyFile) {
  {
    const auto store = open();
    ASSERT_EQ(problem(append(*store, {{1, entry("first of 1")}, {1, entry("second of 1")}, {2, entry("first of 2")}})),
              "");
    ASSERT_EQ(problem(append(*store, {{3, entry("first of 3", {std::string(100000, 'x')})}})), "");
    ASSERT_EQ(problem(store->remove(2)), "");
    ASSERT_EQ(problem(replace(*store, 1, {entry("shortened 1")})), "");
  }
  for (const bool running : {true, false}) {
    if (!running) server_->kill();
    const EarlierLogs found = earlier_redis_logs(server_->dir().path(), usual_prefix);
    EXPECT_THAT(found.first_entries, ElementsAre("shortened 1", "first of 3")) << running;
    EXPECT_FALSE(found.more);
  }
  EXPECT_TRUE(earlier_redis_logs(server_->dir().path(), "another").empty());
  EXPECT_TRUE(earlier_redis_logs(server_->dir().file("nothing"), usual_prefix).empty());
}

TEST_F(EarlierRedisLogs, AreKnownByTheirFirstEntryThatStands) {
  {
    const auto store = open();
    ASSERT_EQ(problem(write(*store, {put(1, 9, entry("third")), put(1, 5, entry("second")), put(2, 1, entry("gone"))})),
              "");
    ASSERT_EQ(problem(write(*store, {put(1, 3, entry("first")), put(1, 5, entry("anew", {"payload"}))})), "");
    ASSERT_EQ(problem(write(*store, {erase(1, 3), erase(2, 1)})), "");
  }
  const EarlierLogs found = earlier_redis_logs(server_->dir().path(), usual_prefix);
  EXPECT_THAT(found.first_entries, ElementsAre("anew"));
  EXPECT_FALSE(found.more);
}

TEST_F(EarlierRedisLogs, OfStreamsAreReadToo) {
  const std::string entry_of_five("\5\0\0\0\0\0\0\0first", 13);
  for (const char* log : {"1", "2", "3"}) {
    server_->ask({"XADD", key("upload"), "5-1", "n", "0", "k", "1", "c", "0", "d", entry_of_five});
    server_->ask({"RENAME", key("upload"), key("log:") + log});
    server_->ask({"XADD", key("log:") + log, "5-2", "n", "1", "k", "1", "c", "0", "d", entry_of_five});
    server_->ask({"SADD", key("logs"), log});
  }
  server_->ask({"SREM", key("logs"), "2"});
  server_->ask({"UNLINK", key("log:2"), key("log:3")});
  const EarlierLogs found = earlier_redis_logs(server_->dir().path(), usual_prefix);
  EXPECT_THAT(found.first_entries, ElementsAre("first"));
  EXPECT_TRUE(found.more) << "that of which nothing is left";
}

TEST_F(EarlierRedisLogs, InASnapshotAreKnownToBeThere) {
  ASSERT_EQ(problem(append(*open(), {{1, entry("first")}})), "");
  server_->ask({"BGREWRITEAOF"});
  const auto end = std::chrono::steady_clock::now() + 20s;
  EarlierLogs found;
  while (!found.more && std::chrono::steady_clock::now() < end) {
    ::usleep(20'000);
    found = earlier_redis_logs(server_->dir().path(), usual_prefix);
  }
  EXPECT_TRUE(found.more);
  EXPECT_TRUE(earlier_redis_logs(server_->dir().path(), "another").empty());
}

TEST(EarlierSqliteLogs, AreReadWithoutChangingTheFile) {
  const TemporaryDir dir;
  const std::string path = dir.file("head.db");
  EXPECT_TRUE(earlier_sqlite_logs(path).empty());
  EXPECT_FALSE(std::filesystem::exists(path));
  {
    SqliteStore store({.path = path, .content_hash = test_hash});
    ASSERT_EQ(problem(store.acquire(first_owner)), "");
    EXPECT_THAT(earlier_sqlite_logs(path).first_entries, IsEmpty());
    ASSERT_EQ(problem(write(store, {put(1, 7, entry("second of 1")), put(1, 4, entry("first of 1")),
                                    put(2, 1, entry("gone")), put(2, 2, entry("first of 2"))})),
              "");
    ASSERT_EQ(problem(write(store, {erase(2, 1)})), "");
  }
  EXPECT_THAT(earlier_sqlite_logs(path).first_entries, testing::UnorderedElementsAre("first of 1", "first of 2"));
  std::ofstream(path) << "something else";
  EXPECT_TRUE(earlier_sqlite_logs(path).empty());
}

}  // namespace
}  // namespace dc::store

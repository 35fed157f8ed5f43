// What only a server can do: die, freeze, fill up, forget, and have other users.
#include "store/redis_store.hpp"

#include <filesystem>

#include "store/faulty_stream_for_tests.hpp"
#include "store/redis_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using testing::Not;
using testing::UnorderedElementsAre;

using Redis = RedisFixture;

// --- Connections that break -------------------------------------------------------------------------------------

TEST_F(Redis, AServerThatIsKilledAndStartedAgainIsFoundAgain) {
  server_->ask({"CONFIG", "SET", "appendfsync", "always"});  // else it puts off writes while its disk is slow
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a", {"payload"})}})), "");
  server_->kill();
  EXPECT_EQ(code_of(append(*store, {{1, entry("b")}})), ErrorCode::unreachable);
  EXPECT_THAT(problem(append(*store, {{1, entry("b")}})), AllOf(HasSubstr("redis.sock"), HasSubstr("is it running")));
  server_->start();
  ASSERT_EQ(problem(append(*store, {{1, entry("c")}})), "");
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("a", {"payload"}), entry("c")}}}));
}

TEST_F(Redis, AFrozenServerFailsACallInBoundedTimeAndWhatWasGivenUpNeverStands) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  server_->freeze();
  const TimePoint start = std::chrono::steady_clock::now();
  const Result<void> failed = append(*store, {{1, entry("given up", {"payload"})}, {2, entry("given up")}});
  const Duration taken = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(code_of(failed), ErrorCode::unreachable);
  EXPECT_THAT(problem(failed), HasSubstr("no answer for 2.5 s"));
  EXPECT_LT(taken, 2 * limits::store_call_timeout);
  server_->thaw();  // now the bytes that were sent are read
  ASSERT_EQ(problem(append(*store, {{1, entry("b")}})), "");
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("a"), entry("b")}}}));
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("last"), key("entries"),
                                           key("log:1:entries")));
}

TEST_F(Redis, AWriteThatArrivesLateDoesNothing) {
  Faults faults;
  RedisStore store(faulty_options(server_->address().unix_path, faults));
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  ASSERT_EQ(problem(append(store, {{1, entry("a")}})), "");
  faults.delays = [](std::string_view bytes) { return bytes.find("EXEC") != bytes.npos; };
  EXPECT_EQ(code_of(append(store, {{2, entry("late")}})), ErrorCode::unreachable);
  faults.delays = [](std::string_view) { return false; };
  ASSERT_EQ(problem(append(store, {{1, entry("b")}})), "");
  ASSERT_EQ(faults.late.size(), 1U);
  faults.late.front()();
  EXPECT_EQ(read_all(store), (Logs{{1, {entry("a"), entry("b")}}}));
  store.release();
  EXPECT_EQ(read_all(*open()), (Logs{{1, {entry("a"), entry("b")}}}));
}

TEST_F(Redis, WaitsForTheDiskOfALaterServer) {
  // This server says that it is 7.2, and answers WAITAOF with what the test wrote into a hash.
  Faults faults;
  faults.change_read = [](std::string& text) {
    if (const auto at = text.find("redis_version:7.0"); at != text.npos) text[at + 16] = '2';
    if (const auto at = text.find("redis_version:6."); at != text.npos) text.replace(at, 17, "redis_version:7.2");
  };
  int waited = 0;
  faults.change_written = [&](std::string& text) {
    const std::string ours = "*4\r\n$7\r\nWAITAOF\r\n$1\r\n1\r\n$1\r\n0\r\n$4\r\n2000\r\n";
    const auto at = text.find(ours);
    if (at == text.npos) return;
    ++waited;
    text.replace(at, ours.size(), "*4\r\n$5\r\nHMGET\r\n$7\r\nwaitaof\r\n$1\r\na\r\n$1\r\nb\r\n");
  };
  server_->ask({"HSET", "waitaof", "a", "1", "b", "0"});
  RedisStore store(faulty_options(server_->address().unix_path, faults));
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  EXPECT_THAT(store.description(), HasSubstr("survives the loss of power"));
  ASSERT_EQ(problem(append(store, {{1, entry("a")}})), "");
  EXPECT_GT(waited, 0);
  server_->ask({"HSET", "waitaof", "a", "0"});
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(problem(write(store, {put(2, 1, entry("b"))})), HasSubstr("to its disk in time"));
  server_->ask({"HSET", "waitaof", "a", "1"});
  ASSERT_EQ(problem(write(store, {erase(2, 1), put(2, 2, entry("c"))})), "");
  EXPECT_EQ(read_all(store), (Logs{{1, {entry("a")}}, {2, {entry("c")}}}));
}

// --- Room, damage, other users ----------------------------------------------------------------------------------

TEST_F(Redis, FullIsSaidAndGoesOnWhenThereIsRoom) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  server_->ask({"CONFIG", "SET", "maxmemory", "1"});
  const Result<void> refused = append(*store, {{1, entry("b", {"payload"})}});
  EXPECT_EQ(code_of(refused), ErrorCode::full);
  EXPECT_THAT(problem(refused), AllOf(HasSubstr("redis.sock"), HasSubstr("maxmemory")));
  EXPECT_EQ(code_of(append(*store, {{1, entry("b")}})), ErrorCode::full);
  server_->ask({"CONFIG", "SET", "maxmemory", "0"});
  ASSERT_EQ(problem(append(*store, {{1, entry("c")}})), "");
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("a"), entry("c")}}}));
}

TEST_F(Redis, APayloadThatDoesNotFitLeavesNothing) {
  server_->ask({"CONFIG", "SET", "maxmemory", "30mb"});
  const auto store = open();
  EXPECT_EQ(code_of(append(*store, {{1, entry("b", {std::string(4 * limits::store_part_bytes, 'x')})}})),
            ErrorCode::full);
  EXPECT_EQ(code_of(append(*store, {{1, entry("b", {std::string(4 * limits::store_part_bytes, 'x')})}})),
            ErrorCode::full);
  ASSERT_EQ(problem(append(*store, {{1, entry("c")}})), "");
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("last"), key("entries"),
                                           key("log:1:entries")));
}

TEST_F(Redis, ContentsGoWithTheirLastEntry) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a", {"one", "two"})}, {2, entry("b", {"two", "two"})}})), "");
  EXPECT_EQ(server_->ask({"HLEN", key("contents")}).integer(), 2);
  ASSERT_EQ(problem(replace(*store, 1, {entry("a")})), "");
  EXPECT_EQ(server_->ask({"HLEN", key("contents")}).integer(), 1);
  ASSERT_EQ(problem(store->remove(2)), "");
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("last"), key("entries"),
                                           key("log:1:entries")));
}

TEST_F(Redis, WhatADeadHeadWasUploadingIsCollected) {
  server_->ask({"SADD", key("uploads"), key("upload:1:1")});
  server_->ask({"RPUSH", key("upload:1:1"), "half"});
  open();
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease")));
}

TEST_F(Redis, AServerThatLostItsDataIsSaid) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  server_->ask({"FLUSHALL"});
  ASSERT_EQ(code_of(append(*store, {{1, entry("b")}})), ErrorCode::protocol);
  EXPECT_TRUE(until([&] { return store->hold() == Hold::lost; }));
  EXPECT_THAT(problem(store->check_hold()), HasSubstr("has lost what was stored"));
}

TEST_F(Redis, DamageIsAnErrorThatNamesTheStore) {
  ASSERT_EQ(problem(append(*open(), {{1, entry("a")}, {2, entry("b", {"one"})}, {3, entry("c", {"two"})}})), "");
  ASSERT_EQ(problem(append(*open(), {{1, entry("d")}})), "");
  const RedisReply numbers = server_->ask({"HKEYS", key("log:1:entries")});
  ASSERT_EQ(numbers.size(), 2U);
  server_->ask({"HDEL", key("log:1:entries"), std::string(numbers[0].text())});
  EXPECT_THAT(why_not_replayed(1), AllOf(HasSubstr("redis.sock"), HasSubstr("an entry is missing")));
  server_->ask({"DEL", key("content:" + test_hash(text("one").bytes()))});
  EXPECT_THAT(why_not_replayed(2), HasSubstr("a payload is missing"));
  server_->ask({"RPUSH", key("content:" + test_hash(text("two").bytes())), "more"});
  EXPECT_THAT(why_not_replayed(3), HasSubstr("a payload is missing or damaged"));
  server_->ask({"HSET", key("log:4:entries"), "1", "0123456789abcdef and more"});
  EXPECT_THAT(why_not_replayed(4), HasSubstr("an entry is damaged"));
  ASSERT_EQ(problem(write(*open(), {put(5, 1, entry("e")), put(5, 2, entry("f")), put(6, 1, entry("g"))})), "");
  const std::string value(server_->ask({"HGET", key("log:5:entries"), "1"}).text());
  server_->ask({"HSET", key("log:5:entries"), "2", value});
  EXPECT_THAT(why_not_replayed(5), HasSubstr("an entry is damaged")) << "it belongs under another number";
  server_->ask({"DEL", key("log:6:entries")});
  EXPECT_THAT(open()->logs().value(), testing::Contains(6));
  EXPECT_THAT(why_not_replayed(6), HasSubstr("an entry is missing"));
}

TEST_F(Redis, AnotherVersionIsLeftAlone) {
  server_->ask({"SET", key("format"), "99"});
  EXPECT_EQ(code_of(acquired()), ErrorCode::protocol);
  EXPECT_THAT(problem(acquired()), AllOf(HasSubstr("version 99"), HasSubstr("knows version 3")));
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format")));
}

TEST_F(Redis, KeysOfAnotherProgramAreSaid) {
  server_->ask({"SET", key("log:1:entries"), "a song"});
  EXPECT_THAT(problem(append(*open(), {{1, entry("a")}})), HasSubstr("another program"));
}

TEST_F(Redis, WhatIsNoIdAmongTheLogsIsLeftAlone) {
  ASSERT_EQ(problem(append(*open(), {{7, entry("a")}})), "");
  for (const char* name : {"song", "", "-1", "007", "18446744073709551616", "7 "}) {
    server_->ask({"HSET", key("entries"), name, "1"});
    server_->ask({"SADD", key("logs"), name});
  }
  EXPECT_EQ(read_all(*open()), (Logs{{7, {entry("a")}}}));
}

TEST_F(Redis, AReplicaIsRefused) {
  server_->ask({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_THAT(problem(acquired()), HasSubstr("is a replica"));
}

TEST_F(Redis, AnAddressThatLeadsToAnotherServerByNowIsDialledAnew) {
  // As behind the name of a managed service: the server becomes a replica, and the name is given to the next primary.
  RedisServer next;
  const std::string name = next.dir().file("name.sock");
  std::filesystem::create_symlink(server_->address().unix_path, name);
  RedisOptions options{.address = server_->address(), .content_hash = test_hash};
  options.address.unix_path = name;
  RedisStore store(options);
  RedisStore standby(options);
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  ASSERT_EQ(problem(append(store, {{1, entry("a")}})), "");
  for (const std::string& key : keys()) {  // the next has all that this one had
    std::string dump(server_->ask({"DUMP", key}).text());
    next.ask({"RESTORE", key, "0", std::move(dump)});
  }
  server_->ask({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_EQ(code_of(standby.acquire(second_owner)), ErrorCode::unreachable) << "a standby waits";
  std::filesystem::remove(name);
  std::filesystem::create_symlink(next.address().unix_path, name);
  EXPECT_EQ(code_of(append(store, {{1, entry("b")}})), ErrorCode::unreachable);
  ASSERT_EQ(problem(append(store, {{1, entry("b")}})), "");
  EXPECT_EQ(read_all(store), (Logs{{1, {entry("a"), entry("b")}}}));
  const std::string beat(next.ask({"GET", key("lease")}).text());
  EXPECT_TRUE(until([&] { return next.ask({"GET", key("lease")}).text() != beat; })) << "its lease is renewed there";
  EXPECT_EQ(store.hold(), Hold::ours);
  EXPECT_EQ(code_of(standby.acquire(second_owner)), ErrorCode::fenced);
}

TEST_F(Redis, SeveralClustersShareAServer) {
  const auto first = open();
  RedisOptions options{.address = server_->address(), .content_hash = test_hash};
  options.address.prefix = "other";
  RedisStore other(options);
  ASSERT_EQ(problem(other.acquire(second_owner)), "");
  ASSERT_EQ(problem(append(*first, {{1, entry("a")}})), "");
  EXPECT_EQ(read_all(other), Logs{});
}

TEST_F(Redis, SaysWhatIsKept) {
  const auto store = open();
  EXPECT_THAT(store->description(), AllOf(HasSubstr("redis.sock"), HasSubstr("at most the last second")));
  store->release();
  server_->ask({"CONFIG", "SET", "appendfsync", "always"});
  EXPECT_THAT(open()->description(), HasSubstr("survives the loss of power"));
  server_->ask({"CONFIG", "SET", "appendonly", "no"});
  EXPECT_THAT(open()->description(), HasSubstr("in its memory only"));
}

class RedisWithPassword : public Redis {
 protected:
  void SetUp() override {
    Redis::SetUp();
    if (!server_) return;
    server_->ask({"CONFIG", "SET", "requirepass", "s3cret word"});
    server_->password = "s3cret word";
  }
};

TEST_F(RedisWithPassword, TakesTheRightOneOnly) {
  EXPECT_EQ(problem(acquired()), "");
  for (const char* wrong : {"", "wr0ng word"}) {
    RedisOptions options{.address = server_->address(), .content_hash = test_hash};
    options.address.password = wrong;
    const Result<std::uint64_t> refused = RedisStore(options).acquire(first_owner);
    EXPECT_EQ(code_of(refused), ErrorCode::rejected);
    EXPECT_THAT(problem(refused), AllOf(HasSubstr("does not take"), Not(HasSubstr(" word"))));
  }
}

TEST(RedisErrors, AreTranslated) {
  const auto code = [](std::string_view text) { return redis_error("R", text).code; };
  EXPECT_EQ(code("OOM command not allowed when used memory > 'maxmemory'."), ErrorCode::full);
  EXPECT_EQ(code("MISCONF Errors writing to the AOF file: No space left on device"), ErrorCode::full);
  EXPECT_EQ(code("LOADING Redis is loading the dataset in memory"), ErrorCode::unreachable);
  EXPECT_EQ(code("READONLY You can't write against a read only replica."), ErrorCode::unreachable);
  EXPECT_EQ(code("NOPERM this user has no permissions"), ErrorCode::rejected);
  EXPECT_EQ(code("MOVED 1 127.0.0.1:7001"), ErrorCode::io);
  EXPECT_EQ(code("ERR something else"), ErrorCode::io);
}

}  // namespace
}  // namespace dc::store

// What only a server can do: die, freeze, fill up, forget, and have other users.
#include "store/redis_store.hpp"

#include <filesystem>
#include <random>

#include "store/faulty_stream_for_tests.hpp"
#include "store/redis_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using testing::Not;
using testing::UnorderedElementsAre;

using Redis = RedisFixture;

/// To log 1, which the store has written to before.
void append_and_lose_the_answer(RedisStore& store, Faults& faults, const Entry& appended) {
  faults.breaks = [](std::string_view step) { return step == "read"; };
  EXPECT_EQ(code_of(append(store, {{1, appended}})), ErrorCode::unreachable);
  faults.breaks = [](std::string_view) { return false; };
}

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
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("logs"), key("log:1")));
}

TEST_F(Redis, AnAppendWhoseAnswerWasLostStandsOnceWhenItIsTriedAgain) {
  Faults faults;
  RedisStore store(faulty_options(server_->address().unix_path, faults));
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  ASSERT_EQ(problem(append(store, {{1, entry("a")}})), "");
  append_and_lose_the_answer(store, faults, entry("b"));
  ASSERT_EQ(problem(append(store, {{1, entry("b")}})), "");
  EXPECT_EQ(read_all(store), (Logs{{1, {entry("a"), entry("b")}}}));
}

TEST_F(Redis, AnAppendWhoseAnswerWasLostIsNotRefusedForLackOfRoom) {
  Faults faults;
  RedisStore store(faulty_options(server_->address().unix_path, faults));
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  ASSERT_EQ(problem(append(store, {{1, entry("a")}})), "");
  append_and_lose_the_answer(store, faults, entry("stands"));
  server_->ask({"CONFIG", "SET", "maxmemory", "1"});
  const Result<void> unsure = append(store, {{1, entry("stands")}});
  EXPECT_EQ(code_of(unsure), ErrorCode::unreachable) << problem(unsure);
  EXPECT_THAT(problem(unsure), HasSubstr("maxmemory"));
  server_->ask({"CONFIG", "SET", "maxmemory", "0"});
  ASSERT_EQ(problem(append(store, {{1, entry("other")}})), "");
  EXPECT_EQ(read_all(store), (Logs{{1, {entry("a"), entry("other")}}}));
}

TEST_F(Redis, AnAppendThatArrivesLateDoesNothing) {
  Faults faults;
  RedisStore store(faulty_options(server_->address().unix_path, faults));
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  ASSERT_EQ(problem(append(store, {{1, entry("a")}})), "");
  faults.delays = [](std::string_view bytes) { return bytes.find("EXEC") != bytes.npos; };
  // To a log that nothing else is written to: there no later id would stand in its way.
  EXPECT_EQ(code_of(append(store, {{2, entry("late")}})), ErrorCode::unreachable);
  faults.delays = [](std::string_view) { return false; };
  ASSERT_EQ(problem(append(store, {{1, entry("b")}})), "");
  ASSERT_EQ(faults.late.size(), 1U);
  faults.late.front()();
  EXPECT_EQ(read_all(store), (Logs{{1, {entry("a"), entry("b")}}}));
  store.release();
  EXPECT_EQ(read_all(*open()), (Logs{{1, {entry("a"), entry("b")}}}));
}

/// Breaks the connection at random steps, and compares with what a store that keeps its promise would hold.
TEST_F(Redis, KeepsItsPromiseWhereverTheConnectionBreaks) {
  constexpr int steps = 1500;
  std::mt19937 random(20261125);
  const auto one_of = [&](unsigned n) { return random() % n; };
  Faults faults;
  auto store = std::make_unique<RedisStore>(faulty_options(server_->address().unix_path, faults));
  ASSERT_EQ(problem(store->acquire(first_owner)), "");
  Logs model;
  int failures = 0;
  for (int step = 0; step < steps; ++step) {
    faults.breaks = [&](std::string_view) { return one_of(12) == 0; };
    const LogId log = one_of(3);
    const auto made = [&] {
      std::vector<std::string> payloads;
      for (unsigned i = one_of(3); i > 0; --i) payloads.push_back(std::string(1, static_cast<char>('a' + one_of(4))));
      return entry(std::to_string(step), payloads);
    };
    Logs wanted = model;
    Result<void> result = boost::outcome_v2::success();
    if (one_of(4) > 0) {
      std::vector<Addressed> batch{{log, made()}, {one_of(3), made()}};
      for (const Addressed& addressed : batch) wanted[addressed.log].push_back(addressed.entry);
      result = store->append(batch);
    } else {
      const std::vector<Entry> entries(one_of(3), made());
      wanted.erase(log);
      if (!entries.empty()) wanted[log] = entries;
      result = store->replace(log, entries);
      if (!result) {  // it may have been carried out
        faults.breaks = [](std::string_view) { return false; };
        const std::vector<Entry> found = read_log(*store, log);
        if (found == entries) model = wanted;
      }
    }
    if (result) model = wanted;
    failures += result ? 0 : 1;
    if (step % 10 != 0) continue;
    faults.breaks = [](std::string_view) { return false; };
    ASSERT_EQ(read_all(*store), model) << "step " << step;
  }
  EXPECT_GT(failures, steps / 10);
  faults.breaks = [](std::string_view) { return false; };
  for (LogId log = 0; log < 3; ++log) ASSERT_EQ(problem(store->remove(log)), "");
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease")));
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
  EXPECT_THAT(problem(append(store, {{1, entry("b")}})), HasSubstr("to its disk in time"));
  server_->ask({"HSET", "waitaof", "a", "1"});
  ASSERT_EQ(problem(append(store, {{1, entry("c")}})), "");
  EXPECT_EQ(read_all(store), (Logs{{1, {entry("a"), entry("c")}}}));
}

TEST_F(Redis, ManySmallLogsTakeFewRoundTrips) {
  constexpr LogId logs = 100;
  int trips = 0;
  Faults faults;
  RedisStore store(faulty_options(server_->address().unix_path, faults));
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  Logs expected;
  std::vector<Addressed> batch;
  for (LogId log = 0; log < logs; ++log) {
    batch.push_back({log, entry(std::to_string(log))});
    expected[log].push_back(batch.back().entry);
  }
  ASSERT_EQ(problem(append(store, std::move(batch))), "");
  for (std::size_t i = 1; i < 2 * records_page; ++i) {  // more than a page
    expected[5].push_back(entry(std::to_string(i)));
    ASSERT_EQ(problem(append(store, {{5, expected[5].back()}})), "");
  }
  server_->ask({"SADD", key("logs"), "50000"});
  server_->ask({"SET", key("log:50000"), "a song"});
  EXPECT_EQ(code_of(store.replay(50000, [](Entry&&) {})), ErrorCode::protocol);
  faults.breaks = [&](std::string_view step) {
    trips += step == "write" ? 1 : 0;
    return false;
  };
  ASSERT_EQ(store.logs().value().size(), logs + 1);
  for (LogId log = 0; log < logs; ++log) EXPECT_EQ(read_log(store, log), expected[log]) << log;
  EXPECT_LT(trips, 60) << "also where another log cannot be read";
  trips = 0;
  server_->ask({"SREM", key("logs"), "50000"});
  EXPECT_EQ(read_all(store), expected);
  EXPECT_LT(trips, 15);
}

TEST_F(Redis, WhatWasReadAheadIsForgottenWhenItChanges) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}, {2, entry("b")}, {3, entry("c")}, {4, entry("d")}})), "");
  ASSERT_EQ(store->logs().value().size(), 4U);
  EXPECT_EQ(read_log(*store, 1), (std::vector<Entry>{entry("a")}));
  EXPECT_EQ(read_log(*store, 2), (std::vector<Entry>{entry("b")}));  // and 3 with it
  ASSERT_EQ(problem(append(*store, {{3, entry("more")}})), "");
  EXPECT_EQ(read_log(*store, 3), (std::vector<Entry>{entry("c"), entry("more")}));
  ASSERT_EQ(store->logs().value().size(), 4U);
  EXPECT_EQ(read_log(*store, 1).size(), 1U);
  EXPECT_EQ(read_log(*store, 2).size(), 1U);
  ASSERT_EQ(problem(replace(*store, 3, {entry("new")})), "");
  EXPECT_EQ(read_log(*store, 3), (std::vector<Entry>{entry("new")}));
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
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("logs"), key("log:1")));
}

TEST_F(Redis, ContentsGoWithTheirLastEntry) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a", {"one", "two"})}, {2, entry("b", {"two", "two"})}})), "");
  EXPECT_EQ(server_->ask({"HLEN", key("contents")}).integer(), 2);
  ASSERT_EQ(problem(replace(*store, 1, {entry("a")})), "");
  EXPECT_EQ(server_->ask({"HLEN", key("contents")}).integer(), 1);
  ASSERT_EQ(problem(store->remove(2)), "");
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("logs"), key("log:1")));
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
  server_->ask({"XTRIM", key("log:1"), "MAXLEN", "1"});
  EXPECT_THAT(why_not_replayed(1), AllOf(HasSubstr("redis.sock"), HasSubstr("an entry is missing")));
  server_->ask({"DEL", key("content:" + test_hash(text("one").bytes()))});
  EXPECT_THAT(why_not_replayed(2), HasSubstr("a payload is missing"));
  server_->ask({"RPUSH", key("content:" + test_hash(text("two").bytes())), "more"});
  EXPECT_THAT(why_not_replayed(3), HasSubstr("a payload is missing or damaged"));
  server_->ask({"XADD", key("log:4"), "1-1", "n", "0", "k", "1", "c", "0123456789abcdef", "d", "x"});
  EXPECT_THAT(why_not_replayed(4), HasSubstr("an entry is damaged"));
}

TEST_F(Redis, AnotherVersionIsLeftAlone) {
  server_->ask({"SET", key("format"), "99"});
  EXPECT_EQ(code_of(acquired()), ErrorCode::protocol);
  EXPECT_THAT(problem(acquired()), AllOf(HasSubstr("version 99"), HasSubstr("knows version 2")));
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format")));
}

TEST_F(Redis, KeysOfAnotherProgramAreSaid) {
  server_->ask({"SET", key("log:1"), "a song"});
  EXPECT_THAT(problem(append(*open(), {{1, entry("a")}})), HasSubstr("another program"));
}

TEST_F(Redis, WhatIsNoIdAmongTheLogsIsLeftAlone) {
  ASSERT_EQ(problem(append(*open(), {{7, entry("a")}})), "");
  server_->ask({"SADD", key("logs"), "song", "", "-1", "007", "18446744073709551616", "7 "});
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

// Logs that heads of formats 1 and 2 left in streams.
#include "store/checksum.hpp"
#include "store/faulty_stream_for_tests.hpp"
#include "store/redis_fixture_for_tests.hpp"
#include "store/redis_store.hpp"

namespace dc::store {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

std::string four_bytes(std::size_t number) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(number >> (8 * i)));
  return bytes;
}

class RedisConversion : public RedisFixture {
 protected:
  /// What an earlier head did to append these as one record.
  void append_as_of_old(LogId log, std::uint64_t first, const std::vector<Entry>& entries) {
    std::string data;
    for (const Entry& entry : entries) {
      data += four_bytes(entry.bytes.size()) + four_bytes(entry.attachments.size()) + entry.bytes;
      for (const Payload& attachment : entry.attachments) {
        const std::string hash = test_hash(attachment.bytes());
        data += hash;
        server_->ask({"HINCRBY", stream(log) + ":contents", hash, "1"});
        if (server_->ask({"HINCRBY", key("contents"), hash, "1"}).integer() > 1) continue;
        server_->ask({"RPUSH", key("content:" + hash), std::string(attachment.view())});
        server_->ask({"HSET", key("sizes"), hash, std::to_string(attachment.size())});
      }
    }
    const std::string count = std::to_string(entries.size());
    const std::string sum = fmt::format("{:016x}", checksum(data) ^ checksum(fmt::format("{} {}", first, count)));
    server_->ask({"XADD", stream(log), fmt::format("7340032-{}", ++counter_), "n", std::to_string(first), "k", count,
                  "c", sum, "d", data});
    server_->ask({"SADD", key("logs"), std::to_string(log)});
  }
  void left_by_format(const std::string& format) {
    server_->ask({"SET", key("format"), format});
    server_->ask({"SET", key("term"), "7340032"});
    server_->ask({"SET", key("lease"), ""});
  }
  static std::string stream(LogId log) { return key("log:" + std::to_string(log)); }
  /// Two logs, one of many records.
  Logs leave_logs() {
    left_by_format("2");
    Logs all{{7, {}}, {UINT64_MAX, {entry("one", {"shared", "own"})}}};
    append_as_of_old(UINT64_MAX, 0, all[UINT64_MAX]);
    for (std::uint64_t first = 0; first < 80; first += 2) {
      const std::vector<Entry> two{entry(std::to_string(first), {"shared"}), entry(std::to_string(first + 1))};
      append_as_of_old(7, first, two);
      all[7].insert(all[7].end(), two.begin(), two.end());
    }
    return all;
  }
  /// Entries and errors, in the order in which they come.
  static std::vector<std::string> told(Store& store, LogId log) {
    Position position;
    std::vector<std::string> found;
    for (bool more = true; more && found.size() < 20;) {
      const Result<bool> went = store.read(log, position, Attachments::refer, [&](EntryNumber number, Entry&& entry) {
        found.push_back(fmt::format("{} {}", number, entry.bytes));
      });
      if (!went) found.push_back(went.error().code == ErrorCode::protocol ? "damage" : problem(went));
      more = !went || went.value();
    }
    return found;
  }

  int counter_ = 0;
};

TEST_F(RedisConversion, ReadsWhatStoodAndGoesOn) {
  const Logs all = leave_logs();
  {
    const auto store = open();
    EXPECT_EQ(server_->ask({"GET", key("format")}).text(), "3") << "which an earlier head refuses";
    EXPECT_EQ(read_all(*store), all);
    const auto numbered = read_numbered(*store, 7);
    EXPECT_EQ(numbered.begin()->first, 1U);
    EXPECT_EQ(numbered.rbegin()->first, 80U);
  }
  EXPECT_THAT(keys(), Not(testing::Contains(testing::AnyOf(key("logs"), stream(7), stream(7) + ":contents",
                                                           stream(UINT64_MAX), key("uploads")))));
  const auto store = open();
  EXPECT_EQ(read_all(*store), all);
  ASSERT_EQ(problem(write(*store, {put(7, 81, entry("next", {"own"})), erase(7, 1)})), "");
  const std::string counted = test_hash(text("shared").bytes());
  EXPECT_EQ(server_->ask({"HGET", key("contents"), counted}).integer(), 40);
  ASSERT_EQ(problem(store->remove(7)), "");
  EXPECT_EQ(read_all(*store), (Logs{{UINT64_MAX, all.at(UINT64_MAX)}}));
  ASSERT_EQ(problem(write(*store, {erase(UINT64_MAX, 1)})), "");
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("last")));
}

TEST_F(RedisConversion, AlsoOfFormat1WhichDidNotNoteSizes) {
  left_by_format("1");
  append_as_of_old(7, 0, {entry("a", {"payload"})});
  server_->ask({"DEL", key("sizes")});
  const auto store = open();
  EXPECT_EQ(read_all(*store), (Logs{{7, {entry("a", {"payload"})}}}));
  EXPECT_THAT(told(*store, 7), ElementsAre("1 a"));
}

TEST_F(RedisConversion, IsGoneOnWithWhereverAHeadEnded) {
  constexpr int steps_max = 1000;
  int steps = 0;
  for (bool broke = true; broke && steps < steps_max; ++steps) {
    SCOPED_TRACE(steps);
    server_->ask({"FLUSHALL"});
    const Logs all = leave_logs();
    Faults faults;
    RedisStore store(faulty_options(server_->address().unix_path, faults));
    int left = steps;
    broke = false;
    faults.breaks = [&](std::string_view) {
      if (left-- != 0) return false;
      return broke = true;
    };
    if (!store.acquire(first_owner)) {
      ASSERT_TRUE(broke);
      ASSERT_EQ(problem(store.acquire(first_owner)), "");
    }
    faults.breaks = [](std::string_view) { return false; };
    ASSERT_EQ(read_all(store), all);
    for (const LogId log : {LogId{7}, LogId{UINT64_MAX}}) ASSERT_EQ(problem(store.remove(log)), "");
    store.release();
    open();  // collects what was left of uploads
    ASSERT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("last")));
  }
  EXPECT_GT(steps, 20);
  EXPECT_LT(steps, steps_max);
}

TEST_F(RedisConversion, WhatIsDamagedStaysDamage) {
  left_by_format("2");
  for (const LogId log : {1, 2}) {
    append_as_of_old(log, 0, {entry("a"), entry("b", {"kept"})});
    append_as_of_old(log, 2, {entry("c", {"lost"}), entry("d")});
    append_as_of_old(log, 4, {entry("e", {"kept"})});
  }
  const RedisReply records = server_->ask({"XRANGE", stream(1), "-", "+"});
  ASSERT_EQ(records.size(), 3U);
  server_->ask({"XDEL", stream(1), std::string(records[1][0].text())});
  const RedisReply others = server_->ask({"XRANGE", stream(2), "-", "+"});
  server_->ask({"DEL", stream(2)});
  for (std::size_t i = 0; i < 3; ++i) {
    RedisCommand add{"XADD", stream(2), std::string(others[i][0].text())};
    for (std::size_t j = 0; j < 8; ++j) add.emplace_back(others[i][1][j].text());
    if (i == 1) add.back() += "x";
    server_->ask(add);
  }
  // Another program's key, and a log of which nothing is left.
  server_->ask({"SET", stream(3), "a song"});
  server_->ask({"SADD", key("logs"), "3", "4", "song"});
  append_as_of_old(5, 0, {entry("sound")});
  const auto store = open();
  EXPECT_EQ(store->logs().value(), (std::vector<LogId>{1, 2, 3, 4, 5}));
  for (const LogId log : {1, 2}) EXPECT_THAT(told(*store, log), ElementsAre("1 a", "2 b", "damage", "5 e")) << log;
  for (const LogId log : {3, 4}) EXPECT_THAT(told(*store, log), ElementsAre("damage")) << log;
  EXPECT_THAT(told(*store, 5), ElementsAre("1 sound"));
  EXPECT_EQ(server_->ask({"GET", stream(3)}).text(), "a song");
  // What the lost entries referred to goes with the logs: with one that is replaced, and one that loses its last entry.
  ASSERT_EQ(problem(replace(*store, 1, {entry("cut")})), "");
  ASSERT_EQ(problem(write(*store, {erase(2, 1), erase(2, 2), erase(2, 3), erase(2, 5)})), "");
  for (const LogId log : {1, 3, 4, 5}) ASSERT_EQ(problem(store->remove(log)), "");
  EXPECT_THAT(keys(),
              UnorderedElementsAre(key("format"), key("term"), key("lease"), key("last"), key("logs"), stream(3)));
}

}  // namespace
}  // namespace dc::store

// The contract of store.hpp as tests; each implementation instantiates them with a World of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/limits.hpp"
#include "store/store_fixture_for_tests.hpp"

namespace dc::store {

/// One place where entries are kept, and the stores that reach it.
class World {
 public:
  virtual ~World() = default;
  /// Another store on the same place.
  virtual std::unique_ptr<Store> open() = 0;
  /// Why this cannot be tested here; empty when it can.
  [[nodiscard]] virtual std::string missing() const { return ""; }
};

using MakeWorld = std::function<std::unique_ptr<World>()>;

class StoreConformance : public testing::TestWithParam<MakeWorld> {
 protected:
  void SetUp() override {
    world_ = GetParam()();
    if (!world_->missing().empty()) GTEST_SKIP() << world_->missing();
    store_ = world_->open();
    ASSERT_EQ(problem(store_->acquire(first_owner)), "");
  }

  /// As the next head would find it.
  void reopen() {
    store_.reset();
    store_ = world_->open();
    ASSERT_EQ(problem(store_->acquire(first_owner)), "");
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<Store> store_;
};

TEST_P(StoreConformance, GivesBackWhatWasAppendedInItsOrder) {
  EXPECT_EQ(read_all(*store_), Logs{});
  ASSERT_EQ(problem(append(*store_, {{7, entry("a")}, {9, entry("b")}, {7, entry("c")}})), "");
  ASSERT_EQ(problem(append(*store_, {{7, entry("")}, {1, entry("d")}})), "");
  const Logs expected{{1, {entry("d")}}, {7, {entry("a"), entry("c"), entry("")}}, {9, {entry("b")}}};
  EXPECT_EQ(read_all(*store_), expected);
  reopen();
  EXPECT_EQ(read_all(*store_), expected);
  ASSERT_EQ(problem(append(*store_, {{9, entry("e")}})), "");
  EXPECT_EQ(read_log(*store_, 9), (std::vector<Entry>{entry("b"), entry("e")}));
}

TEST_P(StoreConformance, KeepsBytesOfEveryKind) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  const std::vector<Entry> entries{entry(all), entry(std::string(3, '\0'), {all, "", "\r\n$-1\r\n"}),
                                   entry(std::string(300'000, 'x'))};
  ASSERT_EQ(problem(append(*store_, {{UINT64_MAX, entries[0]}, {UINT64_MAX, entries[1]}, {0, entries[2]}})), "");
  reopen();
  EXPECT_EQ(store_->logs().value(), (std::vector<LogId>{0, UINT64_MAX}));
  EXPECT_EQ(read_all(*store_), (Logs{{0, {entries[2]}}, {UINT64_MAX, {entries[0], entries[1]}}}));
}

TEST_P(StoreConformance, AnEmptyBatchChangesNothing) {
  EXPECT_EQ(problem(append(*store_, {})), "");
  EXPECT_EQ(read_all(*store_), Logs{});
}

TEST_P(StoreConformance, ALogThatDoesNotExistIsEmpty) {
  EXPECT_EQ(read_log(*store_, 5), std::vector<Entry>{});
  EXPECT_EQ(problem(store_->remove(5)), "");
}

TEST_P(StoreConformance, ReplacesAWholeLog) {
  ASSERT_EQ(problem(append(*store_, {{1, entry("a", {"kept"})}, {1, entry("b", {"gone"})}, {2, entry("c")}})), "");
  ASSERT_EQ(problem(replace(*store_, 1, {entry("a", {"kept"}), entry("new", {"kept", "other"})})), "");
  ASSERT_EQ(problem(append(*store_, {{1, entry("d")}})), "");
  const Logs expected{{1, {entry("a", {"kept"}), entry("new", {"kept", "other"}), entry("d")}}, {2, {entry("c")}}};
  EXPECT_EQ(read_all(*store_), expected);
  reopen();
  EXPECT_EQ(read_all(*store_), expected);
  ASSERT_EQ(problem(replace(*store_, 2, {})), "");
  EXPECT_EQ(store_->logs().value(), std::vector<LogId>{1});
}

TEST_P(StoreConformance, RemovesALogAndNoOther) {
  ASSERT_EQ(problem(append(*store_, {{1, entry("a", {"shared"})}, {2, entry("b", {"shared"})}})), "");
  ASSERT_EQ(problem(store_->remove(1)), "");
  EXPECT_EQ(read_all(*store_), (Logs{{2, {entry("b", {"shared"})}}}));
  ASSERT_EQ(problem(append(*store_, {{1, entry("again", {"shared"})}})), "");
  reopen();
  EXPECT_EQ(read_all(*store_), (Logs{{1, {entry("again", {"shared"})}}, {2, {entry("b", {"shared"})}}}));
}

TEST_P(StoreConformance, KeepsLargeAttachments) {
  std::string large(2 * limits::store_part_bytes + 17, 'l');
  for (std::size_t i = 0; i < large.size(); i += 1013) large[i] = static_cast<char>(i);
  ASSERT_EQ(problem(append(*store_, {{3, entry("a", {large, "small", large})}})), "");
  reopen();
  const std::vector<Entry> read = read_log(*store_, 3);
  ASSERT_EQ(read.size(), 1U);
  ASSERT_EQ(read[0].attachments.size(), 3U);
  EXPECT_TRUE(read[0].attachments[0].view() == large && read[0].attachments[2].view() == large);
  EXPECT_EQ(read[0].attachments[1].view(), "small");
}

TEST_P(StoreConformance, ASecondHeadIsToldWhoHasTheStore) {
  const std::unique_ptr<Store> second = world_->open();
  const Result<std::uint64_t> refused = second->acquire(second_owner);
  EXPECT_EQ(code_of(refused), ErrorCode::fenced);
  EXPECT_THAT(problem(refused), testing::HasSubstr(fmt::format("process id {} on north", ::getpid())));
  EXPECT_EQ(problem(store_->check_hold()), "");
  ASSERT_EQ(problem(append(*store_, {{1, entry("a")}})), "");
  EXPECT_EQ(code_of(append(*second, {{1, entry("b")}})), ErrorCode::fenced);
  EXPECT_EQ(code_of(second->logs()), ErrorCode::fenced);
  store_->release();
  EXPECT_EQ(problem(second->acquire(second_owner)), "");
  EXPECT_EQ(read_all(*second), (Logs{{1, {entry("a")}}}));
  // And the first cannot write any more.
  EXPECT_EQ(code_of(append(*store_, {{1, entry("late")}})), ErrorCode::fenced);
  EXPECT_EQ(code_of(store_->check_hold()), ErrorCode::fenced);
  EXPECT_EQ(read_all(*second), (Logs{{1, {entry("a")}}}));
}

TEST_P(StoreConformance, EveryTermIsLargerThanThoseBefore) {
  std::uint64_t last = 0;
  for (int i = 0; i < 3; ++i) {
    store_.reset();
    store_ = world_->open();
    const Result<std::uint64_t> term = store_->acquire(i % 2 == 0 ? second_owner : first_owner);
    ASSERT_EQ(problem(term), "");
    EXPECT_GT(term.value(), last);
    last = term.value();
  }
}

TEST_P(StoreConformance, ManySmallEntriesInOrder) {
  constexpr int batches = 20;
  constexpr int size = 1000;
  int number = 0;
  for (int i = 0; i < batches; ++i) {
    std::vector<Addressed> batch;
    for (int j = 0; j < size; ++j, ++number) batch.push_back({LogId(number % 2), entry(std::to_string(number))});
    ASSERT_EQ(problem(append(*store_, std::move(batch))), "");
  }
  reopen();
  for (int log = 0; log < 2; ++log) {
    int expected = log;
    ASSERT_EQ(problem(store_->replay(log,
                                     [&](Entry&& entry) {
                                       EXPECT_EQ(entry.bytes, std::to_string(expected));
                                       expected += 2;
                                     })),
              "");
    EXPECT_EQ(expected, batches * size + log);
  }
}

TEST_P(StoreConformance, IsReadInPiecesWhileItIsWrittenTo) {
  std::vector<Addressed> batch;
  for (int i = 0; i < 3000; ++i) batch.push_back({1, entry(std::to_string(i))});
  ASSERT_EQ(problem(append(*store_, batch)), "");
  Position position;
  std::vector<std::string> read;
  const auto each = [&](Entry&& entry) { read.push_back(entry.bytes); };
  ASSERT_EQ(problem(store_->read(1, position, Attachments::load, each)), "");
  ASSERT_EQ(problem(append(*store_, {{1, entry("last")}, {2, entry("other")}})), "");
  for (bool more = true; more;) {
    const Result<bool> went = store_->read(1, position, Attachments::load, each);
    ASSERT_EQ(problem(went), "");
    more = went.value();
  }
  ASSERT_EQ(read.size(), 3001U);
  EXPECT_EQ(position.entries, 3001U);
  EXPECT_EQ(read[2999], "2999");
  EXPECT_EQ(read[3000], "last");
}

TEST_P(StoreConformance, IsWrittenAnewWithoutItsContents) {
  const std::string large(limits::inline_payload_max + 10, 'l');
  ASSERT_EQ(problem(append(*store_, {{1, entry("a", {large + "1"})}, {1, entry("b", {large + "2", large + "3"})}})),
            "");
  ASSERT_EQ(problem(append(*store_, {{2, entry("c", {large + "2"})}})), "");
  std::vector<Entry> entries;
  Position position;
  while (store_->read(1, position, Attachments::refer, [&](Entry&& entry) { entries.push_back(std::move(entry)); })
             .value()) {
  }
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_GT(entries[1].attachments[1].size(), limits::inline_payload_max);
  entries.erase(entries.begin());
  entries.push_back(entry("new", {large + "4"}));
  ASSERT_EQ(problem(replace(*store_, 1, entries)), "");
  reopen();
  EXPECT_EQ(read_all(*store_), (Logs{{1, {entry("b", {large + "2", large + "3"}), entry("new", {large + "4"})}},
                                     {2, {entry("c", {large + "2"})}}}));
}

TEST_P(StoreConformance, StandsForPayloadsAndLoadsThem) {
  const std::string large(2 * limits::store_part_bytes + 17, 'l');
  std::vector<Addressed> batch{{1, entry("a", {large, "small"})}, {2, entry("b")}, {1, entry("c", {"other", large})}};
  ASSERT_EQ(problem(store_->append(batch)), "");
  const auto loads = [&](const std::vector<Payload>& stand_ins, const std::vector<std::string>& contents) {
    ASSERT_EQ(stand_ins.size(), contents.size());
    for (std::size_t i = 0; i < contents.size(); ++i) {
      EXPECT_EQ(stand_ins[i].size(), contents[i].size());
      const Result<Payload> loaded = store_->load(stand_ins[i]);
      ASSERT_EQ(problem(loaded), "");
      EXPECT_TRUE(loaded.value().view() == contents[i]);
    }
  };
  loads(batch[0].entry.attachments, {large, "small"});
  loads(batch[2].entry.attachments, {"other", large});
  const std::vector<Payload>& stored = batch[0].entry.attachments;
  loads({stored[0].slice(5, 20), stored[1].slice(1, 3), stored[1].slice(4, 1), stored[1].slice(5, 0)},
        {large.substr(5, 20), "mal", "l", ""});
  reopen();
  std::vector<Entry> read;
  ASSERT_EQ(problem(store_->replay(
                1, [&](Entry&& entry) { read.push_back(std::move(entry)); }, Attachments::refer)),
            "");
  ASSERT_EQ(read.size(), 2U);
  loads(read[0].attachments, {large, "small"});
  loads(read[1].attachments, {"other", large});
  EXPECT_TRUE(store_->load(text("its own")).value().view() == "its own");
  // They are taken again, and last as long as an entry refers to them.
  ASSERT_EQ(problem(append(*store_, {{3, Entry{"again", {read[0].attachments[0]}}}})), "");
  ASSERT_EQ(problem(store_->remove(1)), "");
  EXPECT_TRUE(read_log(*store_, 3)[0].attachments[0].view() == large);
  if (!read[0].attachments[1].is_elsewhere()) return;
  reopen();  // what was loaded last may still be known
  EXPECT_EQ(code_of(store_->load(read[0].attachments[1])), ErrorCode::protocol);
}

TEST_P(StoreConformance, NamesItself) { EXPECT_NE(store_->description(), ""); }

}  // namespace dc::store

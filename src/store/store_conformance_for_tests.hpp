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

using Numbered = std::map<EntryNumber, Entry>;

constexpr EntryNumber highest_number = (EntryNumber{1} << 63) - 1;

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

TEST_P(StoreConformance, GivesBackWhatWasPutInTheOrderOfItsNumbers) {
  EXPECT_EQ(read_all(*store_), Logs{});
  ASSERT_EQ(problem(write(*store_, {put(7, 20, entry("b")), put(9, 3, entry("d")), put(7, 1000, entry("c"))})), "");
  ASSERT_EQ(
      problem(write(*store_, {put(7, 3, entry("a")), put(1, highest_number, entry("e")), put(7, 999, entry(""))})), "");
  const Logs expected{{1, {entry("e")}}, {7, {entry("a"), entry("b"), entry(""), entry("c")}}, {9, {entry("d")}}};
  EXPECT_EQ(read_all(*store_), expected);
  reopen();
  EXPECT_EQ(read_all(*store_), expected);
  ASSERT_EQ(problem(write(*store_, {put(9, 1, entry("first")), put(1, 1, entry("first"))})), "");
  EXPECT_EQ(read_numbered(*store_, 9), (Numbered{{1, entry("first")}, {3, entry("d")}}));
  EXPECT_EQ(read_numbered(*store_, 1), (Numbered{{1, entry("first")}, {highest_number, entry("e")}}));
}

TEST_P(StoreConformance, WhatIsPutAgainTakesThePlaceOfWhatStood) {
  ASSERT_EQ(problem(write(*store_, {put(1, 1, entry("a", {"one"})), put(1, 2, entry("b", {"one", "two"}))})), "");
  ASSERT_EQ(problem(write(*store_, {put(1, 2, entry("shorter", {"two"})), put(1, 1, entry("a"))})), "");
  const Numbered expected{{1, entry("a")}, {2, entry("shorter", {"two"})}};
  EXPECT_EQ(read_numbered(*store_, 1), expected);
  reopen();
  EXPECT_EQ(read_numbered(*store_, 1), expected);
  ASSERT_EQ(problem(write(*store_, {put(1, 1, entry("longer", {"two", "three", "four"}))})), "");
  EXPECT_EQ(read_numbered(*store_, 1),
            (Numbered{{1, entry("longer", {"two", "three", "four"})}, {2, entry("shorter", {"two"})}}));
}

TEST_P(StoreConformance, ErasesAndRepeatsHarmlessly) {
  const std::vector<Change> changes{put(1, 1, entry("a", {"payload"})), put(1, 2, entry("b", {"payload"})),
                                    put(2, 5, entry("c")), erase(2, 4), erase(3, 1)};
  for (int i = 0; i < 3; ++i) ASSERT_EQ(problem(write(*store_, changes)), "");
  EXPECT_EQ(read_all(*store_), (Logs{{1, {entry("a", {"payload"}), entry("b", {"payload"})}}, {2, {entry("c")}}}));
  for (int i = 0; i < 3; ++i) ASSERT_EQ(problem(write(*store_, {erase(1, 1), put(2, 6, entry("d"))})), "");
  const Logs expected{{1, {entry("b", {"payload"})}}, {2, {entry("c"), entry("d")}}};
  EXPECT_EQ(read_all(*store_), expected);
  tidy(*store_);
  reopen();
  EXPECT_EQ(read_all(*store_), expected);
}

TEST_P(StoreConformance, TheLastOfSeveralChangesOfANumberCounts) {
  ASSERT_EQ(problem(write(*store_, {put(1, 1, entry("a", {"gone"})), put(1, 1, entry("b", {"kept"})),
                                    put(1, 2, entry("c", {"gone"})), erase(1, 2), put(2, 1, entry("d")), erase(2, 1),
                                    erase(3, 1), put(3, 1, entry("e"))})),
            "");
  const Logs expected{{1, {entry("b", {"kept"})}}, {3, {entry("e")}}};
  EXPECT_EQ(read_all(*store_), expected);
  tidy(*store_);
  reopen();
  EXPECT_EQ(read_all(*store_), expected);
}

TEST_P(StoreConformance, ALogIsNoMoreWithoutItsLastEntry) {
  ASSERT_EQ(problem(write(*store_, {put(1, 1, entry("a", {"payload"})), put(1, 2, entry("b")), put(2, 1, entry("c"))})),
            "");
  ASSERT_EQ(problem(write(*store_, {erase(1, 2)})), "");
  EXPECT_EQ(store_->logs().value(), (std::vector<LogId>{1, 2}));
  EXPECT_EQ(store_->sizes().at(1), 1U);
  ASSERT_EQ(problem(write(*store_, {erase(1, 1), erase(1, 2)})), "");
  EXPECT_EQ(store_->logs().value(), std::vector<LogId>{2});
  EXPECT_EQ(read_log(*store_, 1), std::vector<Entry>{});
  reopen();
  EXPECT_EQ(store_->logs().value(), std::vector<LogId>{2});
  // In its next life numbers begin anew.
  ASSERT_EQ(problem(write(*store_, {put(1, 2, entry("again", {"payload"}))})), "");
  EXPECT_EQ(read_numbered(*store_, 1), (Numbered{{2, entry("again", {"payload"})}}));
}

TEST_P(StoreConformance, ContentsLastAsLongAsAnEntryRefersToThem) {
  const std::string large(limits::inline_payload_max + 10, 'l');
  std::vector<Change> changes{put(1, 1, entry("a", {large, "other"})), put(2, 1, entry("b", {large}))};
  ASSERT_EQ(problem(store_->write(changes)), "");
  const Payload stand_in = changes[0].entry->attachments[0];
  ASSERT_EQ(problem(write(*store_, {erase(1, 1)})), "");
  tidy(*store_);
  EXPECT_TRUE(store_->load(stand_in).value().view() == large);
  // Another entry refers to it in the same step in which the last one goes.
  ASSERT_EQ(problem(write(*store_, {erase(2, 1), put(2, 2, Entry{"c", {stand_in}})})), "");
  tidy(*store_);
  EXPECT_EQ(read_all(*store_), (Logs{{2, {entry("c", {large})}}}));
  ASSERT_EQ(problem(write(*store_, {erase(2, 2)})), "");
  ASSERT_EQ(problem(write(*store_, {put(3, 1, entry("d", {large}))})), "");
  tidy(*store_);
  EXPECT_EQ(read_all(*store_), (Logs{{3, {entry("d", {large})}}}));
  ASSERT_EQ(problem(write(*store_, {erase(3, 1)})), "");
  tidy(*store_);
  if (!stand_in.is_elsewhere()) return;
  EXPECT_EQ(code_of(store_->load(stand_in)), ErrorCode::protocol);
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
  EXPECT_EQ(problem(write(*store_, {})), "");
  EXPECT_EQ(read_all(*store_), Logs{});
}

TEST_P(StoreConformance, ALogThatDoesNotExistIsEmpty) {
  EXPECT_EQ(read_log(*store_, 5), std::vector<Entry>{});
  EXPECT_EQ(problem(store_->remove(5)), "");
}

TEST_P(StoreConformance, ReplacesAWholeLog) {
  ASSERT_EQ(problem(append(*store_, {{1, entry("a", {"kept"})}, {1, entry("b", {"gone"})}, {2, entry("c")}})), "");
  ASSERT_EQ(problem(replace(*store_, 1, {entry("a", {"kept"}), entry("new", {"kept", "other"})})), "");
  EXPECT_EQ(read_numbered(*store_, 1), (Numbered{{1, entry("a", {"kept"})}, {2, entry("new", {"kept", "other"})}}));
  ASSERT_EQ(problem(write(*store_, {put(1, 3, entry("d"))})), "");
  tidy(*store_);
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
  tidy(*store_);
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
                                     [&](EntryNumber, Entry&& entry) {
                                       EXPECT_EQ(entry.bytes, std::to_string(expected));
                                       expected += 2;
                                     })),
              "");
    EXPECT_EQ(expected, batches * size + log);
  }
}

TEST_P(StoreConformance, IsReadInPiecesWhileItIsWrittenTo) {
  std::vector<Change> changes;
  for (int i = 0; i < 9000; ++i) changes.push_back(put(1, 2 * i + 2, entry(std::to_string(i))));
  ASSERT_EQ(problem(write(*store_, changes)), "");
  Position position;
  Numbered read;
  const auto each = [&](EntryNumber number, Entry&& entry) {
    EXPECT_TRUE(read.emplace(number, std::move(entry)).second) << number;
  };
  ASSERT_EQ(problem(store_->read(1, position, Attachments::load, each)), "");
  ASSERT_FALSE(read.empty());
  const EntryNumber came_to = read.rbegin()->first;
  EXPECT_EQ(position.behind, came_to);
  ASSERT_LT(came_to, 18000U) << "it must be more than a piece";
  // Behind what was read, and before it.
  ASSERT_EQ(
      problem(write(*store_, {put(1, 20000, entry("last")), put(1, 17999, entry("new")), erase(1, 17998), erase(1, 2),
                              put(1, 4, entry("anew")), put(1, 3, entry("before")), put(2, 1, entry("other"))})),
      "");
  for (bool more = true; more;) {
    const Result<bool> went = store_->read(1, position, Attachments::load, each);
    ASSERT_EQ(problem(went), "");
    more = went.value();
  }
  EXPECT_EQ(read.size(), 9001U);
  EXPECT_EQ(position.behind, 20000U);
  EXPECT_EQ(read[4], entry("1")) << "as it was when it was read";
  EXPECT_FALSE(read.contains(3));
  EXPECT_FALSE(read.contains(17998));
  EXPECT_EQ(read[17999], entry("new"));
  EXPECT_EQ(read[20000], entry("last"));
}

TEST_P(StoreConformance, IsWrittenAnewWithoutItsContents) {
  const std::string large(limits::inline_payload_max + 10, 'l');
  ASSERT_EQ(problem(append(*store_, {{1, entry("a", {large + "1"})}, {1, entry("b", {large + "2", large + "3"})}})),
            "");
  ASSERT_EQ(problem(append(*store_, {{2, entry("c", {large + "2"})}})), "");
  std::vector<Entry> entries;
  Position position;
  const auto each = [&](EntryNumber, Entry&& entry) { entries.push_back(std::move(entry)); };
  while (store_->read(1, position, Attachments::refer, each).value()) {
  }
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_GT(entries[1].attachments[1].size(), limits::inline_payload_max);
  entries.erase(entries.begin());
  entries.push_back(entry("new", {large + "4"}));
  ASSERT_EQ(problem(replace(*store_, 1, entries)), "");
  tidy(*store_);
  reopen();
  EXPECT_EQ(read_all(*store_), (Logs{{1, {entry("b", {large + "2", large + "3"}), entry("new", {large + "4"})}},
                                     {2, {entry("c", {large + "2"})}}}));
}

TEST_P(StoreConformance, StandsForPayloadsAndLoadsThem) {
  const std::string large(2 * limits::store_part_bytes + 17, 'l');
  std::vector<Change> changes{put(1, 1, entry("a", {large, "small"})), put(2, 1, entry("b")), erase(2, 1),
                              put(1, 2, entry("c", {"other", large}))};
  ASSERT_EQ(problem(store_->write(changes)), "");
  const auto loads = [&](const std::vector<Payload>& stand_ins, const std::vector<std::string>& contents) {
    ASSERT_EQ(stand_ins.size(), contents.size());
    for (std::size_t i = 0; i < contents.size(); ++i) {
      EXPECT_EQ(stand_ins[i].size(), contents[i].size());
      const Result<Payload> loaded = store_->load(stand_ins[i]);
      ASSERT_EQ(problem(loaded), "");
      EXPECT_TRUE(loaded.value().view() == contents[i]);
    }
  };
  loads(changes[0].entry->attachments, {large, "small"});
  loads(changes[3].entry->attachments, {"other", large});
  const std::vector<Payload>& stored = changes[0].entry->attachments;
  loads({stored[0].slice(5, 20), stored[1].slice(1, 3), stored[1].slice(4, 1), stored[1].slice(5, 0)},
        {large.substr(5, 20), "mal", "l", ""});
  reopen();
  std::vector<Entry> read;
  ASSERT_EQ(problem(store_->replay(
                1, [&](EntryNumber, Entry&& entry) { read.push_back(std::move(entry)); }, Attachments::refer)),
            "");
  ASSERT_EQ(read.size(), 2U);
  loads(read[0].attachments, {large, "small"});
  loads(read[1].attachments, {"other", large});
  EXPECT_TRUE(store_->load(text("its own")).value().view() == "its own");
  // They are taken again, and last as long as an entry refers to them.
  ASSERT_EQ(problem(append(*store_, {{3, Entry{"again", {read[0].attachments[0]}}}})), "");
  ASSERT_EQ(problem(store_->remove(1)), "");
  tidy(*store_);
  EXPECT_TRUE(read_log(*store_, 3)[0].attachments[0].view() == large);
  if (!read[0].attachments[1].is_elsewhere()) return;
  reopen();  // what was loaded last may still be known
  EXPECT_EQ(code_of(store_->load(read[0].attachments[1])), ErrorCode::protocol);
}

TEST_P(StoreConformance, NamesItself) { EXPECT_NE(store_->description(), ""); }

}  // namespace dc::store

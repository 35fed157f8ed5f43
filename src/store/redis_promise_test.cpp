// What stands in a Redis when connections break and answers are lost, wherever that happens.
#include <array>
#include <random>

#include "store/faulty_redis_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::UnorderedElementsAre;

/// The changes are carried out.
void write_and_lose_the_answer(RedisStore& store, Faults& faults, const std::vector<Change>& changes) {
  bool sent = false;
  faults.change_written = [&](std::string& text) {
    sent = sent || text.find("HSET") != text.npos || text.find("HDEL") != text.npos;
  };
  faults.breaks = [&](std::string_view step) { return sent && step == "read"; };
  EXPECT_EQ(code_of(write(store, changes)), ErrorCode::unreachable);
  EXPECT_TRUE(sent);
  faults.change_written = [](std::string&) {};
  faults.breaks = [](std::string_view) { return false; };
}

/// A store whose first entry is in log 1, over connections that fail.
class RedisOverFaults : public FaultyRedisFixture {
 protected:
  void SetUp() override {
    FaultyRedisFixture::SetUp();
    if (!store_) return;
    ASSERT_EQ(problem(write(*store_, {put(1, 1, entry("a", {"shared"}))})), "");
  }
  std::int64_t references(const std::string& content) {
    return server_->ask({"HGET", key("contents"), test_hash(text(content).bytes())}).integer();
  }
};

TEST_F(RedisOverFaults, AWriteWhoseAnswerWasLostCountsOnceWhenItIsRepeated) {
  const std::vector<Change> changes{put(1, 2, entry("b", {"shared", "own", "own"})), put(2, 7, entry("c", {"own"}))};
  for (int i = 0; i < 3; ++i) write_and_lose_the_answer(*store_, faults_, changes);
  EXPECT_EQ(references("own"), 3) << "they were carried out";
  ASSERT_EQ(problem(write(*store_, changes)), "");
  EXPECT_EQ(references("own"), 3);
  EXPECT_EQ(references("shared"), 2);
  EXPECT_EQ(read_all(*store_),
            (Logs{{1, {entry("a", {"shared"}), entry("b", {"shared", "own", "own"})}}, {2, {entry("c", {"own"})}}}));
  EXPECT_EQ(server_->ask({"HGET", key("entries"), "1"}).integer(), 2);
}

TEST_F(RedisOverFaults, AWriteWhoseAnswerWasLostLeavesNothingWhenItsNumbersAreErased) {
  const std::vector<Change> erased{erase(1, 2), erase(2, 7)};
  write_and_lose_the_answer(*store_, faults_,
                            {put(1, 2, entry("b", {"shared", "own"})), put(2, 7, entry("c", {"own"}))});
  EXPECT_EQ(references("own"), 2) << "it was carried out";
  write_and_lose_the_answer(*store_, faults_, erased);
  EXPECT_EQ(references("own"), 0) << "so was this";
  ASSERT_EQ(problem(write(*store_, erased)), "");
  EXPECT_EQ(references("shared"), 1);
  EXPECT_EQ(read_all(*store_), (Logs{{1, {entry("a", {"shared"})}}}));
  ASSERT_EQ(problem(write(*store_, {erase(1, 1)})), "");
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("last")));
}

TEST_F(RedisOverFaults, AWriteWhoseAnswerWasLostIsRepeatedWithOtherEntries) {
  write_and_lose_the_answer(*store_, faults_, {put(1, 2, entry("b", {"shared", "first"}))});
  write_and_lose_the_answer(*store_, faults_, {put(1, 2, entry("b", {"second"})), put(1, 1, entry("a"))});
  ASSERT_EQ(problem(write(*store_, {put(1, 2, entry("b", {"third", "first"}))})), "");
  EXPECT_EQ(read_numbered(*store_, 1),
            (std::map<EntryNumber, Entry>{{1, entry("a")}, {2, entry("b", {"third", "first"})}}));
  for (const char* content : {"shared", "second"}) EXPECT_EQ(references(content), 0) << content;
  for (const char* content : {"third", "first"}) EXPECT_EQ(references(content), 1) << content;
}

/// Breaks the connection at random steps, and compares with what a store that keeps its promise would hold.
class RedisPromise : public RedisFixture {
 protected:
  using Model = std::map<LogId, std::map<EntryNumber, Entry>>;

  unsigned one_of(unsigned n) { return static_cast<unsigned>(random_() % n); }
  void break_sometimes(bool sometimes) {
    faults_.breaks = [this, sometimes](std::string_view) { return sometimes && one_of(12) == 0; };
  }
  std::vector<Change> some_changes() {
    std::vector<Change> changes;
    for (unsigned i = 1 + one_of(4); i > 0; --i) {
      Change change{one_of(3), 1 + one_of(5), std::nullopt};
      std::vector<std::string> payloads;
      for (unsigned j = one_of(3); j > 0; --j) payloads.emplace_back(1, static_cast<char>('a' + one_of(4)));
      if (one_of(3) > 0) change.entry = entry(std::to_string(++made_), payloads);
      changes.push_back(std::move(change));
    }
    return changes;
  }
  static Model changed(Model model, const std::vector<Change>& changes) {
    for (const Change& change : changes) {
      model[change.log].erase(change.number);
      if (change.entry) model[change.log].emplace(change.number, *change.entry);
      if (model[change.log].empty()) model.erase(change.log);
    }
    return model;
  }
  Model stored(RedisStore& store) {
    break_sometimes(false);
    Model found;
    const Result<std::vector<LogId>> logs = store.logs();
    EXPECT_EQ(problem(logs), "");
    for (const LogId log : logs.value()) found[log] = read_numbered(store, log);
    return found;
  }
  /// Until it is certain.
  void write_at_last(RedisStore& store, const std::vector<Change>& changes) {
    while (!write(store, changes)) ++failures_;
  }

  std::mt19937 random_{20261125};
  Faults faults_;
  int made_ = 0;
  int failures_ = 0;
};

TEST_F(RedisPromise, IsKeptWhereverTheConnectionBreaks) {
  RedisStore store(faulty_options(server_->address().unix_path, faults_));
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  Model model;
  std::array<int, 2> happened{};  // of those that failed
  for (int step = 0; step < 1500; ++step) {
    SCOPED_TRACE(step);
    break_sometimes(true);
    if (one_of(5) == 0) {
      const LogId log = one_of(3);
      const std::vector<Entry> entries(one_of(3), entry(std::to_string(step), {"a"}));
      while (!replace(store, log, entries)) ++failures_;
      model.erase(log);
      for (const Entry& entry : entries) model[log].emplace(model[log].size() + 1, entry);
      continue;
    }
    const std::vector<Change> changes = some_changes();
    const Model wanted = changed(model, changes);
    if (write(store, changes)) {
      model = wanted;
    } else if (++failures_; one_of(3) == 0) {
      write_at_last(store, changes);
      model = wanted;
    } else if (one_of(2) == 0) {
      std::vector<Change> erased;
      for (const Change& change : changes) erased.push_back(erase(change.log, change.number));
      write_at_last(store, erased);
      model = changed(wanted, erased);
    } else {
      const Model found = stored(store);
      ASSERT_TRUE(found == model || found == wanted) << "as a whole or not at all";
      if (model != wanted) ++happened[found == wanted ? 1 : 0];
      model = found;
    }
    ASSERT_TRUE(step % 10 != 0 || stored(store) == model);
  }
  EXPECT_GT(failures_, 150);
  EXPECT_GT(happened[0], 5);
  EXPECT_GT(happened[1], 5);
  EXPECT_EQ(stored(store), model);
  for (LogId log = 0; log < 3; ++log) ASSERT_EQ(problem(store.remove(log)), "");
  EXPECT_THAT(keys(), UnorderedElementsAre(key("format"), key("term"), key("lease"), key("last")));
}

}  // namespace
}  // namespace dc::store

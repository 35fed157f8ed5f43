// Group commit, refusals, waiting, renewal and tidying, over a store that fails on demand.
#include "store/journal_thread.hpp"

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "store/memory_store.hpp"
#include "store/store_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

/// What the test wants of the store, and what the thread asked of it.
struct Script {
  std::mutex mutex;
  std::condition_variable changed;
  bool blocked = false;                            ///< calls that write wait
  std::optional<Error> failure;                    ///< of every call that writes, and of renew
  std::function<bool(const Entry&)> does_not_fit;  ///< a write with such an entry is refused as full
  int waiting = 0;
  int checks = 0;
  std::atomic<Hold> hold = Hold::ours;
  std::array<std::atomic<int>, 2> moves{};
  int tidyings = 0;
  int syncs = 0;
  int rewrites = 0;                              ///< the second one helps
  std::vector<std::vector<std::string>> writes;  ///< those that went well
  bool answers_get_lost = false;                 ///< calls that write fail after they happened

  void set(const std::function<void(Script&)>& change) {
    const std::lock_guard lock(mutex);
    change(*this);
    changed.notify_all();
  }
  bool wait_for(const std::function<bool(Script&)>& condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 10s, [&] { return condition(*this); });
  }
};

class ScriptedStore : public MemoryStore {
 public:
  ScriptedStore(std::shared_ptr<MemoryDisk> disk, Script& script) : MemoryStore(std::move(disk)), script_(script) {}

  Result<void> check_hold() override {
    const std::lock_guard lock(script_.mutex);
    ++script_.checks;
    script_.changed.notify_all();
    if (script_.failure) return *script_.failure;
    return MemoryStore::check_hold();
  }
  [[nodiscard]] Hold hold() const override { return script_.hold; }
  void moved(Part part) override { ++script_.moves[static_cast<std::size_t>(part)]; }
  Result<std::uint64_t> raise_term(std::uint64_t above) override { return above + 1; }
  Result<void> sync() override {
    script_.set([](Script& script) { ++script.syncs; });
    return boost::outcome_v2::success();
  }
  Result<void> write(std::span<Change> changes) override {
    BOOST_OUTCOME_TRYV(pass());
    const std::lock_guard lock(script_.mutex);
    std::vector<std::string> names;
    for (const Change& change : changes) {
      names.push_back(change.entry ? change.entry->bytes : fmt::format("-{}", change.number));
      if (change.entry && script_.does_not_fit && script_.does_not_fit(*change.entry))
        return fail(ErrorCode::full, "no room");
    }
    BOOST_OUTCOME_TRYV(MemoryStore::write(changes));
    script_.writes.push_back(std::move(names));
    script_.changed.notify_all();
    if (script_.answers_get_lost) return fail(ErrorCode::unreachable, "no answer");
    return boost::outcome_v2::success();
  }
  Result<bool> tidy() override {
    const std::lock_guard lock(script_.mutex);
    ++script_.tidyings;
    script_.changed.notify_all();
    return script_.tidyings % 3 != 0;
  }
  Result<void> remove(LogId log) override {
    BOOST_OUTCOME_TRYV(pass());
    return MemoryStore::remove(log);
  }
  Result<void> rewrite() override {
    script_.set([](Script& script) {
      if (++script.rewrites > 1) script.failure.reset();
    });
    return boost::outcome_v2::success();
  }

 private:
  Result<void> pass() {
    std::unique_lock lock(script_.mutex);
    ++script_.waiting;
    script_.changed.notify_all();
    script_.changed.wait(lock, [&] { return !script_.blocked; });
    --script_.waiting;
    if (script_.failure) return *script_.failure;
    return boost::outcome_v2::success();
  }
  Script& script_;
};

class Journal : public testing::Test {
 protected:
  void SetUp() override { start(limits::store_patience); }
  void start(Duration patience) {
    thread_.reset();
    auto store = std::make_unique<ScriptedStore>(disk_, script_);
    ASSERT_EQ(problem(store->acquire(first_owner)), "");
    thread_.emplace(std::move(store),
                    JournalThread::Handler{[this] { script_.set([this](Script&) { ++wakes_; }); }, patience});
  }
  void TearDown() override {
    script_.set([](Script& script) { script.blocked = false; });
  }

  /// An entry whose number is one more than the ticket.
  void write(Ticket ticket, const std::string& bytes, bool refusable = false, LogId log = 1,
             std::vector<EntryNumber> erased = {}) {
    thread_->write(ticket, log, ticket + 1, entry(bytes), std::move(erased), refusable);
  }
  /// "ticket" or "ticket: reason" of the next `count`.
  std::vector<std::string> done(std::size_t count) {
    std::vector<std::string> found;
    script_.wait_for([&](Script&) {
      for (const Journaled& one : thread_->take_done()) {
        found.push_back(std::to_string(one.ticket) + (one.refused.empty() ? "" : ": " + one.refused));
      }
      return found.size() >= count;
    });
    return found;
  }
  std::vector<std::string> on_disk(LogId log = 1) {
    const std::lock_guard lock(disk_->mutex);
    std::vector<std::string> names;
    if (const auto found = disk_->logs.find(log); found != disk_->logs.end()) {
      for (const auto& [number, entry] : found->second) names.push_back(entry.bytes);
    }
    return names;
  }
  /// From now on the first write waits in the store.
  void hold(Ticket ticket, const std::string& bytes) {
    script_.set([](Script& script) { script.blocked = true; });
    write(ticket, bytes);
    ASSERT_TRUE(script_.wait_for([](Script& script) { return script.waiting == 1; }));
  }
  void let_go() {
    script_.set([](Script& script) { script.blocked = false; });
  }
  void fail_with(std::optional<Error> error) {
    script_.set([&](Script& script) { script.failure = std::move(error); });
  }

  Script script_;
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
  int wakes_ = 0;
  std::optional<JournalThread> thread_;
};

TEST_F(Journal, WhatArrivesDuringAWriteBecomesTheNext) {
  hold(1, "a");
  write(2, "b");
  write(3, "c", false, 2);
  write(4, "d");
  EXPECT_THAT(thread_->take_done(), IsEmpty());
  let_go();
  EXPECT_THAT(done(4), ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(script_.writes, ElementsAre(ElementsAre("a"), ElementsAre("b", "c", "d")));
  EXPECT_THAT(on_disk(), ElementsAre("a", "b", "d"));
  EXPECT_TRUE(script_.wait_for([this](Script&) { return wakes_ > 0; }));
}

TEST_F(Journal, ABatchIsBounded) {
  hold(0, "first");
  for (Ticket ticket = 1; ticket <= limits::store_batch_entries_max + 1; ++ticket) write(ticket, "x");
  let_go();
  EXPECT_EQ(done(limits::store_batch_entries_max + 2).size(), limits::store_batch_entries_max + 2);
  ASSERT_EQ(script_.writes.size(), 3U);
  EXPECT_EQ(script_.writes[1].size(), limits::store_batch_entries_max);
}

TEST_F(Journal, RemovalsKeepTheirPlace) {
  hold(1, "a");
  thread_->remove(2, 1);
  write(3, "b");
  let_go();
  EXPECT_THAT(done(3), ElementsAre("1", "2", "3"));
  EXPECT_THAT(on_disk(), ElementsAre("b"));
}

TEST_F(Journal, AFullStoreRefusesWhatCanBeRefusedAndKeepsTheRest) {
  hold(1, "a");
  write(2, "job", true);
  write(3, "result");
  script_.set([](Script& script) {
    script.does_not_fit = [](const Entry& entry) { return entry.bytes == "job"; };
    script.blocked = false;
  });
  EXPECT_THAT(done(3), ElementsAre("1", "2: no room", "3"));
  EXPECT_THAT(on_disk(), ElementsAre("a", "result"));
  EXPECT_EQ(thread_->trouble(), "");
}

TEST_F(Journal, WhatCannotBeRefusedWaitsForRoom) {
  script_.set([](Script& script) { script.does_not_fit = [](const Entry&) { return true; }; });
  write(1, "result");
  ASSERT_TRUE(script_.wait_for([&](Script&) { return thread_->trouble() == "no room"; }));
  write(2, "job", true);
  EXPECT_THAT(done(1), ElementsAre("2: no room"));
  script_.set([](Script& script) { script.does_not_fit = nullptr; });
  EXPECT_THAT(done(1), ElementsAre("1"));
  EXPECT_THAT(on_disk(), ElementsAre("result"));
  EXPECT_EQ(thread_->trouble(), "");
}

TEST_F(Journal, RefusesAlsoWhileTheStoreCannotBeRenewed) {
  fail_with(fail(ErrorCode::full, "no room"));
  write(1, "result");
  ASSERT_TRUE(script_.wait_for([](Script& script) { return script.checks >= 2; }));
  write(2, "job", true);
  EXPECT_THAT(done(1), ElementsAre("2: no room")) << "writes are tried between renewals";
  fail_with({});
  EXPECT_THAT(done(1), ElementsAre("1"));
}

TEST_F(Journal, WaitsForAStoreThatDoesNotAnswer) {
  fail_with(fail(ErrorCode::unreachable, "no answer"));
  write(1, "a");
  write(2, "b", true);
  ASSERT_TRUE(script_.wait_for([&](Script&) { return thread_->trouble() == "no answer"; }));
  EXPECT_THAT(thread_->take_done(), IsEmpty());
  fail_with({});
  EXPECT_THAT(done(2), ElementsAre("1", "2"));
  EXPECT_THAT(on_disk(), ElementsAre("a", "b"));
  EXPECT_EQ(thread_->trouble(), "");
}

TEST_F(Journal, DamageInTheWayIsWrittenAnewOnceInATrouble) {
  const Error damaged = fail(ErrorCode::protocol, "a page is damaged");
  fail_with(damaged);
  write(1, "a");
  ASSERT_TRUE(script_.wait_for([](Script& script) { return script.rewrites == 1 && script.checks >= 2; }));
  script_.set([](Script& script) { EXPECT_EQ(script.rewrites, 1) << "it did not help"; });
  fail_with({});
  EXPECT_THAT(done(1), ElementsAre("1"));
  fail_with(damaged);
  write(2, "b");
  EXPECT_THAT(done(1), ElementsAre("2"));
}

TEST_F(Journal, GivesUpWhatCanBeRefusedWhenTheStoreStaysAway) {
  start(100ms);
  fail_with(fail(ErrorCode::unreachable, "no answer"));
  write(1, "result");
  write(2, "job", true);
  EXPECT_THAT(done(1), ElementsAre("2: no answer"));
  write(3, "another job", true);
  EXPECT_THAT(done(1), ElementsAre("3: no answer"));
  fail_with({});
  EXPECT_THAT(done(1), ElementsAre("1"));
  EXPECT_THAT(on_disk(), ElementsAre("result"));
}

TEST_F(Journal, IsFencedWhenAnotherHeadHasTheStore) {
  EXPECT_EQ(thread_->hold(), Hold::ours);
  fail_with(fail(ErrorCode::fenced, "taken by south"));
  write(1, "a");
  ASSERT_TRUE(script_.wait_for([&](Script&) { return thread_->hold() == Hold::lost; }));
  EXPECT_EQ(thread_->trouble(), "taken by south");
  fail_with({});
  write(2, "b");
  thread_.reset();
  EXPECT_THAT(on_disk(), IsEmpty());
}

TEST_F(Journal, ChecksTheStoreAndMovesWhileNothingIsWritten) {
  const TimePoint start = std::chrono::steady_clock::now();
  ASSERT_TRUE(script_.wait_for([](Script& script) { return script.checks > 0; }));
  EXPECT_LE(std::chrono::steady_clock::now() - start, limits::store_lease / 3);
  EXPECT_GT(script_.moves[static_cast<std::size_t>(Part::journal)], 0);
}

TEST_F(Journal, IsAsCertainAsTheStore) {
  EXPECT_EQ(thread_->hold(), Hold::ours);
  script_.hold = Hold::unsure;
  EXPECT_EQ(thread_->hold(), Hold::unsure);
  script_.hold = Hold::lost;
  EXPECT_EQ(thread_->hold(), Hold::lost);
}

TEST_F(Journal, RaisesTheTerm) {
  EXPECT_EQ(thread_->raised_term(), 0U);
  thread_->raise_term(41);
  EXPECT_TRUE(script_.wait_for([&](Script&) { return wakes_ > 0; }));
  EXPECT_EQ(thread_->raised_term(), 42U);
}

TEST_F(Journal, BringsWhatWasWrittenToTheDiskWithinTheInterval) {
  write(1, "a");
  EXPECT_EQ(done(1).size(), 1U);
  const TimePoint start = std::chrono::steady_clock::now();
  ASSERT_TRUE(script_.wait_for([](Script& script) { return script.syncs == 1; }));
  EXPECT_LE(std::chrono::steady_clock::now() - start, limits::store_sync_interval + 500ms);
}

TEST_F(Journal, ErasesWithTheEntryThatItWrites) {
  write(1, "a");
  write(2, "b");
  EXPECT_THAT(done(2), ElementsAre("1", "2"));
  write(3, "c", false, 1, {2, 3});
  EXPECT_THAT(done(1), ElementsAre("3"));
  EXPECT_THAT(on_disk(), ElementsAre("c"));
}

TEST_F(Journal, WhatWasGivenUpButWrittenIsErasedWhenTheStoreAnswers) {
  start(100ms);
  script_.set([](Script& script) { script.answers_get_lost = true; });
  write(1, "job", true);
  EXPECT_THAT(done(1), ElementsAre("1: no answer"));
  EXPECT_THAT(on_disk(), Contains("job"));
  script_.set([](Script& script) { script.answers_get_lost = false; });
  EXPECT_TRUE(script_.wait_for([&](Script& script) { return script.writes.back() == std::vector<std::string>{"-2"}; }));
  thread_.reset();
  EXPECT_THAT(on_disk(), IsEmpty());
}

TEST_F(Journal, TidiesAtItsStartAndWhenSomethingWasErased) {
  const auto tidied = [&](int times) {
    return script_.wait_for([&](Script& script) { return script.tidyings == times; });
  };
  ASSERT_TRUE(tidied(3)) << "until there is nothing more";
  write(1, "a");
  EXPECT_EQ(done(1).size(), 1U);
  script_.set([](Script& script) { EXPECT_EQ(script.tidyings, 3); });
  write(2, "b", false, 1, {2});
  ASSERT_TRUE(tidied(6));
  thread_->remove(3, 1);
  ASSERT_TRUE(tidied(9));
}

TEST_F(Journal, WritesWhatIsQueuedBeforeItEndsAndGivesTheStoreBack) {
  hold(1, "a");
  write(2, "b");
  thread_->remove(3, 9);
  std::thread closing([this] { thread_.reset(); });
  let_go();
  closing.join();
  EXPECT_THAT(on_disk(), ElementsAre("a", "b"));
  EXPECT_EQ(disk_->holder, 0U);
}

TEST_F(Journal, EndsInBoundedTimeWhenTheStoreDoesNotAnswer) {
  fail_with(fail(ErrorCode::unreachable, "no answer"));
  write(1, "a");
  const TimePoint start = std::chrono::steady_clock::now();
  thread_.reset();
  const Duration taken = std::chrono::steady_clock::now() - start;
  EXPECT_GE(taken, limits::store_close_patience);
  EXPECT_LE(taken, limits::store_close_patience + 2s);
}

}  // namespace
}  // namespace dc::store

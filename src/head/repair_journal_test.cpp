// Journals that are broken: what a repair keeps, what it says is lost, and who is told meanwhile.
#include "head/repair_journal.hpp"

#include "head/journal_for_tests.hpp"
#include "head/named_story_for_tests.hpp"
#include "store/memory_store.hpp"

namespace dc::head {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// A store in which one entry is damaged. As in the true ones, a read gives what stands before it and says so in the
/// same call, and the next goes on behind it.
class DamagedStore : public store::MemoryStore {
 public:
  explicit DamagedStore(std::uint64_t damaged) : damaged_(damaged) {}
  Result<bool> read(store::LogId log, store::Position& position, store::Attachments attachments,
                    const std::function<void(store::EntryNumber, store::Entry&&)>& each) override {
    std::vector<store::Entry> all;
    store::Position start;
    BOOST_OUTCOME_TRYV(MemoryStore::read(
        log, start, attachments, [&](store::EntryNumber, store::Entry&& entry) { all.push_back(std::move(entry)); }));
    if (position.behind >= all.size()) return false;
    while (position.behind < all.size()) {
      if (position.behind++ == damaged_) return fail(ErrorCode::protocol, "an entry is damaged");
      each(position.behind, std::move(all[position.behind - 1]));
    }
    return true;
  }
  Result<void> replace(store::LogId log, std::span<const store::Entry> entries) override {
    damaged_ = UINT64_MAX;
    return MemoryStore::replace(log, entries);
  }

 private:
  std::uint64_t damaged_;
};

class Repair : public testing::Test {
 protected:
  static Payload bytes(std::string text) { return Payload(std::move(text)); }
  /// Six jobs, of which the first two have ended, and one of these was delivered.
  static std::vector<store::Entry> log() {
    std::vector<store::Entry> entries;
    entries.push_back(encode(PoolBorn{1, "sweep", {}, bytes("spec"), {}, 0, PoolId{7}}));
    entries.push_back(encode(JobsTaken{{{1, 0, bytes("a"), {}}, {2, 0, bytes("b"), {}}, {3, 0, bytes("c"), {}}}}));
    entries.push_back(encode(ValuesCame{{{1, bytes("A")}}}));
    entries.push_back(encode(JobsTaken{{{4, 0, bytes("d"), {}}}}));
    entries.push_back(encode(ValuesCame{{{2, bytes("B")}}}));
    entries.push_back(encode(JobsTaken{{{5, 0, bytes("e"), {}}, {6, 0, bytes("f"), {}}}}));
    entries.push_back(encode(Delivered{{1}}));
    return entries;
  }
  static std::string repair(store::Store& store) {
    Result<RepairedJournal> repaired = repair_journal(store, 1);
    if (!repaired) return repaired.error().message;
    std::string text = repaired.value().state ? "kept " : "nothing kept ";
    if (repaired.value().state) text += std::to_string(repaired.value().state->taken.highest()) + " ";
    return text + std::to_string(repaired.value().jobs_lost) + (repaired.value().or_more ? " or more" : "") + " lost " +
           std::to_string(repaired.value().jobs_again) + " again";
  }
  static std::string repair(std::uint64_t damaged, const std::vector<store::Entry>& entries = log()) {
    DamagedStore store(damaged);
    EXPECT_TRUE(store.acquire({"here", 1}));
    EXPECT_TRUE(store.MemoryStore::replace(1, entries));
    const std::string told = repair(store);
    JournalState again;
    EXPECT_TRUE(
        store.replay(1, [&](store::EntryNumber number, store::Entry&& entry) { again.add(number, std::move(entry)); }));
    EXPECT_TRUE(again.problem().empty()) << again.problem();
    EXPECT_EQ(told.starts_with("nothing"), !again.born);
    return told;
  }
};

TEST_F(Repair, WhatWasForgottenBehindTheCutDoesNotComeBack) {
  std::vector<store::Entry> entries = log();
  entries.insert(entries.begin() + 1, encode(KeyKept{"old", bytes("value"), 0}));
  entries.insert(entries.begin() + 1, encode(KeyKept{"other", bytes("value"), 0}));
  entries.push_back(encode(KeysDropped{1, {"old"}}));
  DamagedStore store(5);
  ASSERT_TRUE(store.acquire({"here", 1}));
  ASSERT_TRUE(store.MemoryStore::replace(1, entries));
  const Result<RepairedJournal> repaired = repair_journal(store, 1);
  ASSERT_TRUE(repaired);
  EXPECT_EQ(repaired.value().state->keys.size(), 1U);
  JournalState again;
  ASSERT_TRUE(
      store.replay(1, [&](store::EntryNumber number, store::Entry&& entry) { again.add(number, std::move(entry)); }));
  EXPECT_TRUE(again.keys.contains("other"));
  EXPECT_EQ(again.keys.size(), 1U);
}

TEST_F(Repair, CutsBeforeWhatIsDamagedAndCountsWhatThatLoses) {
  EXPECT_EQ(repair(3), "kept 3 3 lost 1 again") << "job 4 is guessed from 5 and 6; job 2 had ended";
  EXPECT_EQ(repair(5), "kept 4 0 or more lost 0 again") << "nothing tells of 5 and 6 any more";
  EXPECT_EQ(repair(6), "kept 6 0 or more lost 0 again") << "nor of what the last entry was";
  EXPECT_EQ(repair(1), "kept 0 5 lost 0 again") << "job 1 was delivered";
  EXPECT_EQ(repair(0), "nothing kept 5 lost 0 again");
}

TEST_F(Repair, CutsBeforeWhatMakesNoSense) {
  std::vector<store::Entry> entries = log();
  entries[3] = encode(UpdateCame{9, bytes("u")});
  EXPECT_EQ(repair(UINT64_MAX, entries), "kept 3 2 lost 1 again");
}

TEST_F(Repair, KnowsWhatOnlyASummaryBehindTheCutTells) {
  std::vector<store::Entry> entries = log();
  entries.push_back(encode(Summary{{{1, 6}, {10, 40}}, 33, true}));
  entries.push_back(encode(JobsTaken{{{41, 0, bytes("z"), {}}}}));
  EXPECT_EQ(repair(3, entries), "kept 40 6 or more lost 1 again") << "4 and 10 to 40 are over, or damaged";
}

TEST_F(Repair, SaysThatItDoesNotKnowHowManyAreLost) {
  std::vector<store::Entry> entries = log();
  entries.push_back(encode(ValuesCame{{{5, bytes("E")}}}));
  EXPECT_EQ(repair(5, entries), "kept 4 1 or more lost 0 again") << "6 stood there too";
  entries.push_back(encode(JobsTaken{{{500'000'000, 0, bytes("far"), {}}}}));
  EXPECT_EQ(repair(5, entries), "kept 4 2 or more lost 0 again") << "a gap that is no measure";
  entries = {entries[1]};
  EXPECT_EQ(repair(UINT64_MAX, entries), "nothing kept 3 lost 0 again");
  store::MemoryStore emptied;
  ASSERT_TRUE(emptied.acquire({"here", 1}));
  EXPECT_EQ(repair(emptied), "nothing kept 0 or more lost 0 again") << "all entries are gone";
}

TEST_F(Repair, KnowsWhoHadThePoolAtLast) {
  DamagedStore store(3);
  ASSERT_TRUE(store.acquire({"here", 1}));
  std::vector<store::Entry> entries = log();
  const ClientCame left{8, "there", 5, "p", true};
  entries.push_back(encode(left));
  ASSERT_TRUE(store.MemoryStore::replace(1, entries));
  const Result<RepairedJournal> repaired = repair_journal(store, 1);
  ASSERT_TRUE(repaired);
  EXPECT_EQ(repaired.value().state->holder, left) << "nobody is waited for";
  JournalState again;
  ASSERT_TRUE(
      store.replay(1, [&](store::EntryNumber number, store::Entry&& entry) { again.add(number, std::move(entry)); }));
  EXPECT_EQ(again.holder, left);
}

TEST_F(Repair, HasAStoreWrittenAnewWhoseDamageIsInTheWay) {
  class Stuck : public DamagedStore {
   public:
    Stuck() : DamagedStore(3) {}
    Result<void> replace(store::LogId log, std::span<const store::Entry> entries) override {
      if (!rewritten) return fail(ErrorCode::protocol, "a page is damaged");
      return DamagedStore::replace(log, entries);
    }
    Result<void> rewrite() override {
      rewritten = true;
      return boost::outcome_v2::success();
    }
    bool rewritten = false;
  };
  Stuck store;
  ASSERT_TRUE(store.acquire({"here", 1}));
  ASSERT_TRUE(store.MemoryStore::replace(1, log()));
  EXPECT_EQ(repair(store), "kept 3 3 lost 1 again");
  EXPECT_TRUE(store.rewritten);
}

TEST_F(Repair, LeavesAnotherVersionAlone) {
  store::MemoryStore store;
  ASSERT_TRUE(store.acquire({"here", 1}));
  ASSERT_TRUE(store.replace(1, std::vector{encode(PoolBorn{3, "sweep", {}, {}, {}, 0, PoolId{7}})}));
  EXPECT_THAT(repair(store), HasSubstr("version 3"));
  EXPECT_EQ(store.logs().value().size(), 1U);
}

class Refused : public NamedStory {
 protected:
  Refused() {
    add(state_, encode(PoolBorn{1, "sweep", {}, bytes("spec"), {}, 0, PoolId{7}}));
    add(state_, encode(JobsTaken{{{1, 0, bytes("a"), {}}}}));
    machine.refuse_pool(log, state_, "an entry is damaged", effects);
  }
  std::string why_not_opened(bool attach_only) {
    hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", attach_only, true});
    const auto failed = told<wire::PoolFailed>(client);
    EXPECT_THAT(failed, SizeIs(1));
    return failed.empty() ? "" : failed[0].error.message;
  }
  const store::LogId log = log_of("sweep");
  JournalState state_;
};

TEST_F(Refused, WhoeverWantsItIsToldTheReasonAndTheRemedy) {
  for (const bool attach_only : {false, true}) {
    EXPECT_THAT(why_not_opened(attach_only),
                AllOf(HasSubstr("pool 'sweep'"), HasSubstr("an entry is damaged"), HasSubstr("pools repair 'sweep'")));
  }
  hear(client, wire::ResumePool{pool, {}, "sweep", 2});
  ASSERT_THAT(told<wire::PoolFailed>(client), SizeIs(1));
  const std::string status = machine.status_json(now);
  EXPECT_THAT(status, AllOf(HasSubstr("\"name\":\"sweep\""), HasSubstr("an entry is damaged")));
}

TEST_F(Refused, OneWhoseNameCannotBeReadHasItsIdForAName) {
  machine.refuse_pool(0xab, JournalState(), "its first entry is missing", effects);
  std::string told;
  for (const Effect& effect : effects) told += text_of(effect) + "\n";
  EXPECT_THAT(told, HasSubstr("pools repair '00000000000000ab'"));
  EXPECT_THAT(machine.status_json(now), HasSubstr("\"name\":\"00000000000000ab\""));
}

TEST_F(Refused, IsServedWhenItWasRepaired) {
  EXPECT_EQ(hear(client, wire::RepairPool{asked, "sweep"}), (Lines{"journal 5: repaired for 1"}));
  hear(client, wire::RepairPool{asked, "sweep"});
  EXPECT_THAT(told<wire::PoolFailed>(client), SizeIs(1)) << "once is enough";
  RepairedJournal repaired{std::make_unique<JournalState>(std::move(state_)), 3, false, 1};
  effects.clear();
  machine.repaired({log, client, asked}, std::move(repaired), now, effects);
  machine.flush(now, effects);
  const auto answers = told<wire::PoolRepaired>(client);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].jobs_lost, 3U);
  hear(client, wire::OpenPool{pool, {}, false, {}, "sweep", true, false});
  const auto opened = told<wire::PoolOpened>(client);
  ASSERT_THAT(opened, SizeIs(1));
  EXPECT_EQ(opened[0].remaining, 1U);
  machine.check_invariants();
}

TEST_F(Refused, WhatItsNodesRunIsNotGivenOutAgainWhenItWasRepaired) {
  node_says({{WorkerId{(66ULL << 32) + 1}, PoolId{7}, 0, true, 4711, 0, {{1, {66, 1}}}}}, {{PoolId{7}, 0, {}}});
  hear(client, wire::RepairPool{asked, "sweep"});
  effects.clear();
  machine.repaired({log, client, asked},
                   RepairedJournal{std::make_unique<JournalState>(std::move(state_)), 3, false, 1}, now, effects);
  machine.flush(now, effects);
  machine.check_invariants();
  EXPECT_THAT(told<wire::RunJobs>(node), testing::IsEmpty());
  EXPECT_THAT(told<wire::StartWorker>(node), testing::IsEmpty());
  wait(60s);
  EXPECT_THAT(told<wire::RunJobs>(node), testing::IsEmpty());
  EXPECT_THAT(told<wire::ClosePoolHere>(node), testing::IsEmpty());
  hear(node, wire::JobsDone{WorkerId{(66ULL << 32) + 1}, PoolId{7}, {{{1, {66, 1}}, 5, bytes("value")}}});
  keep_all();
  hear(client, wire::OpenPool{pool, {}, false, {}, "sweep", true, true});
  keep_all();
  hear(client, wire::WantOutcomes{PoolId{7}, 1, false});
  EXPECT_THAT(values(client), testing::ElementsAre("1=value"));
}

TEST_F(Refused, StaysSoWhenItCouldNotBeRepaired) {
  hear(client, wire::RepairPool{asked, "sweep"});
  effects.clear();
  machine.repaired({log, client, asked}, fail(ErrorCode::io, "the disk is full"), now, effects);
  ASSERT_THAT(told<wire::PoolFailed>(client), SizeIs(1));
  EXPECT_THAT(told<wire::PoolFailed>(client)[0].error.message, HasSubstr("the disk is full"));
  EXPECT_THAT(why_not_opened(true), HasSubstr("an entry is damaged"));
  hear(client, wire::RepairPool{asked, "sweep"});
  EXPECT_THAT(told<wire::PoolFailed>(client), IsEmpty()) << "it may be tried again";
}

TEST_F(Refused, WhatIsNotBrokenIsNotRepaired) {
  hear(client, wire::RepairPool{asked, "another"});
  ASSERT_THAT(told<wire::PoolFailed>(client), SizeIs(1));
  EXPECT_EQ(told<wire::PoolFailed>(client)[0].error.kind, ErrorKind::pool_not_found);
}

}  // namespace
}  // namespace dc::head

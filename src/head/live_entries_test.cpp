// Which entries of a journal can go, and when; and that a pool erases them.
#include "head/live_entries.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

TEST(LiveEntries, GoWithTheLastReason) {
  LiveEntries entries;
  entries.add({1, 10}, 2);
  entries.add({2, 10}, 0);
  entries.release(1);
  EXPECT_THAT(entries.take_dead(), ElementsAre(2)) << "nothing was ever needed of it";
  entries.need(1);
  entries.release(1);
  EXPECT_THAT(entries.take_dead(), IsEmpty());
  entries.release(1);
  EXPECT_THAT(entries.take_dead(), ElementsAre(1));
  entries.release(1);
  EXPECT_THAT(entries.take_dead(), IsEmpty()) << "it is gone";
  EXPECT_EQ(entries.next(), 3U);
}

TEST(LiveEntries, NotesGoWithTheLastThatTheySpeakOf) {
  LiveEntries entries;
  entries.add({1, 10}, 1);
  entries.add({2, 10}, 1);
  entries.add_note({3, 10}, {2, 1, 2, 0, 77});
  entries.add_note({4, 10}, {2});
  entries.add_note({5, 10}, {77});
  EXPECT_THAT(entries.take_dead(), ElementsAre(5)) << "what it speaks of is gone";
  entries.release(2);
  EXPECT_THAT(entries.take_dead(), UnorderedElementsAre(2, 4));
  entries.release(1);
  EXPECT_THAT(entries.take_dead(), UnorderedElementsAre(1, 3));
  EXPECT_EQ(entries.size(), 0U);
}

TEST(LiveEntries, AreWorthAWriteWhenTheyAreManyOrLarge) {
  LiveEntries entries;
  for (store::EntryNumber entry = 1; entry <= 3; ++entry) entries.add({entry, 10}, 0);
  EXPECT_FALSE(entries.worth_erasing(4));
  EXPECT_TRUE(entries.worth_erasing(3));
  (void)entries.take_dead();
  entries.add({4, limits::dead_entry_bytes_max}, 0);
  EXPECT_TRUE(entries.worth_erasing(100));
}

class ErasingStory : public NamedStory {
 protected:
  void start(std::size_t dead_entries_max) {
    bounds.dead_entries_max = dead_entries_max;
    restart();
  }
  /// A job runs, and its client has the outcome.
  void run(WorkerId worker, JobSequence sequence, const std::string& key = {}) {
    submit_and_keep(sequence, sequence, key);
    finish(worker, sequence, "v");
    keep_all();
    hear(client, wire::AckOutcomes{pool, {sequence}});
    keep_all();
  }
  template <class Body>
  [[nodiscard]] std::size_t count() const {
    std::size_t found = 0;
    for (const auto& [number, entry] : journal)
      found += std::holds_alternative<Body>(decode(store::Entry(entry)).value()) ? 1 : 0;
    return found;
  }
};

TEST_F(ErasingStory, TheJournalOfAPoolThatIsUsedStaysSmall) {
  start(8);
  const WorkerId worker = open_named();
  for (JobSequence sequence = 1; sequence <= 100; ++sequence) run(worker, sequence);
  EXPECT_LE(journal.size(), 12U);
  EXPECT_EQ(count<Summary>(), 1U);
  submit_and_keep(101, 102);
  restart();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  EXPECT_EQ(told<wire::PoolOpened>(client).at(0).last_sequence, 102U) << "no number is given twice";
}

TEST_F(ErasingStory, AJobThatWaitsKeepsNoResultOfItsNeighbours) {
  start(4);
  const WorkerId worker = open_named();
  submit_and_keep(1, 20);  // in one entry
  for (JobSequence sequence = 1; sequence <= 19; ++sequence) {
    finish(worker, sequence, "v");
    keep_all();
    hear(client, wire::AckOutcomes{pool, {sequence}});
    keep_all();
  }
  EXPECT_EQ(count<JobsTaken>(), 1U);
  EXPECT_LE(count<ValuesCame>(), 4U);
  EXPECT_EQ(count<Delivered>(), 19U) << "they say what is over";
  restart();
  machine.check_invariants();
  EXPECT_THAT(told<wire::RunJobs>(node), IsEmpty());
  node_says();
  std::size_t queued = 0;
  JournalState state;
  for (const auto& [number, entry] : journal) state.add(number, store::Entry(entry));
  queued = state.unfinished.size();
  EXPECT_EQ(queued, 1U) << "the others are over";
}

TEST_F(ErasingStory, TheValueOfAKeyStandsAlone) {
  start(2);
  const WorkerId worker = open_named();
  run(worker, 1, "k");
  for (JobSequence sequence = 2; sequence <= 20; ++sequence) run(worker, sequence);
  EXPECT_EQ(count<KeyedCame>(), 1U);
  restart();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  submit_and_keep(30, 30, "k");
  keep_all();
  EXPECT_THAT(values(client), ElementsAre("30=v"));
}

}  // namespace
}  // namespace dc::head

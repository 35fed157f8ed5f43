// The journal of a named pool: entries to bytes and back, numbers, and shortening.
#include "head/journal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "head/journal_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::Pair;

Payload bytes(std::string text) { return Payload(std::move(text)); }

/// What a state says, in one line.
std::string text_of(const JournalState& state) {
  std::string text = state.born ? state.born->name : "unborn";
  for (const auto& [first, last] : state.taken.intervals())
    text += " " + std::to_string(first) + "-" + std::to_string(last);
  text += " unfinished";
  for (const auto& [sequence, job] : state.unfinished)
    text += " " + std::to_string(sequence) + "=" + std::string(job.arguments.view().substr(0, 8)) + job.key;
  text += " undelivered";
  for (const auto& [sequence, outcome] : state.undelivered) {
    text += " " + std::to_string(sequence) + "=";
    text += outcome.error ? outcome.error->message : std::string(outcome.payload.view().substr(0, 8));
  }
  text += " updates " + std::to_string(state.updates.size()) + " done " + std::to_string(state.done);
  for (const auto& [key, value] : state.keys) text += " " + key + "=" + std::string(value.value.view());
  if (state.broken) text += " broken: " + state.broken->message;
  return text;
}

std::vector<store::Entry> story() {
  const std::string large(limits::inline_payload_max + 1, 'L');
  std::vector<store::Entry> entries;
  entries.push_back(encode(PoolBorn{1, "sweep", {}, bytes("spec"), bytes(large)}));
  entries.push_back(encode(JobsTaken{{{1, 0, bytes("a"), "k"}, {2, 0, bytes("b"), {}}}}));
  entries.push_back(encode(JobsTaken{{{3, 1, bytes(large), {}}}}));
  entries.push_back(encode(UpdateCame{1, bytes("u")}));
  entries.push_back(encode(JobsTaken{{{5, 1, bytes("e"), {}}, {6, 1, bytes("f"), {}}}}));
  entries.push_back(encode(ValuesCame{{{1, bytes("A")}, {5, bytes(large)}}}));
  ErrorInfo error;
  error.message = "no";
  entries.push_back(encode(ErrorCame{2, error, {}}));
  entries.push_back(encode(Delivered{{1}}));
  return entries;
}

constexpr const char* told = "sweep 1-3 5-6 unfinished 3=LLLLLLLL 6=f undelivered 2=no 5=LLLLLLLL updates 1 done 3 k=A";

TEST(JournalEntries, HaveSmallPayloadsBesideThem) {
  const std::string small(limits::payload_in_memory_max, 's'), longer(100, 'l'), other(200, 'o');
  wire::Bundle bundle;
  store::Entry entry = encode(JobsTaken{{{1, 0, bytes(small)}, {2, 0, bytes(longer)}, {3, 0, bytes(other)}}}, &bundle);
  EXPECT_THAT(bundle.offsets, ElementsAre(-1, 0, 100));
  ASSERT_EQ(entry.attachments.size(), 1U);
  EXPECT_EQ(entry.attachments[0].size(), 300U);
  // Read with what stands for it, and written again.
  const auto place = std::make_shared<const int>(0);
  entry.attachments[0] = Payload::elsewhere(place, 300);
  const JournalEntry read = decode(std::move(entry)).value();
  const std::vector<SubmittedJob>& jobs = std::get<JobsTaken>(read).jobs;
  EXPECT_EQ(jobs[0].arguments.view(), small);
  store::Entry again = encode(JobsTaken{{jobs[2], {9, 0, bytes("new")}, jobs[1]}});
  ASSERT_EQ(again.attachments.size(), 1U) << "one for both";
  again.attachments[0] = bytes(longer + other);
  const JournalEntry last = decode(std::move(again)).value();
  EXPECT_EQ(std::get<JobsTaken>(last).jobs[0].arguments.view(), other);
  EXPECT_EQ(std::get<JobsTaken>(last).jobs[1].arguments.view(), "new");
  EXPECT_EQ(std::get<JobsTaken>(last).jobs[2].arguments.view(), longer);
}

TEST(JournalEntries, AreRefusedWithPartsOfWhatIsNotThere) {
  wire::Bundle bundle;
  const store::Entry good = encode(JobsTaken{{{1, 0, bytes(std::string(100, 'a'))}}}, &bundle);
  const auto read = [&](std::vector<Payload> attachments) {
    return decode(store::Entry{good.bytes, std::move(attachments)}).has_value();
  };
  EXPECT_TRUE(read({bytes(std::string(100, 'a'))}));
  EXPECT_FALSE(read({bytes(std::string(99, 'a'))}));
  EXPECT_FALSE(read({}));
  store::Entry cut = good;
  cut.bytes.pop_back();
  EXPECT_FALSE(decode(std::move(cut)).has_value());
}

TEST(JournalState, IsWhatTheEntriesTell) {
  JournalState state;
  for (store::Entry& entry : story()) add(state, std::move(entry));
  EXPECT_EQ(state.problem(), "");
  EXPECT_EQ(text_of(state), told);
  EXPECT_EQ(state.born->program.size(), limits::inline_payload_max + 1);
}

/// The entries without those that can go, and with what tells what is left of these.
std::map<store::EntryNumber, store::Entry> erased(std::map<store::EntryNumber, store::Entry> entries) {
  JournalState state;
  for (const auto& [number, entry] : entries) state.add(number, store::Entry(entry));
  Summary summary{{}, state.done, true};
  for (const auto& [first, last] : state.taken.intervals()) summary.taken.push_back({first, last});
  for (const KeptEntry& old : state.summaries) entries.erase(old.number);
  for (const store::EntryNumber number : state.entries.take_dead()) entries.erase(number);
  entries[state.entries.next()] = encode(summary);
  return entries;
}

TEST(JournalState, IsTheSameWithoutWhatIsNotNeeded) {
  // Each entry follows after what was left of those before.
  std::map<store::EntryNumber, store::Entry> entries;
  JournalState whole;
  std::vector<store::Entry> all = story();
  all[0] = encode(PoolBorn{2, "sweep", {}, bytes("spec"), bytes("program")});
  all[5] = encode(KeyedCame{{{1, "k", bytes("A")}}});
  all.push_back(encode(ValuesCame{{{5, bytes("E")}}}));
  all.push_back(encode(JobsTaken{{{7, 1, bytes("g"), "k"}, {8, 1, bytes("h"), {}}}}));
  all.push_back(encode(ValuesCame{{{7, bytes("A")}, {3, bytes("C")}}}));
  all.push_back(encode(KeysTimed{100, {"k"}}));
  all.push_back(encode(Delivered{{7, 2, 5}}));
  all.push_back(encode(KeysDropped{1, {"k"}}));
  all.push_back(encode(Delivered{{3}}));
  all.push_back(encode(ValuesCame{{{6, bytes("F")}}}));
  all.push_back(encode(Delivered{{6}}));
  all.push_back(encode(ErrorCame{8, {}, {}}));
  for (store::Entry& entry : all) {
    add(whole, store::Entry(entry));
    const store::EntryNumber next = entries.empty() ? 1 : entries.rbegin()->first + 1;
    entries[next] = std::move(entry);
    entries = erased(std::move(entries));
    JournalState left;
    for (const auto& [number, one] : entries) left.add(number, store::Entry(one));
    EXPECT_EQ(left.problem(), "");
    EXPECT_EQ(text_of(left), text_of(whole)) << next;
  }
  EXPECT_EQ(text_of(whole), "sweep 1-3 5-8 unfinished undelivered 8= updates 1 done 7");
  EXPECT_LE(entries.size(), 5U) << "birth, update, the jobs and the error of 8, and what is left of the others";
}

TEST(JournalState, KnowsThatAValueThatItsJobAloneTellsWasForgotten) {
  JournalState state;
  add(state, encode(PoolBorn{2, "sweep", {}, {}, {}}));
  add(state, encode(JobsTaken{{{1, 0, bytes("a"), "k"}, {2, 0, bytes("b"), "k"}, {3, 0, bytes("c"), {}}}}));
  add(state, encode(ValuesCame{{{2, bytes("A")}}}));  // with the value of another, whose entry is gone
  EXPECT_TRUE(state.keys.empty());
  EXPECT_EQ(text_of(state), "sweep 1-3 unfinished 1=ak 3=c undelivered 2=A updates 0 done 1");
}

TEST(JournalState, IsTheSameWhenItIsWrittenAnew) {
  JournalState state;
  for (store::Entry& entry : story()) add(state, std::move(entry));
  JournalState again;
  for (store::Entry& entry : state.take()) add(again, std::move(entry));
  EXPECT_EQ(text_of(again), told);
  JournalState thrice;
  for (store::Entry& entry : again.take()) add(thrice, std::move(entry));
  EXPECT_EQ(text_of(thrice), told);
}

TEST(JournalState, OfAPoolThatFailed) {
  JournalState state;
  for (store::Entry& entry : story()) add(state, std::move(entry));
  ErrorInfo error;
  error.message = "gone";
  add(state, encode(PoolBroke{error}));
  const std::string after =
      "sweep 1-3 5-6 unfinished undelivered 2=no 3=gone 5=LLLLLLLL 6=gone updates 1 done 5 k=A broken: gone";
  EXPECT_EQ(text_of(state), after);
  JournalState again;
  for (store::Entry& entry : state.take()) add(again, std::move(entry));
  EXPECT_EQ(text_of(again), after);
}

TEST(JournalState, ShrinksWhatWasDelivered) {
  JournalState state;
  add(state, encode(PoolBorn{1, "sweep", {}, {}, {}}));
  std::size_t before = 0;
  for (JobSequence first = 1; first < 10'000; first += 100) {
    JobsTaken jobs;
    ValuesCame values;
    Delivered delivered;
    for (JobSequence i = first; i < first + 100; ++i) {
      jobs.jobs.push_back({i, 0, bytes("arguments"), {}});
      values.items.push_back({i, bytes("value")});
      delivered.sequences.push_back(i);
    }
    before += encode(jobs).bytes.size() + encode(values).bytes.size() + encode(delivered).bytes.size();
    add(state, encode(jobs));
    add(state, encode(values));
    add(state, encode(delivered));
  }
  std::size_t after = 0;
  for (const store::Entry& entry : state.take()) after += entry.bytes.size();
  EXPECT_GT(before, 200'000);
  EXPECT_LT(after, 200);
}

TEST(JournalState, CanHaveMoreGapsThanAnArrayHasElements) {
  JournalState state;
  add(state, encode(PoolBorn{1, "sweep", {}, {}, {}}));
  constexpr JobSequence last = 2 * limits::array_size_max + 101;
  for (JobSequence sequence = 1; sequence <= last; sequence += 2) state.taken.add(sequence);
  state.done = 7;
  JournalState read;
  for (store::Entry& entry : state.take()) add(read, std::move(entry));
  EXPECT_EQ(read.problem(), "");
  EXPECT_EQ(read.done, 7U);
  EXPECT_EQ(read.taken.intervals().size(), (last + 1) / 2);
  EXPECT_TRUE(read.taken.contains(last));
  EXPECT_FALSE(read.taken.contains(last - 1));
}

TEST(JournalState, SaysWhatIsWrong) {
  JournalState newer;
  add(newer, encode(PoolBorn{3, "sweep", {}, {}, {}}));
  EXPECT_EQ(newer.problem(), "its journal is of version 3, and this head reads versions up to 2");
  JournalState broken;
  add(broken, {"rubbish", {}});
  EXPECT_THAT(broken.problem(), testing::HasSubstr("cannot be read"));
  EXPECT_TRUE(broken.take().empty());
}

// --- Keys that are forgotten --------------------------------------------------------------------------------------

std::string keys_of(const JournalState& state) {
  std::map<std::string, std::string> keys;
  for (const auto& [key, value] : state.keys) {
    const auto time = state.key_times.find(key);
    keys[key] =
        std::string(value.value.view()) + (time == state.key_times.end() ? "" : "@" + std::to_string(time->second));
  }
  std::string text = std::to_string(state.keys_dropped);
  for (const auto& [key, value] : keys) text += " " + key + "=" + value;
  return text;
}

JournalState state_of(const std::vector<store::Entry>& entries) {
  JournalState state;
  for (const store::Entry& entry : entries) add(state, store::Entry(entry));
  EXPECT_EQ(state.problem(), "");
  return state;
}

/// A key with a value, forgotten, and with another one; and one that stays.
std::vector<store::Entry> forgetful() {
  return {encode(PoolBorn{1, "sweep", {}, {}, {}}),
          encode(JobsTaken{{{1, 0, {}, "k"}, {2, 0, {}, "l"}}}),
          encode(ValuesCame{{{1, bytes("old")}, {2, bytes("L")}}}),
          encode(KeysTimed{100, {"k", "l", "nobody's"}}),
          encode(KeysDropped{1, {"k"}}),
          encode(JobsTaken{{{3, 0, {}, "k"}}}),
          encode(ValuesCame{{{3, bytes("new")}}}),
          encode(KeysTimed{200, {"k"}})};
}

TEST(JournalState, ForgetsKeysAndKnowsWhenValuesCame) {
  EXPECT_EQ(keys_of(state_of(forgetful())), "1 k=new@200 l=L@100");
  std::vector<store::Entry> twice = forgetful();  // as a group that was written again
  for (const store::Entry& entry : forgetful()) twice.push_back(entry);
  EXPECT_EQ(keys_of(state_of(twice)), "1 k=new@200 l=L@100");
  JournalState state = state_of(twice);
  std::vector<store::Entry> shortened = state.take();
  EXPECT_EQ(keys_of(state_of(shortened)), "1 k=new@200 l=L@100");
  shortened.push_back(encode(KeysDropped{1, {"k"}}));
  EXPECT_EQ(keys_of(state_of(shortened)), "1 k=new@200 l=L@100") << "that was before";
  shortened.push_back(encode(KeysDropped{2, {}, true}));
  EXPECT_EQ(keys_of(state_of(shortened)), "2");
}

/// As an earlier version wrote it.
struct EarlierKeyKept {
  static constexpr std::uint8_t type = KeyKept::type;
  std::string key;
  Payload value;
  MSGPACK_DEFINE(key, value)
};

TEST(JournalState, ReadsKeysOfEarlierVersions) {
  EXPECT_EQ(keys_of(state_of({encode(PoolBorn{1, "sweep", {}, {}, {}}), encode(EarlierKeyKept{"k", bytes("K")})})),
            "0 k=K");
}

// --- What makes no sense ----------------------------------------------------------------------------------------

/// Of the story and then this entry.
template <class Body>
std::string problem_after(const Body& last) {
  JournalState state;
  for (store::Entry& entry : story()) add(state, std::move(entry));
  add(state, encode(last));
  EXPECT_EQ(text_of(state), told) << "what makes no sense is not in it";
  EXPECT_EQ(state.take().empty(), !state.problem().empty()) << "and it must not be shortened";
  return state.problem();
}

TEST(JournalState, RefusesWhatContradictsIt) {
  EXPECT_EQ(problem_after(PoolBorn{1, "sweep", {}, {}, {}}), "");
  EXPECT_THAT(problem_after(PoolBorn{1, "other", {}, {}, {}}), testing::HasSubstr("two pools"));
  EXPECT_THAT(problem_after(PoolBorn{3, "sweep", {}, {}, {}}), testing::HasSubstr("version 3"));
  EXPECT_THAT(problem_after(JobsTaken{{{0, 0, {}, {}}}}), testing::HasSubstr("number 0"));
  EXPECT_THAT(problem_after(JobsTaken{{{UINT64_MAX, 0, {}, {}}}}), testing::HasSubstr("18446744073709551615"));
  EXPECT_THAT(problem_after(UpdateCame{3, {}}), testing::HasSubstr("update 3 follows after 1"));
  EXPECT_THAT(problem_after(KeyKept{"l", {}, UINT64_MAX}), testing::HasSubstr("second 18446744073709551615"));
  EXPECT_THAT(problem_after(KeysTimed{UINT64_MAX, {"k"}}), testing::HasSubstr("second 18446744073709551615"));
  EXPECT_THAT(problem_after(Summary{{{1, UINT64_MAX}}, 0}), testing::HasSubstr("summary"));
  EXPECT_THAT(problem_after(Summary{{{1}}, 0}), testing::HasSubstr("summary"));
  EXPECT_THAT(problem_after(Summary{{{5, 9}, {7, 8}}, 0}), testing::HasSubstr("summary"));
}

TEST(JournalState, BeginsWithTheBirthOfAPoolThatCanWork) {
  JournalState unborn;
  add(unborn, encode(Delivered{{1}}));
  EXPECT_THAT(unborn.problem(), testing::HasSubstr("first entry is missing"));
  PoolOptions endless;
  endless.weight = std::numeric_limits<double>::infinity();
  JournalState senseless;
  add(senseless, encode(PoolBorn{1, "sweep", endless, {}, {}}));
  EXPECT_THAT(senseless.problem(), testing::HasSubstr("weight"));
  PoolOptions heavy;
  heavy.weight = 1e9;  // was allowed once
  JournalState earlier;
  add(earlier, encode(PoolBorn{1, "sweep", heavy, {}, {}}));
  EXPECT_EQ(earlier.problem(), "");
}

}  // namespace
}  // namespace dc::head

// Values of keys that are forgotten: because somebody says so, or because they are old.
#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class ForgetfulStory : public NamedStory {
 protected:
  static constexpr SessionId asker{5};
  static constexpr PoolId by{9};

  void forget(std::vector<std::string> keys, bool all = false, const std::string& name = "sweep") {
    if (!asks) join(asker, wire::Role::client, 105);
    asks = true;
    hear(asker, wire::ForgetKeys{by, name, std::move(keys), all});
  }
  /// A job with this key, which the worker gets or not; its value is there afterwards.
  bool runs(WorkerId worker, JobSequence sequence, const std::string& key, const std::string& value) {
    submit_and_keep(sequence, sequence, key);
    const bool given = !told<wire::RunJobs>(node).empty();
    if (given) finish(worker, sequence, value);
    keep_all();
    return given;
  }
  std::uint64_t forgotten() {
    const auto answers = told<wire::KeysForgotten>(asker);
    EXPECT_THAT(answers, SizeIs(1));
    return answers.empty() ? 999 : answers[0].forgotten;
  }
  std::uint64_t keys_with_value() {
    machine.check_invariants();
    return nlohmann::json::parse(machine.status_json(now))["pools"][0]["keys"].get<std::uint64_t>();
  }
  /// So much later on the wall and on the machine's clock.
  void later(std::chrono::seconds time) {
    wall += time;
    machine.wall_time(wall);
    wait(time);
    keep_all();
  }
  void start(std::chrono::seconds ttl) {
    bounds.key_ttl = ttl;
    restart();
  }
  /// A new head: what the journal says of keys.
  std::uint64_t keys_after_restart() {
    restart();
    machine.flush(now, effects);
    keep_all();
    return keys_with_value();
  }

  bool asks = false;
};

TEST_F(ForgetfulStory, TheNextJobWithAForgottenKeyRunsAnew) {
  const WorkerId worker = open_named();
  EXPECT_TRUE(runs(worker, 1, "a", "A"));
  EXPECT_TRUE(runs(worker, 2, "b", "B"));
  EXPECT_FALSE(runs(worker, 3, "a", ""));
  EXPECT_THAT(values(client), ElementsAre("3=A"));
  forget({"a", "a", "nobody's"});
  EXPECT_THAT(told<wire::KeysForgotten>(asker), IsEmpty()) << "the journal does not have it so far";
  keep();
  EXPECT_EQ(forgotten(), 1U);
  EXPECT_EQ(keys_with_value(), 1U);
  EXPECT_TRUE(runs(worker, 4, "a", "new"));
  EXPECT_FALSE(runs(worker, 5, "b", ""));
  EXPECT_FALSE(runs(worker, 6, "a", ""));
  EXPECT_THAT(values(client), ElementsAre("6=new"));
  forget({}, true);
  keep();
  EXPECT_EQ(forgotten(), 2U);
  EXPECT_EQ(keys_with_value(), 0U);
  EXPECT_EQ(keys_after_restart(), 0U);
}

TEST_F(ForgetfulStory, WhatIsForgottenStaysSoAfterARestart) {
  const WorkerId worker = open_named();
  EXPECT_TRUE(runs(worker, 1, "a", "A"));
  EXPECT_TRUE(runs(worker, 2, "b", "B"));
  EXPECT_EQ(keys_after_restart(), 2U);
  asks = false;
  forget({"a"});
  EXPECT_EQ(keys_with_value(), 1U);
  restart();
  EXPECT_EQ(keys_with_value(), 2U) << "nobody was told so";
  asks = false;
  forget({"a"});
  keep();
  EXPECT_EQ(forgotten(), 1U);
  EXPECT_EQ(keys_after_restart(), 1U);
}

TEST_F(ForgetfulStory, AJobThatRunsGoesOnAndGivesTheKeyItsValue) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 2, "a");
  forget({"a"});
  EXPECT_EQ(forgotten(), 0U) << "there is no value, and nothing to write";
  EXPECT_THAT(waiting, IsEmpty());
  finish(worker, 1, "A");
  keep();
  EXPECT_THAT(values(client), ElementsAre("1=A", "2=A"));
  EXPECT_EQ(keys_with_value(), 1U);
}

/// Values of the same turn stand before it in the journal.
TEST_F(ForgetfulStory, WhatIsForgottenInTheTurnInWhichItCame) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 1, "a");
  join(asker, wire::Role::client, 105);
  effects.clear();
  std::vector<wire::Message> done, wanted;
  done.emplace_back(wire::JobsDone{worker, pool, {{first_attempt, 1000, bytes("A")}}});
  wanted.emplace_back(wire::ForgetKeys{by, "sweep", {"a"}, false});
  machine.on_messages(node, std::move(done), now, effects);
  machine.on_messages(asker, std::move(wanted), now, effects);
  machine.flush(now, effects);
  keep();
  EXPECT_EQ(forgotten(), 1U);
  EXPECT_THAT(values(client), ElementsAre("1=A"));
  EXPECT_EQ(keys_after_restart(), 0U);
}

TEST_F(ForgetfulStory, WhoCannotHaveItHearsWhy) {
  const auto why = [&] {
    const auto failed = told<wire::PoolFailed>(asker);
    EXPECT_THAT(failed, SizeIs(1));
    return failed.empty() ? ErrorInfo{} : failed[0].error;
  };
  const WorkerId worker = open_named();
  forget({"a"}, false, "nobody's");
  EXPECT_EQ(why().kind, ErrorKind::pool_not_found);
  EXPECT_THAT(why().message, HasSubstr("no pool named 'nobody's'"));
  EXPECT_TRUE(runs(worker, 1, "a", "A"));
  machine.store_trouble("the disk is full");
  forget({"a"});
  EXPECT_EQ(why().kind, ErrorKind::not_stored);
  EXPECT_EQ(why().message, "nothing was forgotten: the disk is full");
  machine.store_trouble("");
  forget({"a"});
  collect();
  hear(client, wire::ClosePool{pool, false, "sweep"});
  keep();
  EXPECT_EQ(why().message, "the pool was closed for good meanwhile");
  EXPECT_THAT(hear(asker, wire::ForgetKeys{by, "sweep", {std::string(2000, 'k')}, false}),
              testing::Contains(HasSubstr("ForgetKeys with a key of 2000 bytes")));
}

// --- Values that are kept for a time ------------------------------------------------------------------------------

TEST_F(ForgetfulStory, AValueIsForgottenWhenItIsOld) {
  start(100s);
  const WorkerId worker = open_named();
  EXPECT_TRUE(runs(worker, 1, "a", "A"));
  later(60s);
  EXPECT_TRUE(runs(worker, 2, "b", "B"));
  EXPECT_FALSE(runs(worker, 3, "a", ""));
  later(39s);
  EXPECT_EQ(keys_with_value(), 2U);
  later(1s);
  EXPECT_EQ(keys_with_value(), 1U);
  EXPECT_TRUE(runs(worker, 4, "a", "new"));
  EXPECT_FALSE(runs(worker, 5, "b", ""));
  later(60s);
  EXPECT_EQ(keys_with_value(), 1U) << "of a there is a new one";
  EXPECT_EQ(keys_after_restart(), 1U);
  later(40s);
  EXPECT_EQ(keys_with_value(), 0U);
}

TEST_F(ForgetfulStory, ItsAgeGoesOnWhileNoHeadRuns) {
  start(100s);
  const WorkerId worker = open_named();
  EXPECT_TRUE(runs(worker, 1, "a", "A"));
  later(50s);
  EXPECT_TRUE(runs(worker, 2, "b", "B"));
  submit_and_keep(3, 3);  // keeps the worker busy
  lose(node);
  hear(client, wire::SubmitJobs{pool, {{4, 0, bytes("x"), "a"}}});
  collect();
  for (const JournalWrite& write : waiting) journal[write.number] = write.entry;  // and the head crashes
  wall += 50s;
  EXPECT_EQ(keys_after_restart(), 1U);
  EXPECT_THAT(values(client), IsEmpty()) << "job 4 has not got what is too old";
  wall += 50s;
  EXPECT_EQ(keys_after_restart(), 0U);
  bounds.key_ttl = 0s;
  EXPECT_EQ(keys_after_restart(), 0U) << "the journal knows it";
}

TEST_F(ForgetfulStory, WhatCameWithoutATimeCountsFromWhenItIsReadFirst) {
  const WorkerId worker = open_named();
  EXPECT_TRUE(runs(worker, 1, "a", "A"));
  const std::size_t entries = journal.size();
  later(1000s);
  EXPECT_EQ(journal.size(), entries) << "without a limit nothing is written of time";
  bounds.key_ttl = 100s;
  EXPECT_EQ(keys_after_restart(), 1U);
  wall += 60s;
  EXPECT_EQ(keys_after_restart(), 1U);
  wall += 40s;
  EXPECT_EQ(keys_after_restart(), 0U);
}

TEST_F(ForgetfulStory, AClockThatIsSetBackKeepsNoValueLongerThanOnceMore) {
  start(100s);
  const WorkerId worker = open_named();
  EXPECT_TRUE(runs(worker, 1, "a", "A"));
  later(10s);
  EXPECT_TRUE(runs(worker, 2, "b", "B"));
  wall -= 5000s;
  later(1s);
  EXPECT_TRUE(runs(worker, 3, "c", "C"));
  later(98s);
  EXPECT_EQ(keys_with_value(), 3U);
  later(2s);
  EXPECT_EQ(keys_with_value(), 0U);
}

TEST_F(ForgetfulStory, WhatSomebodyForgotIsNotForgottenAgainWhenItIsOld) {
  start(100s);
  const WorkerId worker = open_named();
  EXPECT_TRUE(runs(worker, 1, "a", "A"));
  later(50s);
  forget({"a"});
  keep();
  EXPECT_EQ(forgotten(), 1U);
  EXPECT_TRUE(runs(worker, 2, "a", "new"));
  later(60s);
  EXPECT_EQ(keys_with_value(), 1U);
  later(40s);
  EXPECT_EQ(keys_with_value(), 0U);
}

TEST_F(ForgetfulStory, LongListsOfKeysAreCut) {
  bounds.dead_entries_max = 100'000;
  start(100s);
  open_named();
  constexpr JobSequence count = 300;
  const auto key = [](JobSequence i) { return std::string(limits::job_key_bytes_max - 4, 'k') + std::to_string(i); };
  for (JobSequence i = 1; i <= count; ++i) journal[1000 + i] = encode(KeyKept{key(i), bytes("v"), 0});
  EXPECT_EQ(keys_after_restart(), count);
  later(100s);
  EXPECT_EQ(keys_with_value(), 0U);
  std::size_t dropped = 0, timed = 0, entries = 0;
  for (const auto& [number, entry] : journal) {
    EXPECT_LT(entry.bytes.size(), 2 * limits::keys_entry_bytes);
    const auto decoded = decode(store::Entry(entry));
    const auto* gone = std::get_if<KeysDropped>(&decoded.value());
    const auto* came = std::get_if<KeysTimed>(&decoded.value());
    dropped += gone ? gone->keys.size() : 0;
    timed += came ? came->keys.size() : 0;
    entries += gone ? 1 : 0;
  }
  EXPECT_EQ(dropped, count);
  EXPECT_EQ(timed, count);
  EXPECT_EQ(entries, 2U);
}

}  // namespace
}  // namespace dc::head

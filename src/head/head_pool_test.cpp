// Pools by themselves, without a head around them: what they answer to one event after the other.
#include "head/head_pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "head/kept_pool.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class PoolAlone : public testing::Test {
 protected:
  static constexpr SessionId session{1}, other_session{2};
  static constexpr PoolId id{0xA};
  const TimePoint now{std::chrono::hours(1)};
  const PeerInfo peer{wire::Role::client, 100, "here", 4711, "unix"};
  const PeerInfo other_peer{wire::Role::client, 101, "there", 4712, "unix"};
  KeptMemory memory;
  PoolEffects effects;

  static Payload bytes(std::string text) { return Payload(std::move(text)); }
  static std::vector<SubmittedJob> jobs(JobSequence first, JobSequence last) {
    std::vector<SubmittedJob> some;
    for (JobSequence i = first; i <= last; ++i) some.push_back({i, 0, bytes("x")});
    return some;
  }
  static std::vector<JobSequence> numbers(const std::vector<SubmittedJob>& some) {
    std::vector<JobSequence> all;
    for (const SubmittedJob& job : some) all.push_back(job.sequence);
    return all;
  }
  /// Effects of this kind since the last call of clear().
  template <class Kind>
  std::vector<Kind> wanted() const {
    std::vector<Kind> found;
    for (const PoolEffect& effect : effects) {
      if (const auto* one = std::get_if<Kind>(&effect)) found.push_back(*one);
    }
    return found;
  }
  template <class Event>
  std::vector<Event> scheduled() const {
    std::vector<Event> found;
    for (const scheduler::Event& event : wanted<scheduler::Event>()) {
      if (const auto* one = std::get_if<Event>(&event)) found.push_back(*one);
    }
    return found;
  }
  template <class Body>
  std::vector<Body> told(SessionId to) const {
    std::vector<Body> found;
    for (const Send& send : wanted<Send>()) {
      if (const auto* body = std::get_if<Body>(&send.message); body && send.session == to) found.push_back(*body);
    }
    return found;
  }
  /// What the pool wants in its journal is there, or was refused.
  void answer(HeadPool& pool, const std::string& refused = {}) {
    std::vector<Keep> entries = wanted<Keep>();
    effects.clear();
    for (Keep& entry : entries) pool.journaled(std::move(entry.pending), entry.refusable ? refused : "", effects);
  }
  /// It is in a store, which gives what stands for large payloads.
  void keep(HeadPool& pool) {
    std::vector<Keep> entries = wanted<Keep>();
    effects.clear();
    for (Keep& entry : entries) {
      for (const Payload& payload : entry.entry.attachments)
        entry.pending.stored.push_back(Payload::elsewhere(std::make_shared<const int>(0), payload.size()));
      pool.journaled(std::move(entry.pending), "", effects);
    }
  }
  wire::OpenPool opening(const std::string& name, bool steal = false) const {
    return {id, {}, false, bytes("spec"), name, false, steal, "process"};
  }
  std::unique_ptr<KeptPool> open_kept() {
    auto pool = std::make_unique<KeptPool>(id, 7, PoolBounds{}, memory, session, peer, opening("sweep"));
    pool->open({}, effects);
    answer(*pool);
    effects.clear();
    return pool;
  }
};

TEST_F(PoolAlone, ADirectPoolHandsOnWhatItHears) {
  DirectPool pool(session, peer, opening(""));
  pool.open({}, effects);
  EXPECT_THAT(scheduled<scheduler::PoolOpened>(), SizeIs(1));
  effects.clear();
  pool.submit(session, jobs(1, 3), effects);
  ASSERT_THAT(scheduled<scheduler::JobsSubmitted>(), SizeIs(1));
  EXPECT_THAT(numbers(scheduled<scheduler::JobsSubmitted>()[0].jobs), ElementsAre(1, 2, 3));
  EXPECT_THAT(wanted<Keep>(), IsEmpty());
  effects.clear();
  pool.ended({id, 2, {bytes("two"), {}}}, effects);
  EXPECT_THAT(wanted<Deliver>(), SizeIs(1));
}

TEST_F(PoolAlone, ADirectPoolIsOverWhenItsClientStaysAway) {
  DirectPool pool(session, peer, opening(""));
  pool.open({}, effects);
  EXPECT_EQ(pool.deadline(), never);
  pool.session_lost(session, false, now, effects);
  EXPECT_EQ(pool.deadline(), now + limits::client_return_grace);
  EXPECT_THAT(wanted<Over>(), IsEmpty());
  pool.expired(effects);
  EXPECT_THAT(wanted<Over>(), SizeIs(1));
}

TEST_F(PoolAlone, AKeptPoolSaysNothingBeforeItIsKept) {
  KeptPool pool(id, 7, {}, memory, session, peer, opening("sweep"));
  pool.open({}, effects);
  EXPECT_THAT(wanted<Keep>(), SizeIs(1));
  EXPECT_THAT(told<wire::PoolOpened>(session), IsEmpty());
  answer(pool);
  EXPECT_THAT(told<wire::PoolOpened>(session), SizeIs(1));

  effects.clear();
  pool.submit(session, jobs(1, 2), effects);
  EXPECT_THAT(wanted<scheduler::Event>(), IsEmpty());
  answer(pool);
  EXPECT_THAT(told<wire::JobsAccepted>(session).at(0).sequences, ElementsAre(1, 2));
  EXPECT_THAT(numbers(scheduled<scheduler::JobsSubmitted>().at(0).jobs), ElementsAre(1, 2));

  effects.clear();
  pool.ended({id, 1, {bytes("one"), {}}}, effects);
  EXPECT_THAT(wanted<EndTurn>(), SizeIs(1)) << "values of a turn share an entry";
  pool.end_turn(effects);
  EXPECT_THAT(wanted<Deliver>(), IsEmpty());
  EXPECT_THAT(wanted<scheduler::Event>(), IsEmpty()) << "the node keeps its result";
  answer(pool);
  EXPECT_THAT(wanted<Deliver>(), SizeIs(1));
  EXPECT_THAT(scheduled<scheduler::OutcomesAcknowledged>(), SizeIs(1));
}

TEST_F(PoolAlone, WhatTheJournalRefusesIsAsIfItHadNeverCome) {
  const auto pool = open_kept();
  pool->submit(session, jobs(1, 1), effects);
  answer(*pool, "the disk is full");
  EXPECT_THAT(told<wire::JobsRefused>(session).at(0).sequences, ElementsAre(1));
  EXPECT_THAT(wanted<scheduler::Event>(), IsEmpty());
  EXPECT_EQ(pool->figures().to_deliver, 0U);
}

TEST_F(PoolAlone, WhoTakesAKeptPoolHasItWhenItsForerunnersJobsAreSettled) {
  const auto pool = open_kept();
  pool->submit(session, jobs(1, 2), effects);
  const std::vector<Keep> entries = wanted<Keep>();
  effects.clear();
  pool->asked_for(other_session, other_peer, opening("sweep", true), now, effects);
  EXPECT_EQ(wanted<Fail>().at(0).session, session);
  EXPECT_THAT(told<wire::PoolOpened>(other_session), IsEmpty());
  effects.clear();
  for (const Keep& entry : entries) pool->journaled(Pending(entry.pending), "", effects);
  EXPECT_THAT(told<wire::JobsAccepted>(other_session), IsEmpty()) << "they are not its own";
  ASSERT_THAT(told<wire::PoolOpened>(other_session), SizeIs(1));
  EXPECT_EQ(told<wire::PoolOpened>(other_session)[0].last_sequence, 2U);
  pool->check_invariants();
}

TEST_F(PoolAlone, JobsOfOneKeyRunOnce) {
  const auto pool = open_kept();
  std::vector<SubmittedJob> same = jobs(1, 3);
  for (SubmittedJob& job : same) job.key = "alike";
  pool->submit(session, std::move(same), effects);
  answer(*pool);
  EXPECT_THAT(numbers(scheduled<scheduler::JobsSubmitted>().at(0).jobs), ElementsAre(1));
  EXPECT_EQ(*pool->key_of(1), "alike");
  effects.clear();
  pool->ended({id, 1, {{}, ErrorInfo::of(ErrorKind::job_error, "no")}}, effects);
  EXPECT_THAT(numbers(scheduled<scheduler::JobsSubmitted>().at(0).jobs), ElementsAre(2)) << "the next one tries";
  effects.clear();
  pool->ended({id, 2, {bytes("v"), {}}}, effects);
  EXPECT_THAT(scheduled<scheduler::JobsSubmitted>(), IsEmpty());
  EXPECT_EQ(pool->figures().done, 3U);
}

TEST_F(PoolAlone, LargeResultsThatNobodyTakesAreInTheStoreAlone) {
  const auto pool = open_kept();
  pool->submit(session, jobs(1, 2), effects);
  answer(*pool);
  pool->ended({id, 1, {bytes(std::string(1 << 20, 'v')), {}}}, effects);
  effects.erase(effects.begin(), effects.end() - 1);
  keep(*pool);
  ASSERT_THAT(wanted<Deliver>(), SizeIs(1));
  EXPECT_FALSE(wanted<Deliver>()[0].outcome.payload.is_elsewhere()) << "its client is there";
  effects.clear();
  pool->session_lost(session, true, now, effects);
  answer(*pool);
  pool->ended({id, 2, {bytes(std::string(1 << 20, 'w')), {}}}, effects);
  keep(*pool);
  EXPECT_THAT(wanted<Deliver>(), IsEmpty());
  wire::OpenPool again = opening("sweep");
  pool->asked_for(other_session, other_peer, std::move(again), now, effects);
  effects.clear();
  pool->want_outcomes({id, 2, false}, effects);
  ASSERT_THAT(wanted<Deliver>(), SizeIs(2));
  for (const Deliver& one : wanted<Deliver>()) {
    EXPECT_TRUE(one.outcome.payload.is_elsewhere());
    EXPECT_EQ(one.outcome.payload.size(), std::size_t{1} << 20);
  }
}

TEST_F(PoolAlone, SmallResultsThatCameTogetherAreInTheStoreAloneToo) {
  const auto pool = open_kept();
  pool->submit(session, jobs(1, 3), effects);
  answer(*pool);
  pool->session_lost(session, true, now, effects);
  answer(*pool);
  pool->ended({id, 1, {bytes("tiny"), {}}}, effects);
  pool->ended({id, 2, {bytes(std::string(600, 'v')), {}}}, effects);
  pool->ended({id, 3, {bytes(std::string(700, 'w')), {}}}, effects);
  pool->end_turn(effects);
  const std::vector<Keep> entries = wanted<Keep>();
  ASSERT_THAT(entries, SizeIs(1)) << "they share an entry, and lie beside it";
  ASSERT_THAT(entries[0].entry.attachments, SizeIs(1));
  EXPECT_EQ(entries[0].entry.attachments[0].view(), std::string(600, 'v') + std::string(700, 'w'));
  EXPECT_LT(entries[0].entry.bytes.size(), 100U);
  keep(*pool);
  pool->asked_for(other_session, other_peer, opening("sweep"), now, effects);
  effects.clear();
  pool->want_outcomes({id, 3, false}, effects);
  const std::vector<Deliver> delivered = wanted<Deliver>();
  ASSERT_THAT(delivered, SizeIs(3));
  EXPECT_EQ(delivered[0].outcome.payload.view(), "tiny");
  EXPECT_TRUE(delivered[1].outcome.payload.is_elsewhere());
  EXPECT_EQ(delivered[1].outcome.payload.offset(), 0U);
  EXPECT_EQ(delivered[2].outcome.payload.offset(), 600U);
  EXPECT_EQ(delivered[2].outcome.payload.size(), 700U);
  EXPECT_EQ(delivered[1].outcome.payload.owner(), delivered[2].outcome.payload.owner()) << "one place for both";
}

TEST_F(PoolAlone, ArgumentsStayInMemoryAsLongAsThereIsRoom) {
  const auto pool = open_kept();
  constexpr std::size_t size = limits::arguments_in_memory_max / 2;
  const auto submit = [&](JobSequence sequence) {
    effects.clear();
    pool->submit(session, {{sequence, 0, bytes(std::string(size, 'a'))}}, effects);
    keep(*pool);
    return scheduled<scheduler::JobsSubmitted>().at(0).jobs.at(0).arguments.is_elsewhere();
  };
  EXPECT_FALSE(submit(1));
  EXPECT_FALSE(submit(2));
  EXPECT_TRUE(submit(3));
  pool->ended({id, 1, {bytes("v"), {}}}, effects);
  EXPECT_FALSE(submit(4));
  EXPECT_TRUE(submit(5));
  EXPECT_FALSE(memory.take(1)) << "what is left is one head's, not one pool's";
}

TEST_F(PoolAlone, ArgumentsOfAJobThatNeedNotRunLeaveTheMemory) {
  const auto pool = open_kept();
  const auto submit = [&](JobSequence sequence) {
    effects.clear();
    pool->submit(session, {{sequence, 0, bytes(std::string(limits::arguments_in_memory_max, 'a')), "key"}}, effects);
    keep(*pool);
  };
  submit(1);
  pool->ended({id, 1, {bytes("v"), {}}}, effects);
  submit(2);
  EXPECT_THAT(scheduled<scheduler::JobsSubmitted>(), IsEmpty()) << "its key has a value";
  EXPECT_TRUE(memory.take(1));
}

TEST_F(PoolAlone, TheMemoryOfAPoolIsGivenBackWithIt) {
  constexpr std::size_t size = limits::arguments_in_memory_max;
  {
    const auto pool = open_kept();
    pool->submit(session, {{1, 0, bytes(std::string(size, 'a'))}}, effects);
    keep(*pool);
    EXPECT_FALSE(memory.take(1));
  }
  EXPECT_TRUE(memory.take(size));
}

}  // namespace
}  // namespace dc::head

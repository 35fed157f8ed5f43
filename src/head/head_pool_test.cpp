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
  wire::OpenPool opening(const std::string& name, bool steal = false) const {
    return {id, {}, false, bytes("spec"), name, false, steal, "process"};
  }
  std::unique_ptr<KeptPool> open_kept() {
    auto pool = std::make_unique<KeptPool>(id, 7, session, peer, opening("sweep"));
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
  KeptPool pool(id, 7, session, peer, opening("sweep"));
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

}  // namespace
}  // namespace dc::head

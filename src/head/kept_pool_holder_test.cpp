// Whose a named pool is: a program that lives does not lose its pool by a moment without a connection, one that is gone
// holds nobody up, and who only looks takes nothing.
#include <algorithm>

#include "head/journal_for_tests.hpp"
#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr SessionId other{7}, third{8}, viewer{9}, fourth{10};
constexpr std::uint64_t other_id = 101, third_id = 102, fourth_id = 103;

class Holders : public NamedStory {
 protected:
  Holders() { join(viewer, wire::Role::viewer, 0); }
  void wants(SessionId session, std::uint64_t id, bool steal = false) {
    join(session, wire::Role::client, id);
    hear(session, wire::OpenPool{pool, {}, false, {}, "sweep", true, steal, "process " + std::to_string(id)});
  }
  std::string failure(SessionId session) {
    const auto failed = told<wire::PoolFailed>(session);
    return failed.empty() ? "" : failed[0].error.message;
  }
  bool has_it(SessionId session) { return !told<wire::PoolOpened>(session).empty(); }
};

TEST_F(Holders, AProgramThatLivesKeepsItsPoolOverABreak) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 2);
  finish(worker, 1, "one");
  keep();
  lose(client);
  wants(other, other_id);
  const auto held = told<wire::PoolHeld>(other);
  ASSERT_THAT(held, SizeIs(1));
  EXPECT_EQ(held[0].holder, ClientId{client_id});
  EXPECT_EQ(held[0].host, "here");
  EXPECT_EQ(held[0].pid, 4711U);
  EXPECT_EQ(held[0].patience_ms, 28'000U);
  EXPECT_FALSE(has_it(other));
  wait(20s);
  join(client, wire::Role::client, client_id);
  hear(client, wire::ResumePool{pool, {}, "sweep", 1, {1}});
  EXPECT_THAT(told<wire::PoolKnown>(client), SizeIs(1));
  EXPECT_THAT(values(client), IsEmpty()) << "it has the first one";
  EXPECT_EQ(told<wire::PoolFailed>(other).at(0).error.kind, ErrorKind::pool_busy);
  EXPECT_THAT(failure(other), HasSubstr("in the hands of here (pid 4711)"));
  wait(60s);
  EXPECT_FALSE(has_it(other));
}

TEST_F(Holders, WhoWaitsGetsThePoolOfAProgramThatStaysAway) {
  open_named();
  lose(client);
  wait(10s);
  wants(other, other_id);
  EXPECT_EQ(told<wire::PoolHeld>(other).at(0).patience_ms, 18'000U);
  wants(third, third_id);
  EXPECT_EQ(wait(17s), Lines{});
  wait(1s);
  EXPECT_TRUE(has_it(other));
  EXPECT_THAT(failure(third), HasSubstr("in the hands of")) << "of the one that was first";
  join(client, wire::Role::client, client_id);
  hear(client, wire::ResumePool{pool, {}, "sweep", 1});
  EXPECT_THAT(failure(client), HasSubstr("taken over"));
}

TEST_F(Holders, WhoComesAfterItsTimeNeedNotWait) {
  open_named();
  lose(client);
  wait(limits::client_return_grace);
  wants(other, other_id);
  EXPECT_TRUE(has_it(other));
}

TEST_F(Holders, AProgramThatIsSeenToBeGoneIsNotWaitedFor) {
  open_named();
  lose(client);
  wants(other, other_id);
  EXPECT_EQ(told<wire::PoolHeld>(other).at(0).process, "") << "its own opening had no name";
  join(third, wire::Role::client, third_id);
  hear(third, wire::HolderGone{pool, ClientId{client_id}});
  EXPECT_FALSE(has_it(third)) << "it does not even want the pool";
  hear(other, wire::HolderGone{pool, ClientId{4}});
  EXPECT_FALSE(has_it(other)) << "that is another one";
  hear(other, wire::HolderGone{pool, ClientId{client_id}});
  EXPECT_TRUE(has_it(other));
  keep();
  lose(other);
  wants(third, third_id);
  EXPECT_EQ(told<wire::PoolHeld>(third).at(0).process, "process 101");
}

TEST_F(Holders, ItsOutcomesComeBeforeTheNewsThatThePoolIsTaken) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 1);
  finish(worker, 1, "one");
  keep();
  lose(client);
  join(client, wire::Role::client, client_id);
  join(other, wire::Role::client, other_id);
  effects.clear();  // both come in one turn: the outcome waits for others that could share its message
  std::vector<wire::Message> resumes, steals;
  resumes.emplace_back(wire::ResumePool{pool, {}, "sweep", 1});
  steals.emplace_back(wire::OpenPool{pool, {}, false, {}, "sweep", true, true});
  machine.on_messages(client, std::move(resumes), now, effects);
  machine.on_messages(other, std::move(steals), now, effects);
  machine.flush(now, effects);
  EXPECT_THAT(values(client), ElementsAre("1=one"));
  const auto last = std::find_if(effects.rbegin(), effects.rend(), [](const Effect& effect) {
    const auto* send = std::get_if<Send>(&effect);
    return send && send->session == client;
  });
  ASSERT_NE(last, effects.rend());
  EXPECT_TRUE(std::holds_alternative<wire::PoolFailed>(std::get<Send>(*last).message));
  EXPECT_TRUE(has_it(other));
}

/// Whatever a client says of a pool that it waits for or has, and whenever it hangs up after that: nobody is given a
/// pool who is not there, and no pool stays in the hands of one who is gone.
TEST_F(Holders, WhoSaysWhatCannotBeAndGoesLeavesNothingBehind) {
  const std::vector<wire::Message> anything{
      wire::OpenPool{pool, {}, false, {}},
      wire::ResumePool{pool, {}},
      wire::PoolResumed{pool},
      wire::SubmitJobs{pool, {{7, 0, {}}}},
      wire::AddUpdate{pool, 1, {}},
      wire::AckOutcomes{pool, {1}},
      wire::WantWorkers{pool, 2},
      wire::OpenPool{pool, {}, false, {}, "sweep", true, false},
      wire::WantOutcomes{pool, 1, false},
      wire::OpenPool{pool, {}, false, {}, "sweep", true, true},
      wire::HolderGone{pool, ClientId{client_id}},
      wire::ResumePool{pool, {}, "sweep", 1},
      wire::ClosePool{pool, true},
      wire::ResumePool{pool, {}, "sweep", 1, {}, true},
      wire::RepairPool{pool, ""},
  };
  open_named();
  for (const bool holds : {false, true}) {
    for (const wire::Message& message : anything) {
      join(third, wire::Role::client, third_id);
      hear(third, wire::OpenPool{pool, {}, false, {}, "sweep", true, true});
      keep_all();
      if (!holds) lose(third);
      wants(other, other_id, holds);
      keep_all();
      hear(other, wire::Message(message));
      collect();
      machine.check_invariants();
      lose(other);
      machine.check_invariants();
      wait(limits::client_return_grace + 1s);
      keep_all();
      wants(fourth, fourth_id);
      EXPECT_TRUE(has_it(fourth)) << wire::name_of(message);
      keep_all();
      hear(fourth, wire::ClosePool{pool, true});
      keep_all();
      lose(fourth);
      lose(third);
    }
  }
}

TEST_F(Holders, StealingAndLeavingAreQuicker) {
  open_named();
  lose(client);
  wants(other, other_id);
  wants(third, third_id, true);
  EXPECT_TRUE(has_it(third));
  EXPECT_THAT(failure(other), HasSubstr("in the hands of"));
  keep();
  hear(third, wire::ClosePool{pool, true});
  collect();
  wants(other, other_id);
  EXPECT_FALSE(has_it(other));
  keep();
  EXPECT_TRUE(has_it(other));
  keep();
  hear(other, wire::Goodbye{""});
  wants(client, client_id);
  EXPECT_TRUE(has_it(client));
}

TEST_F(Holders, OneThatWaitsMayGoAway) {
  open_named();
  lose(client);
  wants(other, other_id);
  lose(other);
  wait(60s);
  machine.check_invariants();
  wants(third, third_id);
  EXPECT_TRUE(has_it(third));
}

TEST_F(Holders, ANewHeadGivesItsProgramTimeToComeBack) {
  open_named();
  keep();
  restart();
  node_says();
  now += 60s;  // so long it read
  machine.door_opened(now);
  wants(other, other_id);
  EXPECT_EQ(told<wire::PoolHeld>(other).at(0).pid, 4711U) << "the journal knows whose it is";
  EXPECT_EQ(told<wire::PoolHeld>(other).at(0).patience_ms, 28'000U);
  hear(client, wire::ResumePool{pool, {}, "sweep", 1});
  EXPECT_THAT(told<wire::PoolKnown>(client), SizeIs(1));
  EXPECT_THAT(failure(other), HasSubstr("in the hands of"));
}

TEST_F(Holders, WhoWasRobbedIsNotHeardWhenTheThiefHasLeft) {
  open_named();
  submit_and_keep(1, 2);
  lose(client);
  wants(other, other_id, true);
  hear(other, wire::SubmitJobs{pool, {{3, 0, bytes("x")}}});
  keep_all();
  hear(other, wire::ClosePool{pool, true});
  keep_all();
  for (int life = 0; life < 2; ++life) {
    join(client, wire::Role::client, client_id);
    hear(client, wire::ResumePool{pool, {3}, "sweep", 1});
    EXPECT_THAT(failure(client), HasSubstr("taken over"))
        << "it has a third job too, and would take the other's for it";
    restart();
    node_says();
  }
}

TEST_F(Holders, ANewHeadWaitsForNobodyWhoHasLeft) {
  open_named();
  keep();
  hear(client, wire::ClosePool{pool, true});
  keep();
  restart();
  node_says();
  wants(other, other_id);
  EXPECT_TRUE(has_it(other));
}

TEST_F(Holders, LookingTakesNothing) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 4);
  finish(worker, 1, "one");
  collect();
  ErrorInfo error;
  error.message = "boom";
  hear(node, wire::JobFailed{worker, pool, {2, {77, 1}}, 10, error, bytes("pickle")});
  collect();
  finish(worker, 3, "three");  // on its way to the journal
  collect();
  hear(viewer, wire::SeeOutcomes{"sweep", 0});
  EXPECT_THAT(told<wire::OutcomesSeen>(viewer).at(0).items, IsEmpty());
  keep_all();
  EXPECT_THAT(values(client), ElementsAre("1=one", "3=three"));
  for (int i = 0; i < 2; ++i) {
    const Lines all = hear(viewer, wire::SeeOutcomes{"sweep", 0});
    EXPECT_THAT(all, SizeIs(1)) << "nobody else hears of it, nor the journal";
    const auto seen = told<wire::OutcomesSeen>(viewer).at(0);
    EXPECT_TRUE(seen.known);
    EXPECT_FALSE(seen.more);
    EXPECT_EQ(seen.last, 4U);
    ASSERT_THAT(seen.items, SizeIs(3));
    EXPECT_EQ(seen.items[0].payload.view(), "one");
    EXPECT_TRUE(seen.items[1].failed);
    EXPECT_EQ(seen.items[1].error.message, "boom");
    EXPECT_EQ(seen.items[1].payload.view(), "pickle");
  }
  hear(viewer, wire::SeeOutcomes{"sweep", 2});
  EXPECT_THAT(told<wire::OutcomesSeen>(viewer).at(0).items, SizeIs(1));
  hear(viewer, wire::SeeOutcomes{"other", 0});
  EXPECT_FALSE(told<wire::OutcomesSeen>(viewer).at(0).known);
  hear(client, wire::AckOutcomes{pool, {1, 2, 3}});
  keep();
  hear(viewer, wire::SeeOutcomes{"sweep", 0});
  EXPECT_THAT(told<wire::OutcomesSeen>(viewer).at(0).items, IsEmpty()) << "they were taken";
}

TEST_F(Holders, ManyOutcomesAreSeenPageByPage) {
  const WorkerId worker = open_named();
  submit_and_keep(1, 5);
  for (JobSequence i = 1; i <= 5; ++i) {
    finish(worker, i, std::string(400'000, 'x'));
    collect();
  }
  keep_all();
  std::vector<JobSequence> seen;
  wire::OutcomesSeen page;
  int pages = 0;
  do {
    hear(viewer, wire::SeeOutcomes{"sweep", page.last});
    page = told<wire::OutcomesSeen>(viewer).at(0);
    for (const auto& item : page.items) seen.push_back(item.sequence);
    ++pages;
  } while (page.more);
  EXPECT_THAT(seen, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(pages, 3);
}

TEST_F(Holders, APageIsAMessageWhateverItsErrorsSay) {
  const WorkerId worker = open_named();
  constexpr JobSequence jobs = 1100;
  submit_and_keep(1, jobs);
  finish(worker, 1, std::string(limits::inline_payload_max + 1, 'x'));
  collect();
  ErrorInfo error{ErrorKind::job_error, std::string(700, 'm'), "t", std::string(200, 'N'), std::string(60, 'h')};
  for (JobSequence i = 2; i <= jobs; ++i) {
    hear(node, wire::JobFailed{worker, pool, {i, {77, 1}}, 1, error, {}});
    collect();
  }
  keep_all();
  std::size_t seen = 0;
  wire::OutcomesSeen page;
  do {
    hear(viewer, wire::SeeOutcomes{"sweep", page.last});
    page = told<wire::OutcomesSeen>(viewer).at(0);
    seen += page.items.size();
    std::string text;
    std::vector<Payload> beside;
    wire::encode(wire::Message(page), text, beside);
    EXPECT_LE(text.size(), limits::batch_bytes_max);
  } while (page.more);
  EXPECT_EQ(seen, jobs);
}

TEST_F(Holders, APoolThatBreaksEndsItsJobsWithOneError) {
  constexpr JobSequence jobs = 100'000;
  node_says();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  keep();
  const auto started = told<wire::StartWorker>(node);
  ASSERT_THAT(started, SizeIs(1));
  for (JobSequence first = 1; first < jobs; first += 10'000) submit_and_keep(first, first + 9'999);
  ErrorInfo error;
  error.message = std::string(20'000, 'x');
  hear(node, wire::WorkerExited{started[0].worker, ExitCause::init_failed, error, {}, {}});
  ASSERT_THAT(told<wire::PoolFailed>(client), SizeIs(1)) << "there is no other slot";
  collect();
  keep_all();
  lose(client);
  join(client, wire::Role::client, client_id);
  hear(client, wire::ResumePool{pool, {}, "sweep", 1});
  EXPECT_THAT(told<wire::JobError>(client), IsEmpty());
  std::size_t told_of = 0;
  const auto errors = told<wire::JobErrors>(client);
  for (const auto& some : errors) told_of += some.sequences.size();
  EXPECT_EQ(told_of, jobs);
  EXPECT_LE(errors.size(), 3U) << "texts";
  std::size_t bytes_before = 0, bytes_after = 0;
  JournalState state, again;
  for (const auto& [number, entry] : journal) {
    bytes_before += entry.bytes.size();
    state.add(number, store::Entry(entry));
  }
  EXPECT_EQ(state.undelivered.size(), jobs);
  EXPECT_TRUE(state.undelivered.at(1).error.same_as(state.undelivered.at(jobs).error));
  const std::uint64_t done = state.done;
  for (store::Entry& entry : state.take()) {
    bytes_after += entry.bytes.size();
    add(again, std::move(entry));
  }
  EXPECT_EQ(again.undelivered.size(), jobs);
  EXPECT_EQ(again.done, done);
  EXPECT_TRUE(again.undelivered.at(1).error.same_as(again.broken));
  EXPECT_LE(bytes_after, bytes_before);
}

}  // namespace
}  // namespace dc::head

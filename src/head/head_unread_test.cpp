// Named pools of an earlier head while their journals are still being read.
#include <nlohmann/json.hpp>

#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Unread : public NamedStory {
 protected:
  static constexpr SessionId other{5};

  /// A head that is to read a pool with two jobs, one of which runs on the node.
  void restart_with_two_jobs() {
    worker_ = open_named();
    submit_and_keep(1, 2);
    restart(false);
  }
  void node_is_back() { node_says({{worker_, pool, 0, true, 99, 0, {{1, {77, 1}}}}}, {{pool, 0, {}}}); }
  /// The whole of what `status` shows.
  [[nodiscard]] nlohmann::json status() const { return nlohmann::json::parse(machine.status_json(now)); }
  WorkerId worker_;
};

TEST_F(Unread, WhoHadThePoolWaitsUntilItIsRead) {
  restart_with_two_jobs();
  EXPECT_THAT(hear(client, wire::ResumePool{pool, {}, "sweep", 3}), IsEmpty());
  EXPECT_THAT(hear(client, wire::WantOutcomes{pool, 2, false}), IsEmpty()) << "what comes behind it waits, too";
  node_is_back();
  journal_is_read();
  EXPECT_THAT(told<wire::PoolKnown>(client), SizeIs(1));
  finish(worker_, 1, "one");
  keep();
  EXPECT_THAT(values(client), ElementsAre("1=one"));
}

TEST_F(Unread, NodesKeepWhatTheyHaveOfItForAsLongAsItTakes) {
  restart_with_two_jobs();
  node_is_back();
  wait(2 * limits::unknown_pool_grace);
  EXPECT_THAT(told<wire::ClosePoolHere>(node), IsEmpty());
  journal_is_read();
  EXPECT_THAT(told<wire::StopWorker>(node), IsEmpty());
  EXPECT_THAT(told<wire::RunJobs>(node), IsEmpty()) << "job 1 runs there";
  wait(1s);
  finish(worker_, 1, "one");
  ASSERT_THAT(told<wire::RunJobs>(node), SizeIs(1));
  EXPECT_EQ(told<wire::RunJobs>(node)[0].items[0].attempt.sequence, 2U);
}

TEST_F(Unread, WhatNodesHaveOfPoolsThatAreNotAmongThemIsForgottenAtLast) {
  restart_with_two_jobs();
  node_says({}, {{PoolId{4711}, 0, {}}});
  wait(2 * limits::unknown_pool_grace);
  EXPECT_THAT(told<wire::ClosePoolHere>(node), IsEmpty());
  journal_is_read();
  EXPECT_THAT(told<wire::ClosePoolHere>(node), SizeIs(1));
}

TEST_F(Unread, OthersAreServedMeanwhile) {
  restart_with_two_jobs();
  node_says();
  hear(client, wire::ResumePool{pool, {}, "sweep", 3});
  hear(client, wire::OpenPool{PoolId{50}, {}, false, bytes("spec")});
  EXPECT_THAT(told<wire::PoolOpened>(client), SizeIs(1)) << "another pool of the same client";
  join(other, wire::Role::client, 300);
  hear(other, wire::OpenPool{PoolId{60}, {}, false, bytes("spec"), "a new one", false, false});
  keep();
  EXPECT_THAT(told<wire::PoolOpened>(other), SizeIs(1)) << "one with a name that is new";
}

TEST_F(Unread, ItIsNotOpenedAnewUnderItsName) {
  restart_with_two_jobs();
  join(other, wire::Role::client, 300);
  EXPECT_THAT(hear(other, wire::OpenPool{PoolId{60}, {}, false, bytes("spec"), "sweep", false, true}), IsEmpty());
  journal_is_read();
  ASSERT_THAT(told<wire::PoolOpened>(other), SizeIs(1));
  EXPECT_EQ(told<wire::PoolOpened>(other)[0].id, pool);
}

TEST_F(Unread, WhoLooksAtItWaitsToo) {
  restart_with_two_jobs();
  join(other, wire::Role::viewer, 0);
  EXPECT_THAT(hear(other, wire::SeeOutcomes{"sweep", 0}), IsEmpty());
  lose(client);
  journal_is_read();
  ASSERT_THAT(told<wire::OutcomesSeen>(other), SizeIs(1));
  EXPECT_TRUE(told<wire::OutcomesSeen>(other)[0].known);
}

TEST_F(Unread, OneThatCannotBeReadIsRefusedToWhoeverWaits) {
  restart_with_two_jobs();
  hear(client, wire::ResumePool{pool, {}, "sweep", 3});
  journal_is_read("a page is damaged");
  ASSERT_THAT(told<wire::PoolFailed>(client), SizeIs(1));
  EXPECT_THAT(told<wire::PoolFailed>(client)[0].error.message, HasSubstr("a page is damaged"));
}

TEST_F(Unread, WhoSaysMoreAndMoreMeanwhileIsCutOff) {
  restart_with_two_jobs();
  hear(client, wire::ResumePool{pool, {}, "sweep", 3});
  for (std::size_t i = 1; i < limits::held_messages_max; ++i) hear(client, wire::WantOutcomes{pool, 2, false});
  EXPECT_THAT(told<wire::PoolKnown>(client), IsEmpty());
  EXPECT_THAT(hear(client, wire::WantOutcomes{pool, 2, false}), Contains(HasSubstr("you broke the protocol")));
}

TEST_F(Unread, StatusTellsHowFarItIs) {
  restart_with_two_jobs();
  effects.clear();
  machine.reading(log_of("sweep"), 1, "", effects);
  EXPECT_THAT(effects, IsEmpty());
  EXPECT_EQ(status()["head"]["reading"], (nlohmann::json{{"pools", 1}, {"pools_read", 0}, {"trouble", nullptr}}));
  const nlohmann::json shown = status()["pools"].at(0);
  EXPECT_EQ(shown["name"], "0000000000000005");
  EXPECT_EQ(shown["reading"], (nlohmann::json{{"entries", journal.size()}, {"entries_read", 1}}));
  machine.reading(log_of("sweep"), 1, "no answer", effects);
  machine.reading(log_of("sweep"), 1, "no answer", effects);
  EXPECT_THAT(text_of(effects), ElementsAre(HasSubstr("no answer"))) << "told once";
  EXPECT_EQ(status()["head"]["reading"]["trouble"], "no answer");
  journal_is_read();
  EXPECT_TRUE(status()["head"]["reading"].is_null());
  EXPECT_TRUE(status()["pools"].at(0)["reading"].is_null());
}

TEST_F(Unread, WhatSomebodyWaitsForIsReadFirstThenTheSmallest) {
  effects.clear();
  machine.await_pools({1, 2, 3, 5}, {{1, 9}, {2, 4}, {3, 7}, {5, 100}}, now, effects);
  EXPECT_THAT(text_of(effects), ElementsAre("journal 2: read"));
  hear(client, wire::OpenPool{asked, {}, false, bytes("spec"), "sweep", false, false});
  const auto next = [&](store::LogId log) {
    effects.clear();
    machine.pool_read(log, JournalState(), "lost", now, effects);
    return text_of(effects);
  };
  EXPECT_THAT(next(2), Contains("journal 5: read"));
  EXPECT_THAT(next(5), Contains("journal 3: read"));
  EXPECT_THAT(next(3), Contains("journal 1: read"));
  EXPECT_THAT(next(1), Not(Contains(HasSubstr(": read"))));
}

}  // namespace
}  // namespace dc::head

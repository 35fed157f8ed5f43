// Sessions that break, come back, are replaced, say goodbye, or break the rules.
#include "head/story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr SessionId again{9};

// --- Clients ----------------------------------------------------------------------------------------------------

TEST_F(Story, APoolWhoseClientComesBackGoesOn) {
  const WorkerId worker = open();
  submit(1, 2);
  EXPECT_EQ(lose(client), Lines{});
  hear(node, wire::JobsDone{worker, pool, {{first_attempt, 60'000'000, bytes("value")}}});
  EXPECT_THAT(told<wire::JobValues>(client), IsEmpty()) << "nobody is there";
  EXPECT_EQ(wait(limits::client_return_grace - 1s), Lines{});
  join(again, wire::Role::client, client_id);
  EXPECT_EQ(hear(again, wire::ResumePool{pool, {1, 2, 3}}),
            (Lines{"9: JobValues [10 [[1 <value>]]]", "9: PoolKnown [10 true 0 [3] 0 [] false]",
                   "9: PoolState [10 1 0 1 1 1]"}));
  EXPECT_EQ(wait(60s), Lines{}) << "the grace is over, and forgotten";
}

TEST_F(Story, AClientThatWasAwayHearsHowItsUpdatesWent) {
  const WorkerId worker = open();
  hear(client, wire::AddUpdate{pool, 1, bytes("u")});
  hear(client, wire::AddUpdate{pool, 2, bytes("u")});
  lose(client);
  ErrorInfo error;
  error.message = "handle_update raised";
  hear(node, wire::UpdatesApplied{worker, 1, true, error, bytes("pickle")});
  hear(node, wire::UpdatesApplied{worker, 2, false, {}, {}});
  join(again, wire::Role::client, client_id);
  hear(again, wire::ResumePool{pool, {}});
  const auto failed = told<wire::UpdateFailed>(again);
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].number, 1U);
  EXPECT_EQ(failed[0].error.message, "handle_update raised");
  EXPECT_EQ(failed[0].exception.view(), "pickle");
  const Lines all = text_of(effects);
  EXPECT_TRUE(all.back().starts_with("9: PoolState") || all.back().starts_with("9: UpdateApplied [10 2]"))
      << all.back();
  EXPECT_THAT(all, testing::Contains("9: UpdateApplied [10 2]"));
}

TEST_F(Story, APoolWhoseClientStaysAwayIsClosed) {
  open();
  lose(client);
  EXPECT_EQ(wait(limits::client_return_grace - 1s), Lines{});
  EXPECT_EQ(wait(1s), (Lines{"log: pool a: its client did not come back", "log: pool a is closed",
                             "2: ClosePoolHere [10] in lane a"}));
  join(again, wire::Role::client, client_id);
  EXPECT_EQ(hear(again, wire::ResumePool{pool, {1}}), (Lines{"9: PoolKnown [10 false 0 [] 0 [] false]"}));
}

TEST_F(Story, AHeadThatWasFrozenGivesTheClientItsTimeAnew) {
  open();
  lose(client);
  now += limits::client_return_grace + 30s;  // the timer could not fire
  effects.clear();
  machine.flush(now, effects);
  EXPECT_EQ(text_of(effects), Lines{});
  EXPECT_GT(machine.next_deadline(), now);
  EXPECT_THAT(wait(30s + limits::client_return_grace), testing::Contains("log: pool a is closed"));
}

TEST_F(Story, AClientThatSaysGoodbyeIsNotWaitedFor) {
  open();
  EXPECT_EQ(hear(client, wire::Goodbye{""}), (Lines{"log: pool a is closed", "2: ClosePoolHere [10] in lane a"}));
  EXPECT_EQ(lose(client), Lines{});
}

TEST_F(Story, APoolIsClosedOnRequestAndLateMessagesAreIgnored) {
  open();
  EXPECT_EQ(hear(client, wire::ClosePool{pool}),
            (Lines{"1: PoolClosed [10]", "log: pool a is closed", "2: ClosePoolHere [10] in lane a"}));
  EXPECT_EQ(submit(1, 1), Lines{});
}

TEST_F(Story, AClientThatClosesItsPoolInANewSessionDoesNotLeaveItBehind) {
  open();
  lose(client);
  join(again, wire::Role::client, client_id);
  EXPECT_EQ(hear(again, wire::ClosePool{pool}),
            (Lines{"9: PoolClosed [10]", "log: pool a is closed", "2: ClosePoolHere [10] in lane a"}));
}

TEST_F(Story, AnUnknownPoolComesBackFromItsClientAndWaitsForAllOfIt) {
  join(again, wire::Role::client, 300);
  EXPECT_EQ(hear(again, wire::ResumePool{pool, {1}}), (Lines{"9: PoolKnown [10 false 0 [] 0 [] false]"}));
  hear(again, wire::OpenPool{pool, {}, true, bytes("spec")});
  EXPECT_THAT(told<wire::PoolOpened>(again), SizeIs(1));
  EXPECT_THAT(text_of(effects), testing::Contains("log: pool a () of here (pid 4711) is back"));
  hear(again, wire::SubmitJobs{pool, {{1, 0, bytes("x")}}});
  hear(again, wire::PoolResumed{pool});
  wait(limits::recovery_hold);
  EXPECT_THAT(told<wire::PoolFailed>(again), IsEmpty());
}

TEST_F(Story, ANewerSessionOfTheClientTakesItsPoolOver) {
  open();
  submit(1, 1);
  join(again, wire::Role::client, client_id);
  EXPECT_EQ(text_of(effects), Lines{"1: closed (the client opened a newer session)"});
  EXPECT_EQ(hear(again, wire::ResumePool{pool, {1}}),
            (Lines{"9: PoolKnown [10 true 0 [] 0 [] false]", "9: PoolState [10 1 0 1 1 1]"}));
  EXPECT_EQ(submit(2, 2), Lines{}) << "from the old session, before it has noticed";
  EXPECT_EQ(hear(client, wire::ResumePool{pool, {}}), Lines{}) << "late: it must not take the pool back";
  EXPECT_EQ(lose(client), Lines{});
  EXPECT_EQ(wait(60s), Lines{}) << "the pool has a client";
}

TEST_F(Story, AnotherClientCannotTouchAPool) {
  open();
  join(again, wire::Role::client, 101);
  EXPECT_EQ(
      hear(again, wire::ClosePool{pool}),
      (Lines{"log: here (pid 4711) sent ClosePool for pool a, which is not its own: ignored", "9: PoolClosed [10]"}));
  EXPECT_EQ(hear(again, wire::SubmitJobs{pool, {{1, 0, bytes("x")}}}), Lines{}) << "one line is enough";
  EXPECT_EQ(hear(again, wire::ResumePool{pool, {}}), (Lines{"9: PoolKnown [10 false 0 [] 0 [] false]"}));
  hear(again, wire::OpenPool{pool, {}, true, {}});
  EXPECT_EQ(text_of(effects).back(), "9: closed (you broke the protocol (OpenPool of another client's pool))");
  EXPECT_EQ(submit(1, 1).size(), 1U) << "its owner goes on";
}

// --- Nodes ------------------------------------------------------------------------------------------------------

TEST_F(Story, ANodeThatBreaksOffAndComesBackGoesOnWithItsJob) {
  const WorkerId worker = open();
  submit(1, 1);
  EXPECT_EQ(lose(node), (Lines{"log: node there (pid 4711) is disconnected", "1: PoolState [10 0 0 0 0 0]"}));
  join(again, wire::Role::node, node_id);
  const WorkerReport report{worker, pool, 0, true, 99, 0, {first_attempt}};
  EXPECT_EQ(hear(again, wire::NodeState{{{0, "cpu", 0}}, {{pool, 0, {}}}, {report}, {}}),
            (Lines{"log: node there (pid 4711) has joined with 1 slot", "9: ActivatePool [10] in lane a",
                   "9: ResultWindow [10 67108864 []] in lane a", "1: PoolState [10 1 0 1 1 1]"}));
  hear(again, wire::JobsDone{worker, pool, {{first_attempt, 5, bytes("v")}}});
  EXPECT_THAT(told<wire::JobValues>(client), SizeIs(1));
}

TEST_F(Story, NothingIsSentToANewSessionOfANodeBeforeItSaysWhatItHas) {
  const WorkerId worker = open();
  join(again, wire::Role::node, node_id);
  EXPECT_EQ(text_of(effects), (Lines{"2: closed (the node opened a newer session)", "1: PoolState [10 0 0 0 0 0]"}));
  EXPECT_EQ(submit(1, 1), Lines{});
  EXPECT_EQ(lose(node), Lines{}) << "the old one";
  const WorkerReport report{worker, pool, 0, true, 99, 0, {}};
  hear(again, wire::NodeState{{{0, "cpu", 0}}, {{pool, 0, {}}}, {report}, {}});
  EXPECT_THAT(told<wire::RunJobs>(again), SizeIs(1));
}

TEST_F(Story, ANodeThatStaysAwayIsForgotten) {
  open();
  submit(1, 1);
  lose(node);
  wait(60s);
  EXPECT_THAT(machine.status_json(now), HasSubstr("\"nodes\":[]"));
  EXPECT_EQ(machine.next_deadline(), never);
  join(again, wire::Role::node, node_id);
  hear(again, wire::NodeState{{{0, "cpu", 0}}, {}, {}, {}});
  EXPECT_THAT(told<wire::StartWorker>(again), SizeIs(1)) << "the job waits for a worker";
}

TEST_F(Story, ANodeThatSaysGoodbyeIsGoneAtOnce) {
  open();
  EXPECT_EQ(hear(node, wire::Goodbye{""}),
            (Lines{"log: node there (pid 4711) has left", "1: PoolState [10 0 0 0 0 0]"}));
  EXPECT_EQ(lose(node), Lines{});
}

// --- Rules ------------------------------------------------------------------------------------------------------

TEST_F(Story, MessagesForAnotherRoleEndTheSessionWithOneLine) {
  std::vector<wire::Message> wrong;
  for (int i = 0; i < 3; ++i) wrong.emplace_back(wire::WorkerReady{WorkerId{1}, 1});
  wrong.emplace_back(wire::OpenPool{pool, {}, false, {}});
  EXPECT_EQ(hear(client, std::move(wrong)),
            (Lines{"log: here (pid 4711) at unix broke the protocol (WorkerReady is not for its role): session closed",
                   "1: closed (you broke the protocol (WorkerReady is not for its role))"}));
  EXPECT_EQ(submit(1, 1), Lines{}) << "nothing of it is heard any more";
}

TEST_F(Story, ANodeCannotReportWhatCannotBe) {
  const WorkerId worker = open();
  const auto wrong = [&](wire::NodeState report) {
    const SessionId session{50};
    join(session, wire::Role::node, 1000);
    hear(session, std::move(report));
    const auto* closing = effects.empty() ? nullptr : std::get_if<CloseSession>(&effects.back());
    const std::string reason = closing ? closing->reason : "";
    lose(session);
    return reason;
  };
  const std::vector<SlotInfo> slots{{0, "cpu", 0}, {1, "cpu", 0}};
  const auto report = [&](WorkerId id, std::uint32_t slot) { return WorkerReport{id, pool, slot, true, 1, 0, {}}; };
  const WorkerId old{1}, older{2}, next{worker.value + 1};
  EXPECT_THAT(wrong({{slots[0], slots[0]}, {}, {}, {}}), HasSubstr("slot 0 twice"));
  EXPECT_THAT(wrong({slots, {}, {report(old, 2)}, {}}), HasSubstr("no free slot 2"));
  EXPECT_THAT(wrong({slots, {}, {report(old, 0), report(older, 0)}, {}}), HasSubstr("no free slot 0"));
  EXPECT_THAT(wrong({slots, {}, {report(old, 0), report(old, 1)}, {}}), HasSubstr("one worker twice"));
  EXPECT_THAT(wrong({slots, {}, {report(worker, 0)}, {}}), HasSubstr("not its own"));
  EXPECT_THAT(wrong({slots, {}, {report(next, 0)}, {}}), HasSubstr("not its own"));
  EXPECT_EQ(wrong({slots, {}, {report(old, 0), report(older, 1)}, {}}), "");
  EXPECT_EQ(hear(node, wire::NodeState{}).back(), "2: closed (you broke the protocol (a second NodeState))");
}

TEST_F(Story, EveryMessageIsForItsRoleAlone) {
  const auto refused = [&](wire::Role role, wire::Message message) {
    const SessionId session{50};
    join(session, role, 1000);
    hear(session, std::move(message));
    const bool closed = std::any_of(effects.begin(), effects.end(),
                                    [](const Effect& effect) { return std::holds_alternative<CloseSession>(effect); });
    lose(session);
    return closed;
  };
  EXPECT_TRUE(refused(wire::Role::node, wire::ClosePool{pool}));
  EXPECT_TRUE(refused(wire::Role::node, wire::JobsDone{})) << "before its NodeState";
  EXPECT_TRUE(refused(wire::Role::viewer, wire::SubmitJobs{pool, {}}));
  EXPECT_TRUE(refused(wire::Role::viewer, wire::NodeState{}));
  EXPECT_TRUE(refused(wire::Role::client, wire::NeedProgram{}));
  EXPECT_TRUE(refused(wire::Role::client, wire::OpenPoolHere{}));
  EXPECT_TRUE(refused(wire::Role::client, wire::PoolOpened{pool, pool}));
  EXPECT_TRUE(refused(wire::Role::client, wire::Hello{}));
  EXPECT_TRUE(refused(wire::Role::client, wire::OpenPool{PoolId{0}, {}, false, {}}));
  EXPECT_FALSE(refused(wire::Role::viewer, wire::StatusRequest{}));
  EXPECT_FALSE(refused(wire::Role::viewer, wire::Goodbye{}));
}

}  // namespace
}  // namespace dc::head

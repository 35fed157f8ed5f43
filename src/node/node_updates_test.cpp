// Updates that failed, and a head that may not have heard of it.
#include <gtest/gtest.h>

#include "node/effect_text_for_tests.hpp"
#include "node/node_machine.hpp"

namespace dc::node {
namespace {

using ::testing::Test;

class FailedUpdate : public Test {
 protected:
  FailedUpdate() { claims = &world.ready(w1); }
  static wire::UpdateDone raised(UpdateNumber number) {
    wire::UpdateDone done{number, true, {}, {}};
    done.error->message = "KeyError";
    return done;
  }
  void updates(UpdateNumber first, UpdateNumber last) {
    for (UpdateNumber number = first; number <= last; ++number) world.head(world.update(number));
    world.turn();
  }
  void dies_in(UpdateNumber number) {
    claims->update_number = number;
    claims->update_started_at_ns = 1;
    world.exits(w1, {{}, SIGSEGV, {}, {}});
  }
  /// What the next session hears before it has the pool's jobs, and behind that.
  Lines next_session() {
    world.machine.session_closed();
    world.turn();
    world.connect();
    return world.turn();
  }
  Lines activated() {
    world.head(wire::ActivatePool{NodeWorld::pool});
    return world.turn();
  }
  static Lines report(UpdateNumber all, UpdateNumber applied) {
    return {
        fmt::format("NodeState pool 7: updates {} finished [] worker 1: pool 7 slot 0 ready pid 4001 updates {} "
                    "held []",
                    all, applied)};
  }

  NodeWorld world;
  wire::Claims* claims;
};

TEST_F(FailedUpdate, WhatWasRaisedWhileNobodyHeardItIsToldBeforeItCountsAsApplied) {
  updates(1, 3);
  world.machine.session_closed();
  world.worker(w1, wire::UpdateDone{1}, raised(2), wire::UpdateDone{3});
  EXPECT_EQ(world.turn(), Lines{});
  EXPECT_EQ(next_session(), report(3, 1));
  EXPECT_EQ(activated(), (Lines{"UpdatesApplied 1 2: KeyError", "UpdatesApplied 1 3"}));
}

TEST_F(FailedUpdate, WhatWasToldToADyingSessionIsToldAgain) {
  updates(1, 1);
  world.worker(w1, raised(1));
  EXPECT_EQ(world.turn(), (Lines{"UpdatesApplied 1 1: KeyError", "UpdatesApplied 1 1"}));
  for (int session = 0; session < 2; ++session) {
    EXPECT_EQ(next_session(), report(1, 0));
    EXPECT_EQ(activated(), (Lines{"UpdatesApplied 1 1: KeyError", "UpdatesApplied 1 1"}));
  }
}

TEST_F(FailedUpdate, NothingIsSaidOfUpdatesBeforeTheHeadHasThePool) {
  updates(1, 2);
  next_session();
  world.worker(w1, wire::UpdateDone{1}, raised(2));
  EXPECT_EQ(world.turn(), Lines{});
  EXPECT_EQ(activated(), (Lines{"UpdatesApplied 1 2: KeyError", "UpdatesApplied 1 2"}));
}

TEST_F(FailedUpdate, AWorkerThatDiedInItIsReportedUntilTheHeadHasHeardOfIt) {
  updates(1, 1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.turn();
  dies_in(1);  // the session dies with what is said now
  world.turn();
  for (int session = 0; session < 2; ++session) {
    EXPECT_EQ(next_session(), report(1, 0));
    const Lines told = activated();
    ASSERT_EQ(told.size(), 1U);
    EXPECT_TRUE(told[0].starts_with("WorkerExited 1 died running [] unstarted []: ")) << told[0];
    EXPECT_NE(told[0].find("while it applied update 1"), std::string::npos) << told[0];
  }
  world.start(w2, 0);  // the slot is free: the head knows
  world.turn();
  const Lines state = next_session();
  ASSERT_EQ(state.size(), 1U);
  EXPECT_TRUE(state[0].ends_with(" finished [] worker 2: pool 7 slot 0 starting pid 0 updates 0 held []")) << state[0];
  EXPECT_EQ(activated(), Lines{});
}

TEST_F(FailedUpdate, AWorkerThatDiedInItWhileNobodyHeardItIsReportedToo) {
  updates(1, 1);
  world.machine.session_closed();
  dies_in(1);
  EXPECT_EQ(next_session(), report(1, 0));
  EXPECT_EQ(activated().size(), 1U);
}

TEST_F(FailedUpdate, WhatAWorkerRaisedThatIsGoneIsTold) {
  updates(1, 2);
  world.machine.session_closed();
  world.worker(w1, raised(1), wire::UpdateDone{2});
  world.exits(w1, {{}, SIGSEGV, {}, {}});
  EXPECT_EQ(next_session(), report(2, 0));
  const Lines told = activated();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0], "UpdatesApplied 1 1: KeyError");
  EXPECT_TRUE(told[1].starts_with("WorkerExited 1 requested ")) << told[1];
}

TEST_F(FailedUpdate, AWorkerThatEndedOtherwiseIsNot) {
  updates(1, 1);
  world.worker(w1, wire::UpdateDone{1});
  world.exits(w1, {{}, SIGSEGV, {}, {}});
  EXPECT_EQ(next_session(), (Lines{"NodeState pool 7: updates 1 finished []"}));
}

TEST_F(FailedUpdate, AClosedPoolTakesAllOfItWithIt) {
  updates(1, 1);
  dies_in(1);
  next_session();
  world.head(wire::ClosePoolHere{NodeWorld::pool});
  EXPECT_EQ(world.turn().size(), 1U) << "WorkerExited: the head takes the slot for occupied";
  EXPECT_EQ(next_session(), (Lines{"NodeState"}));
}

TEST_F(FailedUpdate, TheLatestAreKeptAndFewOfThemWhole) {
  constexpr UpdateNumber all = limits::failed_updates_kept + 10;
  updates(1, all);
  for (UpdateNumber number = 1; number <= all; ++number) {
    wire::UpdateDone done = raised(number);
    done.error->message = std::string(limits::error_text_bytes_max, 'x');
    world.worker(w1, done);
  }
  world.turn();
  EXPECT_EQ(next_session(), report(all, 10));
  std::size_t bytes = 0;
  const Lines told = activated();
  for (const std::string& line : told) bytes += line.size();
  EXPECT_EQ(told.size(), limits::failed_updates_kept + 1);
  EXPECT_LT(bytes, limits::update_errors_whole * (limits::error_text_bytes_max + 100) +
                       limits::failed_updates_kept * (limits::update_error_bytes + 100));
}

}  // namespace
}  // namespace dc::node

// What becomes of an update that ends the worker which applies it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A worker that has not been constructed yet.
class UpdateStory : public Story {
 protected:
  UpdateStory() {
    after(joining(node, 1));
    worker = only<StartWorker>(after(PoolOpened{pool, {}, false})).at(0).worker;
  }
  WorkerId worker;
};

template <class Kind>
std::ptrdiff_t position_of(const Commands& commands) {
  const auto found = std::find_if(commands.begin(), commands.end(),
                                  [](const Command& command) { return std::holds_alternative<Kind>(command); });
  return found - commands.begin();
}

WorkerExited died_in_update(WorkerId worker, ExitCause cause) {
  WorkerExited event{node, worker, cause, {}, {}, {}, 1};
  event.error.message = "killed while it applied update 1";
  return event;
}

TEST_F(UpdateStory, OneThatEndedItsWorkerIsToldBeforeItCountsAsApplied) {
  after(WorkerReady{node, worker, 99});
  after(UpdateAdded{pool, 1, {}});
  const Commands commands = after(died_in_update(worker, ExitCause::died));
  const auto told = static_cast<std::size_t>(position_of<UpdateFailed>(commands));
  ASSERT_LT(told, commands.size());
  EXPECT_EQ(std::get<UpdateFailed>(commands[told]).number, 1U);
  EXPECT_EQ(std::get<UpdateFailed>(commands[told]).outcome.error->message, "killed while it applied update 1");
  EXPECT_LT(position_of<UpdateFailed>(commands), position_of<UpdateAppliedEverywhere>(commands));
}

TEST_F(UpdateStory, OneOfTheHistoryIsToldToo) {
  after(UpdateAdded{pool, 1, {}});
  const Commands commands = after(died_in_update(worker, ExitCause::init_failed));
  EXPECT_NE(static_cast<std::size_t>(position_of<UpdateFailed>(commands)), commands.size());
}

/// A node that was away while the worker died in the update names it once more, and again in every later session.
TEST_F(UpdateStory, OneThatEndedItsWorkerWhileItsNodeWasAwayIsTold) {
  after(WorkerReady{node, worker, 99});
  after(UpdateAdded{pool, 1, {}});
  for (int session = 0; session < 2; ++session) {
    after(NodeDisconnected{node});
    NodeJoined back = joining(node, 1);
    back.pools = {{pool, 1, {}}};
    back.workers = {{worker, pool, 0, true, 99, 0, {}}};
    EXPECT_EQ(scheduler.contradiction(back), "");
    const Commands joined = after(back);
    EXPECT_EQ(position_of<UpdateAppliedEverywhere>(joined), static_cast<std::ptrdiff_t>(joined.size()));
    const Commands told = after(died_in_update(worker, ExitCause::died));
    EXPECT_NE(position_of<UpdateFailed>(told), static_cast<std::ptrdiff_t>(told.size()));
    EXPECT_EQ(position_of<Contradiction>(told), static_cast<std::ptrdiff_t>(told.size()));
  }
}

TEST_F(UpdateStory, NotThatOfAWorkerThatWasAskedToEnd) {
  after(WorkerReady{node, worker, 99});
  after(UpdateAdded{pool, 1, {}});
  const Commands quiet = after(died_in_update(worker, ExitCause::requested));
  EXPECT_EQ(static_cast<std::size_t>(position_of<UpdateFailed>(quiet)), quiet.size());
}

TEST_F(Story, WithoutHistoryUpdatesWaitForTheFirstWorkerEver) {
  after(PoolOpened{pool, {.keep_updates_history = false}, false});
  after(UpdateAdded{pool, 1, Payload::copy("u1")});
  after(UpdateAdded{pool, 2, Payload::copy("u2")});
  const Commands joined = after(joining(node, 2));
  EXPECT_THAT(only<SendUpdate>(joined), ElementsAre(SendUpdate{node, pool, 1, Payload::copy("u1"), true},
                                                    SendUpdate{node, pool, 2, Payload::copy("u2"), true}));
  const auto first = only<StartWorker>(joined);
  ASSERT_EQ(first.size(), 2U) << "they start before anybody is ready";
  for (const StartWorker& start : first) EXPECT_EQ(start.skip_updates, 0U);
  after(WorkerReady{node, first[0].worker, 99});
  const Commands third = after(UpdateAdded{pool, 3, Payload::copy("u3")});
  EXPECT_THAT(only<SendUpdate>(third), ElementsAre(SendUpdate{node, pool, 3, Payload::copy("u3"), false}));
  const Commands later = after(joining(other_node, 1));
  EXPECT_THAT(only<SendUpdate>(later), IsEmpty());
  EXPECT_EQ(only<StartWorker>(later).at(0).skip_updates, 3U);
}

TEST_F(Story, WithoutHistoryTheFirstWorkerMayComeAfterOthersThatDied) {
  after(joining(node, 1));
  const auto died = only<StartWorker>(after(PoolOpened{pool, {.keep_updates_history = false}, false})).at(0);
  after(UpdateAdded{pool, 1, Payload::copy("u1")});
  const Commands again = after(WorkerExited{node, died.worker, ExitCause::requested, {}, {}, {}});
  EXPECT_EQ(only<StartWorker>(again).at(0).skip_updates, 0U) << "the node was told to keep it";
}

TEST_F(Story, WithoutHistoryARestartedHeadDoesNotPromiseWhatANodeMayHaveForgotten) {
  NodeJoined back = joining(node, 1);
  back.pools.push_back({pool, 2, {}});
  after(std::move(back));
  after(PoolOpened{pool, {.keep_updates_history = false}, true});
  after(UpdateAdded{pool, 0, {}});
  for (UpdateNumber number = 1; number <= 3; ++number) after(UpdateAdded{pool, number, Payload::copy("u")});
  after(PoolResumed{pool});
  EXPECT_EQ(only<StartWorker>(wait(limits::recovery_hold)).at(0).skip_updates, 2U);
}

TEST_F(Story, WithoutHistoryAClientThatIsFarAheadOfItsWorkersWaits) {
  after(joining(node, 1));
  open(pool, {.keep_updates_history = false});
  const Payload large(std::string(limits::update_window_bytes / 2 + 1, 'u'));
  const auto added = [&](UpdateNumber number) { return only<UpdateAccepted>(after(UpdateAdded{pool, number, large})); };
  EXPECT_EQ(added(1).size(), 1U);
  EXPECT_EQ(added(2).size(), 1U) << "two are let through";
  EXPECT_EQ(added(3).size(), 0U);
  EXPECT_EQ(added(3).size(), 0U) << "said again";
  const auto accepted = only<UpdateAccepted>(after(UpdatesApplied{node, started.at(0).worker, 1, {}}));
  ASSERT_EQ(accepted.size(), 1U);
  EXPECT_EQ(accepted[0].number, 3U);
}

}  // namespace
}  // namespace dc::scheduler

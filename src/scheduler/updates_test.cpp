// What becomes of an update that ends the worker which applies it.
#include <gtest/gtest.h>

#include <algorithm>

#include "scheduler/story.hpp"

namespace dc::scheduler {
namespace {

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

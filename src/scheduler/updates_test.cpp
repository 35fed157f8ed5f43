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

TEST_F(UpdateStory, NotThatOfAWorkerThatWasAskedToEnd) {
  after(WorkerReady{node, worker, 99});
  after(UpdateAdded{pool, 1, {}});
  const Commands quiet = after(died_in_update(worker, ExitCause::requested));
  EXPECT_EQ(static_cast<std::size_t>(position_of<UpdateFailed>(quiet)), quiet.size());
}

}  // namespace
}  // namespace dc::scheduler

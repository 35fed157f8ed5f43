// What becomes of an update that ends the worker which applies it.
#include <gtest/gtest.h>

#include <algorithm>

#include "scheduler/scheduler.hpp"

namespace dc::scheduler {
namespace {

constexpr TimePoint update_start{std::chrono::hours(1)};
constexpr PoolId updated_pool{10};
constexpr NodeId updated_node{1};

struct UpdateStory {
  UpdateStory() {
    NodeJoined joining{updated_node, "host", {}, {}, {}};
    joining.slots.push_back({0, "cpu", 0});
    after(std::move(joining));
    for (const Command& command : after(PoolOpened{updated_pool, {}, false})) {
      if (const auto* start = std::get_if<StartWorker>(&command)) worker = start->worker;
    }
  }
  template <class Event>
  Commands after(Event event) {
    Commands out;
    scheduler.on(std::move(event), update_start, out);
    scheduler.flush(update_start, out);
    scheduler.check_invariants();
    return out;
  }
  Scheduler scheduler{77, update_start};
  WorkerId worker;
};

template <class Kind>
std::ptrdiff_t position_of(const Commands& commands) {
  const auto found = std::find_if(commands.begin(), commands.end(),
                                  [](const Command& command) { return std::holds_alternative<Kind>(command); });
  return found - commands.begin();
}

WorkerExited died_in_update(WorkerId worker, ExitCause cause) {
  WorkerExited event{updated_node, worker, cause, {}, {}, {}, 1};
  event.error.message = "killed while it applied update 1";
  return event;
}

TEST(SchedulerUpdates, OneThatEndedItsWorkerIsToldBeforeItCountsAsApplied) {
  UpdateStory story;
  story.after(WorkerReady{updated_node, story.worker, 99});
  story.after(UpdateAdded{updated_pool, 1, {}});
  const Commands commands = story.after(died_in_update(story.worker, ExitCause::died));
  const auto told = static_cast<std::size_t>(position_of<UpdateFailed>(commands));
  ASSERT_LT(told, commands.size());
  EXPECT_EQ(std::get<UpdateFailed>(commands[told]).number, 1U);
  EXPECT_EQ(std::get<UpdateFailed>(commands[told]).outcome.error->message, "killed while it applied update 1");
  EXPECT_LT(position_of<UpdateFailed>(commands), position_of<UpdateAppliedEverywhere>(commands));
}

TEST(SchedulerUpdates, OneOfTheHistoryIsToldTooButNotThatOfAWorkerThatWasAskedToEnd) {
  UpdateStory story;
  story.after(UpdateAdded{updated_pool, 1, {}});
  const Commands commands = story.after(died_in_update(story.worker, ExitCause::init_failed));
  EXPECT_NE(static_cast<std::size_t>(position_of<UpdateFailed>(commands)), commands.size());
  UpdateStory asked;
  asked.after(WorkerReady{updated_node, asked.worker, 99});
  const Commands quiet = asked.after(died_in_update(asked.worker, ExitCause::requested));
  EXPECT_EQ(static_cast<std::size_t>(position_of<UpdateFailed>(quiet)), quiet.size());
}

}  // namespace
}  // namespace dc::scheduler

// What a pool may keep without having work: no more than its share of what is there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "scheduler/scheduler.hpp"
#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

/// Four slots, whose workers start and end at once, and jobs that never end.
class Wishes : public Story {
 protected:
  Wishes() { tell(joining(node, 4)); }
  template <class Event>
  void tell(Event event) {
    Commands out;
    scheduler.on(std::move(event), now, out);
    settle(std::move(out));
  }
  void settle(Commands todo) {
    for (int turn = 0; turn < 100; ++turn) {
      now += 100ms;
      scheduler.flush(now, todo);
      scheduler.check_invariants();
      Commands next;
      for (const Command& command : std::exchange(todo, {})) {
        if (const auto* start = std::get_if<StartWorker>(&command))
          scheduler.on(WorkerReady{node, start->worker, 1}, now, next);
        if (const auto* stop = std::get_if<StopWorker>(&command))
          scheduler.on(WorkerExited{node, stop->worker, ExitCause::requested, {}, {}, {}}, now, next);
      }
      todo = std::move(next);
    }
  }
  std::uint32_t workers(PoolId id) { return scheduler.pool_status(id).workers_ready; }
};

TEST_F(Wishes, AWishForMoreThanThereIsLeavesOthersTheirShare) {
  tell(PoolOpened{pool, {.min_workers = 1U << 20}, false});
  EXPECT_EQ(workers(pool), 4U) << "nobody else wants any";
  tell(PoolOpened{other_pool, {}, false});
  tell(jobs(other_pool, 1, 100));
  EXPECT_EQ(workers(other_pool), 2U);
  EXPECT_EQ(workers(pool), 2U);
}

TEST_F(Wishes, ASmallWishIsKeptAndTheRestIsLent) {
  tell(PoolOpened{pool, {.min_workers = 1}, false});
  tell(PoolOpened{other_pool, {}, false});
  tell(jobs(other_pool, 1, 100));
  EXPECT_EQ(workers(other_pool), 3U);
  EXPECT_EQ(workers(pool), 1U);
}

}  // namespace
}  // namespace dc::scheduler

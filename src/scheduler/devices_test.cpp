// Which devices a pool's workers get, and what becomes of a pool for which there is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "scheduler/scheduler.hpp"
#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

SlotInfo gpu(std::uint32_t slot, std::uint64_t memory, std::string uuid = {}) {
  if (uuid.empty()) uuid = "GPU-" + std::to_string(slot);
  return {slot, "A100", memory, std::move(uuid), memory, {}};
}
SlotInfo cpu(std::uint32_t slot) { return {slot, "cpu", 0, {}, 0, {}}; }

PoolOptions needing(std::uint64_t memory, std::uint32_t gpus = 1) {
  PoolOptions options;
  options.min_gpu_memory_mib = memory;
  options.gpus_per_worker = gpus;
  return options;
}

/// A scheduler, its time, and where its workers are. Workers that are asked to stop are gone at once.
class Devices : public Story {
 protected:
  template <class Event>
  Commands after(Event event) {
    Commands out;
    scheduler.on(std::move(event), now, out);
    return settle(std::move(out));
  }
  /// In steps, or the scheduler takes it for a freeze of the head.
  Commands wait(Duration duration) {
    Commands all;
    for (const TimePoint end = now + duration; now < end;) {
      now = std::min<TimePoint>(now + 500ms, end);
      for (Command& command : settle({})) all.push_back(std::move(command));
    }
    return all;
  }
  /// Flushes until nothing more is said; workers become ready, and end when they are told to.
  Commands settle(Commands all) {
    Commands out = std::exchange(all, {});
    for (int round = 0;; ++round) {
      scheduler.flush(now, out);
      scheduler.check_invariants();
      if (out.empty()) return all;
      EXPECT_LT(round, 100) << "it never comes to rest";
      if (round >= 100) return all;
      const Commands said = std::exchange(out, {});
      for (const Command& command : said) {
        all.push_back(command);
        if (const auto* start = std::get_if<StartWorker>(&command)) {
          ++starts;
          workers[start->worker] = *start;
          scheduler.on(WorkerReady{start->node, start->worker, 1}, now, out);
        } else if (const auto* stop = std::get_if<StopWorker>(&command)) {
          const StartWorker gone = workers.extract(stop->worker).mapped();
          scheduler.on(WorkerExited{gone.node, gone.worker, ExitCause::requested, {}, {}, {}}, now, out);
        } else if (const auto* job = std::get_if<RunJob>(&command)) {
          running[job->worker] = *job;
        }
      }
    }
  }
  static NodeJoined joining(NodeId id, std::vector<SlotInfo> slots) {
    return {id, "host" + std::to_string(id.value), std::move(slots), {}, {}};
  }
  Commands submit(PoolId id, JobSequence count) { return after(jobs(id, 1, count)); }
  /// Every job that runs comes to its end.
  void finish_all() {
    for (const auto& [worker, job] : std::exchange(running, {}))
      after(JobFinished{job.node, worker, job.pool, {job.sequence, job.token}, 1s, {}});
  }
  void change(SlotInfo slot) { after(SlotsChanged{node, {std::move(slot)}}); }
  /// "node/slot+slot" of each worker of the pool.
  [[nodiscard]] std::set<std::string> places(PoolId id) const {
    std::set<std::string> all;
    for (const auto& [worker, start] : workers) {
      if (start.pool != id) continue;
      std::string place = std::to_string(start.node.value) + "/" + std::to_string(start.slot);
      for (const std::uint32_t more : start.more_slots) place += "+" + std::to_string(more);
      all.insert(place);
    }
    return all;
  }
  using Places = std::set<std::string>;

  std::map<WorkerId, StartWorker> workers;
  std::map<WorkerId, RunJob> running;
  int starts = 0;
};

TEST_F(Devices, APoolGetsTheKindAndTheSizeThatItAsksFor) {
  after(joining(node, {gpu(0, 16000), gpu(1, 80000), cpu(2)}));
  after(PoolOpened{pool, needing(40000), false});
  EXPECT_EQ(places(pool), Places{"1/1"});
  EXPECT_EQ(scheduler.pool_status(pool).slots_eligible, 1U);
  after(PoolClosed{pool});
  PoolOptions options;
  options.device = DeviceWish::cpu;
  after(PoolOpened{other_pool, options, false});
  EXPECT_EQ(places(other_pool), Places{"1/2"});
  options.device = DeviceWish::gpu;
  after(PoolOpened{third_pool, options, false});
  EXPECT_EQ(places(third_pool), Places{"1/0"}) << "slot 1 still has its old worker";
}

TEST_F(Devices, ASlotInTroubleOrWithoutFreeMemoryWaits) {
  SlotInfo lost = gpu(0, 80000), taken = gpu(1, 80000);
  lost.trouble = "lost";
  taken.gpu_memory_free_mib = 2048;
  after(joining(node, {lost, taken}));
  after(PoolOpened{pool, needing(40000), false});
  EXPECT_EQ(places(pool), Places{});
  EXPECT_EQ(scheduler.status().nodes[0].slots[0].state, SlotState::blocked);
  EXPECT_EQ(scheduler.status().nodes[0].slots[1].state, SlotState::free);
  change(gpu(1, 80000));
  EXPECT_EQ(places(pool), Places{"1/1"});
  change(gpu(0, 80000));
  EXPECT_EQ(places(pool), (Places{"1/0", "1/1"}));
  change(taken);
  EXPECT_EQ(places(pool), (Places{"1/0", "1/1"})) << "what runs goes on";
}

TEST_F(Devices, TheClientIsToldOnceWhySlotsWait) {
  SlotInfo taken = gpu(3, 81920);
  taken.gpu_memory_free_mib = 2048;
  taken.trouble = "held by python (pid 17)";
  after(joining(node, {taken}));
  after(PoolOpened{pool, needing(40000), false});
  const auto told = only<Notice>(submit(pool, 1));
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].text, "a slot waits: slot 3 of host1: GPU-3 has 2048 of 81920 MiB free; held by python (pid 17)");
  taken.gpu_memory_free_mib = 2050;
  EXPECT_THAT(only<Notice>(after(SlotsChanged{node, {taken}})), IsEmpty()) << "the reason is the same";
  EXPECT_THAT(scheduler.pool_status(pool).waits_for, HasSubstr("2050 of 81920"));
  taken.trouble = "lost";
  EXPECT_THAT(only<Notice>(after(SlotsChanged{node, {taken}})), IsEmpty()) << "too soon after the first one";
  const auto again = only<Notice>(wait(limits::waiting_notice_pause));
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_THAT(again[0].text, HasSubstr("; lost"));
  change(gpu(3, 81920));
  EXPECT_EQ(scheduler.pool_status(pool).waits_for, "");
}

TEST_F(Devices, APoolThatNoDeviceCanServeEndsWithAListOfThem) {
  after(joining(node, {gpu(0, 16000), gpu(1, 16000), cpu(2)}));
  after(PoolOpened{pool, needing(80000), false});
  EXPECT_THAT(only<PoolFailed>(wait(1min)), IsEmpty()) << "nobody asks for a worker";
  submit(pool, 1);
  EXPECT_THAT(only<PoolFailed>(wait(limits::no_device_after - 1ms)), IsEmpty());
  const auto failed = only<PoolFailed>(wait(1ms));
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].error.kind, ErrorKind::no_device);
  EXPECT_EQ(failed[0].error.message,
            "no device of the cluster can be used: a worker needs a GPU with 80000 MiB of memory, and there is:\n"
            "  host1: 2 x A100 with 16000 MiB, 1 slot without a GPU");
  EXPECT_FALSE(scheduler.has_pool(pool));
}

TEST_F(Devices, APoolWaitsForADeviceOnAnEmptyClusterAndForOneThatItHadBefore) {
  after(PoolOpened{pool, needing(80000), false});
  submit(pool, 1);
  EXPECT_THAT(only<PoolFailed>(wait(1min)), IsEmpty());
  after(joining(node, {gpu(0, 16000)}));
  wait(limits::no_device_after - 1ms);
  after(joining(other_node, {gpu(0, 80000)}));
  EXPECT_EQ(places(pool), Places{"2/0"});
  const auto told = only<Notice>(after(NodeGone{other_node}));
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_THAT(told[0].text, HasSubstr("no device that is here now is suitable (a GPU with 80000 MiB of memory)"));
  EXPECT_THAT(only<PoolFailed>(wait(1min)), IsEmpty()) << "it may come back";
}

TEST_F(Devices, APoolThatIsOlderThanTheHeadGivesItsNodesTimeToComeBack) {
  after(joining(node, {gpu(0, 16000)}));
  after(PoolOpened{pool, needing(80000), true});
  submit(pool, 1);
  after(PoolResumed{pool});
  wait(limits::recovery_hold);
  EXPECT_THAT(only<PoolFailed>(wait(limits::no_device_after)), IsEmpty());
  EXPECT_THAT(only<PoolFailed>(wait(limits::unknown_pool_grace)), SizeIs(1));
}

TEST_F(Devices, AWorkerOfSeveralGpusHasDifferentOnes) {
  after(joining(node, {gpu(0, 16000, "a"), gpu(1, 16000, "a"), gpu(2, 16000, "b"), gpu(3, 16000, "b")}));
  after(PoolOpened{pool, needing(0, 2), false});
  EXPECT_EQ(places(pool), (Places{"1/0+2", "1/1+3"}));
  const Status status = scheduler.status();
  EXPECT_EQ(status.nodes[0].slots[0].worker, status.nodes[0].slots[2].worker);
  EXPECT_EQ(status.nodes[0].slots[2].state, SlotState::idle);
  after(PoolClosed{pool});
  after(PoolOpened{other_pool, needing(0, 3), false});
  submit(other_pool, 1);
  EXPECT_THAT(only<PoolFailed>(wait(limits::no_device_after)), SizeIs(1)) << "there are only two";
}

TEST_F(Devices, ScatteredSlotsAreGatheredOnOneNode) {
  after(joining(node, {gpu(0, 16000), gpu(1, 16000)}));
  after(joining(other_node, {gpu(0, 16000), gpu(1, 16000)}));
  after(PoolOpened{pool, {}, false});
  submit(pool, 100);
  ASSERT_THAT(running, SizeIs(4));
  after(PoolOpened{other_pool, needing(0, 2), false});
  submit(other_pool, 100);
  for (int i = 0; i < 5; ++i) {
    now += 1s;
    finish_all();
  }
  EXPECT_EQ(places(other_pool), Places{"1/0+1"});
  EXPECT_EQ(places(pool), (Places{"2/0", "2/1"}));
  EXPECT_EQ(starts, 5) << "no slot changed hands more than once";
}

TEST_F(Devices, AWorkerWithinItsShareMovesAsideWhenAnotherSlotIsFree) {
  SlotInfo taken = gpu(1, 16000);
  taken.trouble = "held by python (pid 17)";
  after(joining(node, {gpu(0, 16000), taken}));
  after(joining(other_node, {gpu(0, 16000), taken}));
  PoolOptions two;
  two.min_workers = 2;
  after(PoolOpened{pool, two, false});
  ASSERT_EQ(places(pool), (Places{"1/0", "2/0"}));
  after(PoolOpened{other_pool, needing(0, 2), false});
  submit(other_pool, 1);
  Commands out;
  scheduler.on(SlotsChanged{node, {gpu(1, 16000)}}, now, out);
  scheduler.on(SlotsChanged{other_node, {gpu(1, 16000)}}, now, out);
  settle(std::move(out));
  EXPECT_EQ(places(other_pool), Places{"1/0+1"});
  EXPECT_EQ(places(pool), (Places{"2/0", "2/1"}));
}

TEST_F(Devices, ALargeCardIsFoundForWhoeverNeedsIt) {
  after(joining(node, {gpu(0, 80000)}));
  PoolOptions one;
  one.min_workers = 1;
  after(PoolOpened{pool, one, false});
  ASSERT_EQ(places(pool), Places{"1/0"});
  after(PoolOpened{other_pool, one, false});
  after(joining(other_node, {gpu(0, 16000), gpu(1, 16000)}));
  after(PoolOpened{third_pool, needing(40000), false});
  submit(third_pool, 1);
  EXPECT_EQ(places(third_pool), Places{"1/0"});
  EXPECT_THAT(places(pool), SizeIs(1));
  EXPECT_THAT(places(other_pool), SizeIs(1));
}

TEST_F(Devices, PoolsThatNeedTheSameGpusShareThemBesideSlotsThatTheyCannotUse) {
  after(joining(node, {gpu(0, 16000), gpu(1, 16000), gpu(2, 16000), gpu(3, 16000)}));
  after(joining(other_node, {cpu(0), cpu(1), cpu(2), cpu(3)}));
  PoolOptions options;
  options.device = DeviceWish::gpu;
  after(PoolOpened{pool, options, false});
  submit(pool, 100);
  ASSERT_THAT(places(pool), SizeIs(4));
  after(PoolOpened{other_pool, options, false});
  submit(other_pool, 100);
  finish_all();
  EXPECT_THAT(places(pool), SizeIs(2));
  EXPECT_THAT(places(other_pool), SizeIs(2));
  // Whoever can live anywhere takes what these cannot use.
  after(PoolOpened{third_pool, PoolOptions{}, false});
  submit(third_pool, 100);
  finish_all();
  EXPECT_EQ(places(third_pool), (Places{"2/0", "2/1", "2/2", "2/3"}));
  EXPECT_THAT(places(pool), SizeIs(2));
}

TEST_F(Devices, NoWorkerIsStartedOnlyToMakeRoomForAChoosierPool) {
  after(joining(node, {gpu(0, 80000), gpu(1, 80000), gpu(2, 16000)}));
  PoolOptions light, heavy;
  light.weight = 0.1;
  heavy.weight = 2;
  after(PoolOpened{other_pool, light, false});
  submit(other_pool, 100);
  ASSERT_THAT(places(other_pool), SizeIs(3));
  after(PoolOpened{pool, heavy, false});
  submit(pool, 100);
  after(PoolOpened{third_pool, needing(40000), false});
  submit(third_pool, 100);
  const int before = starts;
  for (int i = 0; i < 10; ++i) {
    finish_all();
    wait(1s);
  }
  EXPECT_THAT(places(third_pool), SizeIs(1));
  EXPECT_LE(starts - before, 3) << "each slot changes hands once at most";
}

TEST_F(Devices, NoWorkerIsStartedWhereAnotherPoolHasItMovedAway) {
  after(joining(node, {gpu(0, 16000)}));
  after(joining(other_node, {gpu(0, 16000, "GPU-a"), gpu(1, 16000, "GPU-b"), gpu(2, 16000, "GPU-c")}));
  after(PoolOpened{pool, needing(8000), false});
  submit(pool, 100);
  ASSERT_THAT(places(pool), SizeIs(4));
  after(PoolOpened{other_pool, PoolOptions{}, false});
  submit(other_pool, 1);
  // The slot of node 1 is to be the other pool's when its job is done. Then the first pool could not use it any more.
  SlotInfo full = gpu(0, 16000);
  full.gpu_memory_free_mib = 4000;
  change(full);
  SlotInfo held = gpu(1, 16000, "GPU-b"), held_too = gpu(2, 16000, "GPU-c");
  held.trouble = held_too.trouble = "held";
  after(SlotsChanged{other_node, {held, held_too}});
  const auto dead = std::find_if(workers.begin(), workers.end(), [](const auto& entry) {
    return entry.second.node == other_node && entry.second.slot == 0;
  });
  ASSERT_NE(dead, workers.end());
  const WorkerId id = dead->first;
  workers.erase(dead), running.erase(id);
  const int before = starts;
  after(WorkerExited{other_node, id, ExitCause::died, {}, {}, {}});
  EXPECT_EQ(starts - before, 1) << "the free slot is not given to the pool that can wait for the other one";
  EXPECT_EQ(places(pool), (Places{"1/0", "2/0", "2/1", "2/2"}));
  finish_all();
  EXPECT_EQ(places(other_pool), Places{"1/0"});
}

TEST_F(Devices, SlotsOfAWorkerThatEndsAreAllFree) {
  after(joining(node, {gpu(0, 16000), gpu(1, 16000)}));
  after(PoolOpened{pool, needing(0, 2), false});
  ASSERT_EQ(places(pool), Places{"1/0+1"});
  after(WorkerExited{node, workers.begin()->first, ExitCause::died, {}, {}, {}});
  EXPECT_EQ(starts, 2);
  NodeJoined back = joining(node, {gpu(0, 16000), gpu(1, 16000)});
  back.pools = {{pool, 0, {}}};
  back.workers = {{WorkerId{900}, pool, 1, true, 99, 0, {}, {0}}};
  after(NodeGone{node});
  workers.clear();
  after(back);
  const auto slots = scheduler.status().nodes[0].slots;
  EXPECT_EQ(slots[0].worker, WorkerId{900});
  EXPECT_EQ(slots[1].worker, WorkerId{900});
}

TEST_F(Devices, AClassThatFailsOnSeveralGpusEndsItsPool) {
  after(joining(node, {gpu(0, 16000), gpu(1, 16000)}));
  Commands out;
  scheduler.on(PoolOpened{pool, needing(0, 2), false}, now, out);
  for (int attempt = 0; attempt < 2; ++attempt) {
    scheduler.flush(now, out);
    scheduler.check_invariants();
    const auto started = only<StartWorker>(std::exchange(out, {}));
    ASSERT_THAT(started, SizeIs(1));
    EXPECT_EQ(started[0].slot, static_cast<std::uint32_t>(attempt)) << "the other slot is the worker's own";
    scheduler.on(WorkerExited{node, started[0].worker, ExitCause::init_failed, {}, {}, {}}, now, out);
  }
  EXPECT_THAT(only<PoolFailed>(out), SizeIs(1));
}

}  // namespace
}  // namespace dc::scheduler

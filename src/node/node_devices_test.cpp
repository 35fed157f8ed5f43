// GPUs as the node's machine sees them: looks come in, starts wait, the head is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "node/effect_text_for_tests.hpp"

namespace dc::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

gpu::Device card(const std::string& uuid, std::uint64_t free_mib = 9900) {
  gpu::Device device;
  device.uuid = device.selector = uuid;
  device.name = "Card";
  device.memory_mib = 10000;
  device.memory_free_mib = free_mib;
  return device;
}

gpu::Device held(gpu::Device device, pid_t pid, pid_t group, std::uint64_t mib, const std::string& name = "python") {
  device.holders.push_back({pid, group, name, mib});
  device.memory_free_mib -= mib;
  return device;
}

NodeFacts with_cards(int count, int slots) {
  NodeFacts facts{"here", {}, {}};
  for (int i = 0; i < count; ++i) facts.devices.push_back(card("GPU-" + std::string(1, static_cast<char>('a' + i))));
  for (int i = 0; i < slots; ++i) {
    const gpu::Device& device = facts.devices[static_cast<std::size_t>(i % count)];
    facts.slots.push_back({static_cast<std::uint32_t>(i), "Card", 10000, device.uuid, 9900, ""});
  }
  return facts;
}

/// A node with cards a, b, …, and what looks at them show.
class Cards : public testing::Test {
 protected:
  explicit Cards(int count = 2, int slots = 2) : world(with_cards(count, slots)) {
    world.connect();
    world.open_pool();
    world.turn();
  }
  Lines look(std::vector<gpu::Device> devices) {
    world.now += 100ms;
    gpu::Inventory inventory;
    inventory.taken_at = world.now;
    inventory.devices = std::move(devices);
    world.machine.devices_seen(inventory, world.now, world.effects);
    return world.turn();
  }
  void ready(WorkerId id, std::uint32_t slot) {
    world.start(id, slot);
    world.spawned(id);
    world.worker(id, wire::WorkerConstructed{});
    world.turn();
  }
  void dies(WorkerId id, int signal = SIGKILL) {
    ProcessEnd end{{}, signal, {}, {}};
    end.at = world.now;
    world.exits(id, end);
  }
  Lines start(WorkerId id, std::uint32_t slot) {
    world.start(id, slot);
    return world.turn();
  }
  NodeWorld world;
};

TEST_F(Cards, AStrangerWithMoreThanHalfOfACardKeepsItsSlotEmptyUntilItGoes) {
  EXPECT_THAT(look({held(card("GPU-a"), 17, 17, 4000), card("GPU-b")}), ElementsAre("SlotsChanged [0: 5900 MiB free]"));
  EXPECT_THAT(look({held(card("GPU-a"), 17, 17, 6000), card("GPU-b")}),
              ElementsAre("SlotsChanged [0: 3900 MiB free, held by python (pid 17, 6000 MiB)]"));
  EXPECT_THAT(start(w1, 0),
              ElementsAre("WorkerExited 1 requested running [] unstarted []: the worker on here slot 0 was "
                          "not started: its GPU GPU-a: held by python (pid 17, 6000 MiB)"));
  EXPECT_THAT(start(w2, 1), ElementsAre("spawn 2 on slot 1"));
  EXPECT_THAT(look({card("GPU-a"), card("GPU-b")}), ElementsAre("SlotsChanged [0: 9900 MiB free]"));
  EXPECT_THAT(start(w3, 0), ElementsAre("spawn 3 on slot 0"));
}

TEST_F(Cards, OurOwnWorkersAreNoStrangers) {
  ready(w1, 0);
  EXPECT_THAT(look({held(held(card("GPU-a"), 4001, 4001, 5000), 4999, 4001, 3000), card("GPU-b")}), IsEmpty());
  // Seen from inside a container a process of ours may have a number that means nothing here.
  EXPECT_THAT(look({held(card("GPU-a"), 777777, 0, 9000), card("GPU-b")}), IsEmpty());
  EXPECT_THAT(look({held(held(card("GPU-a"), 4001, 4001, 3000), 50, 50, 5100, "train"), card("GPU-b")}),
              ElementsAre("SlotsChanged [0: 4800 MiB free, held by train (pid 50, 5100 MiB)]"));
}

TEST_F(Cards, HoldersThatCannotBeSeenAreSaidToBe) {
  EXPECT_THAT(look({card("GPU-a", 1000), card("GPU-b")}),
              ElementsAre("SlotsChanged [0: 1000 MiB free, 9000 of its 10000 MiB are held by processes that cannot be "
                          "seen from here]"));
}

TEST_F(Cards, ASlotWaitsForTheMemoryOfADeadWorker) {
  ready(w1, 0);
  EXPECT_THAT(look({held(card("GPU-a"), 4001, 4001, 6000), card("GPU-b")}), IsEmpty());
  dies(w1);
  EXPECT_THAT(
      world.turn(),
      ElementsAre("WorkerExited 1 died running [] unstarted []: the worker on here slot 0 (pid 4001) was killed by "
                  "signal 9 (SIGKILL) between jobs [on Card (GPU-a), where it held 6000 of 10000 MiB]",
                  "look at devices"));
  EXPECT_THAT(start(w2, 0), IsEmpty()) << "it waits";
  world.now += 100ms;
  EXPECT_THAT(look({card("GPU-a", 3900), card("GPU-b")}), ElementsAre("look at devices")) << "the process is gone";
  world.now += 300ms;
  EXPECT_THAT(
      look({card("GPU-a", 9000), card("GPU-b")}),
      ElementsAre("SlotsChanged [0: 9900 MiB free, 900 MiB not yet back after the end of a worker]", "look at devices",
                  "WorkerExited 2 requested running [] unstarted []: the worker on here slot 0 was not started: its "
                  "GPU GPU-a: 900 MiB not yet back after the end of a worker"));
  EXPECT_THAT(look({card("GPU-a", 9850), card("GPU-b")}), ElementsAre("SlotsChanged [0: 9850 MiB free]"));
  EXPECT_THAT(start(w3, 0), ElementsAre("spawn 3 on slot 0"));
}

TEST_F(Cards, MemoryThatIsBackAtOnceIsNoTrouble) {
  ready(w1, 0);
  dies(w1);
  world.turn();
  EXPECT_THAT(start(w2, 0), IsEmpty());
  EXPECT_THAT(look({card("GPU-a"), card("GPU-b")}), ElementsAre("spawn 2 on slot 0"));
}

TEST_F(Cards, AnEarlierLookDoesNotCount) {
  ready(w1, 0);
  look({card("GPU-a"), card("GPU-b")});
  gpu::Inventory early;
  early.taken_at = world.now;
  early.devices = {card("GPU-a"), card("GPU-b")};
  world.now += 50ms;
  dies(w1);
  world.turn();
  world.machine.devices_seen(early, world.now, world.effects);
  EXPECT_THAT(start(w2, 0), IsEmpty());
}

TEST_F(Cards, MemoryThatNeverComesBackIsWaitedForAWhile) {
  ready(w1, 0);
  dies(w1);
  world.now += 1s;
  world.turn();
  world.now += limits::memory_back_patience;
  EXPECT_THAT(look({card("GPU-a", 7000), card("GPU-b")}), ElementsAre("SlotsChanged [0: 7000 MiB free]"));
  EXPECT_THAT(start(w2, 0), ElementsAre("spawn 2 on slot 0"));
}

TEST_F(Cards, WhatAStrangerTookMeanwhileIsNotWaitedFor) {
  ready(w1, 0);
  look({held(card("GPU-a"), 4001, 4001, 6000), card("GPU-b")});
  dies(w1);
  world.turn();
  EXPECT_THAT(look({held(card("GPU-a"), 50, 50, 3000), card("GPU-b")}), ElementsAre("SlotsChanged [0: 6900 MiB free]"));
}

TEST_F(Cards, ALostDeviceCostsItsJobOneTry) {
  ready(w1, 0);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.turn();
  world.start_job(w1, 0);
  auto lost = card("GPU-a");
  lost.lost = "GPU is lost";
  EXPECT_THAT(look({lost, card("GPU-b")}), ElementsAre("SIGTERM to 1", "to 1: Stop after SIGTERM",
                                                       "SlotsChanged [0: 9900 MiB free, lost: GPU is lost]"));
  world.now += 600ms;
  EXPECT_THAT(world.turn(), ElementsAre("SIGKILL to 1"));
  dies(w1);
  EXPECT_THAT(
      world.turn().at(0),
      "WorkerExited 1 died running [1.1] unstarted []: the worker on here slot 0 (pid 4001) was killed by signal 9 "
      "(SIGKILL) while it ran the job: its GPU GPU-a was lost: GPU is lost [on Card (GPU-a)]");
  EXPECT_THAT(start(w2, 0), ElementsAre(HasSubstr("was not started: its GPU GPU-a: lost: GPU is lost")));
  EXPECT_THAT(look({card("GPU-a"), card("GPU-b")}), ElementsAre("SlotsChanged [0: 9900 MiB free]")) << "it is back";
}

TEST_F(Cards, OneThatIsNotSeenTwiceIsLost) {
  EXPECT_THAT(look({card("GPU-b")}), ElementsAre("look at devices"));
  EXPECT_THAT(look({card("GPU-b")}), ElementsAre("SlotsChanged [0: 9900 MiB free, lost: it does not answer any more]"));
  gpu::Inventory silent;
  silent.answered = false;
  for (int i = 0; i < 3; ++i) world.machine.devices_seen(silent, world.now, world.effects);
  EXPECT_THAT(world.turn(), IsEmpty()) << "a driver that cannot be asked says nothing of the other";
}

TEST_F(Cards, SmallChangesAreToldNowAndThen) {
  world.now += 1h;
  EXPECT_THAT(look({card("GPU-a", 9890), card("GPU-b")}), ElementsAre("SlotsChanged [0: 9890 MiB free]"));
  EXPECT_THAT(look({card("GPU-a", 9850), card("GPU-b")}), IsEmpty());
  EXPECT_EQ(world.machine.next_deadline(), world.now - 100ms + limits::small_change_pause);
  world.now += limits::small_change_pause;
  EXPECT_THAT(world.turn(), ElementsAre("SlotsChanged [0: 9850 MiB free]"));
}

TEST_F(Cards, TheDriversReportIsPartOfADeath) {
  ready(w1, 0);
  auto faulty = card("GPU-a");
  faulty.faults = "Xid 31";
  look({faulty, card("GPU-b")});
  dies(w1, SIGABRT);
  EXPECT_THAT(world.turn().at(0), HasSubstr("[on Card (GPU-a), of which the driver reported Xid 31]"));
}

class FourSlots : public Cards {
 protected:
  FourSlots() : Cards(2, 4) {}
};

TEST_F(FourSlots, AWorkerOfSeveralGpusHasThemAll) {
  world.head(wire::StartWorker{w1, NodeWorld::pool, 0, 0, {1}});
  EXPECT_THAT(world.turn(), ElementsAre("spawn 1 on slot 0 and 1"));
  world.spawned(w1);
  world.worker(w1, wire::WorkerConstructed{});
  world.turn();
  auto lost = card("GPU-b");
  lost.lost = "GPU is lost";
  EXPECT_THAT(look({card("GPU-a"), lost}),
              ElementsAre("SIGTERM to 1", "to 1: Stop after SIGTERM",
                          "SlotsChanged [1: 9900 MiB free, lost: GPU is lost] [3: 9900 MiB free, lost: GPU "
                          "is lost]"));
}

TEST_F(FourSlots, AProcessThatIsGoneAndStillListedIsAwaited) {
  ready(w1, 0);
  ready(w2, 2);
  dies(w1);
  world.turn();
  look({held(held(card("GPU-a"), 4001, 0, 4000), 4002, 4002, 4000), card("GPU-b")});
  EXPECT_THAT(start(w3, 0), IsEmpty());
  EXPECT_THAT(look({held(card("GPU-a"), 4002, 4002, 4000), card("GPU-b")}), ElementsAre("spawn 3 on slot 0"));
}

TEST_F(FourSlots, ACardIsSharedByItsWorkers) {
  ready(w1, 0);
  ready(w2, 2);
  look({held(held(card("GPU-a"), 4001, 4001, 4000), 4002, 4002, 4000), card("GPU-b")});
  dies(w1);
  world.turn();
  EXPECT_THAT(look({held(held(card("GPU-a"), 4001, 4001, 4000), 4002, 4002, 4000), card("GPU-b")}), IsEmpty())
      << "its process is still there; the next look is already asked for";
  EXPECT_THAT(start(w3, 0), IsEmpty());
  EXPECT_THAT(look({held(card("GPU-a"), 4002, 4002, 4000), card("GPU-b")}), ElementsAre("spawn 3 on slot 0"));
}

/// Constructors of several pools, one after the other.
class Constructors : public Cards {
 protected:
  void attempt(PoolId pool, std::uint32_t slot, bool works) {
    const WorkerId id{++last_id};
    world.head(wire::OpenPoolHere{pool, {}, Payload::copy("spec")}, wire::StartWorker{id, pool, slot, 0, {}});
    look({card("GPU-a"), card("GPU-b")});
    world.spawned(id);
    if (works) {
      world.worker(id, wire::WorkerConstructed{});
      world.turn();
    }
    dies(id);
    look({card("GPU-a"), card("GPU-b")});
  }
  std::string trouble() { return world.machine.devices().trouble("GPU-a", world.now); }
  std::uint64_t last_id = 100;
};

TEST_F(Constructors, ACardOnWhichTheClassesOfTwoPoolsFailAndOthersDoNotIsSetAside) {
  attempt(PoolId{1}, 1, true);
  for (int i = 0; i < 3; ++i) attempt(PoolId{1}, 0, false);
  EXPECT_EQ(trouble(), "") << "it may be this class alone: the head sets the slot aside for its pool";
  world.head(wire::ClosePoolHere{PoolId{1}});
  attempt(PoolId{2}, 0, false);
  EXPECT_EQ(trouble(), "") << "nobody knows yet whether the second class works elsewhere";
  attempt(PoolId{2}, 1, true);
  EXPECT_THAT(trouble(), HasSubstr("set aside: the last 4 constructors failed on it, of 2 pools"));
  EXPECT_EQ(world.machine.devices().trouble("GPU-b", world.now), "");
}

TEST_F(Constructors, ClassesThatFailEverywhereAreNoCardsFault) {
  for (const std::uint64_t pool : {1, 2, 3}) {
    for (int i = 0; i < 3; ++i) {
      attempt(PoolId{pool}, 0, false);
      attempt(PoolId{pool}, 1, false);
    }
  }
  EXPECT_EQ(trouble(), "");
}

TEST_F(Constructors, OneThatWorksClearsTheCard) {
  for (const std::uint64_t pool : {1, 2}) {
    attempt(PoolId{pool}, 1, true);
    attempt(PoolId{pool}, 0, false);
    attempt(PoolId{pool}, 0, true);
    attempt(PoolId{pool}, 0, false);
  }
  EXPECT_EQ(trouble(), "");
}

}  // namespace
}  // namespace dc::node

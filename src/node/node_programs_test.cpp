// Programs of C++ pools: a cache whose disk hangs, and one that is damaged while the node lives.
#include <gtest/gtest.h>

#include "node/effect_text_for_tests.hpp"
#include "node/node_machine.hpp"

namespace dc::node {
namespace {

class NodePrograms : public testing::Test {
 protected:
  NodePrograms() {
    options.language = Language::cpp;
    options.program_hash = "f00d";
    world.connect();
    world.open_pool(options);
    world.head(wire::Program{"f00d", Payload::copy("elf")});
    world.machine.program_stored("f00d", "", world.now, world.effects);
    world.turn();
  }
  /// Its process is there, and constructs the class.
  void starts(WorkerId id, std::uint32_t slot = 0) {
    world.start(id, slot);
    world.turn();
    usable(id);
    EXPECT_EQ(world.turn(), (Lines{fmt::format("spawn {} on slot {}", id.value, slot)}));
    world.spawned(id);
    world.turn();
  }
  void usable(WorkerId id) { world.machine.program_usable(id, world.now, world.effects); }
  void checked(bool sound) { world.machine.program_checked("f00d", sound, world.now, world.effects); }

  NodeWorld world;
  PoolOptions options;
};

TEST_F(NodePrograms, AWorkerWhoseDiskHangsCanBeStopped) {
  world.start(w1);
  EXPECT_EQ(world.turn(), (Lines{"use f00d for 1"}));
  world.head(wire::StopWorker{w1});
  EXPECT_EQ(world.turn(), (Lines{"WorkerExited 1 requested running [] unstarted []: the worker on here slot 0 was not "
                                 "started: the head took its slot back"}));
  usable(w1);
  world.machine.program_missing(w1, world.now, world.effects);
  EXPECT_EQ(world.turn(), Lines{});
}

TEST_F(NodePrograms, ANodeWhoseDiskHangsLeaves) {
  world.start(w1);
  world.turn();
  world.machine.leave("told to", world.now + 60s, world.effects);
  EXPECT_EQ(world.turn().back(), "left");
}

constexpr const char* segfault_text = "the worker on here slot 0 (pid 4001) was killed by signal 11 (SIGSEGV)";

TEST_F(NodePrograms, ADamagedOneIsFetchedAgainAndItsWorkersBeginAgain) {
  starts(w1);
  starts(w2, 1);
  ProcessEnd not_executed{127, {}, {}, "f00d cannot be executed (Exec format error)"};
  world.exits(w1, not_executed);
  world.exits(w2, {{}, SIGSEGV, {}, {}});
  EXPECT_EQ(world.turn(), (Lines{"check f00d"}));
  checked(false);
  EXPECT_EQ(world.turn(), (Lines{"NeedProgram f00d"}));
  world.head(wire::Program{"f00d", Payload::copy("elf")});
  EXPECT_EQ(world.turn(), (Lines{"store f00d"}));
  world.machine.program_stored("f00d", "", world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"use f00d for 1", "use f00d for 2"}));
  usable(w1);
  EXPECT_EQ(world.turn(), (Lines{"spawn 1 on slot 0"}));
  world.spawned(w1);
  world.worker(w1, wire::WorkerConstructed{});
  EXPECT_EQ(world.turn(), (Lines{"to 1: Begin spec", "to 1: HistoryEnd", "WorkerReady 1 pid 4001"}));
}

TEST_F(NodePrograms, AWorkerThatEndsAtOnceThoughItsProgramIsSoundIsReportedAsItEnded) {
  starts(w1);
  world.exits(w1, {{}, SIGSEGV, {}, {}});
  EXPECT_EQ(world.turn(), (Lines{"check f00d"}));
  checked(true);
  EXPECT_EQ(world.turn(), (Lines{fmt::format("WorkerExited 1 init_failed running [] unstarted []: {} while it "
                                             "constructed the class",
                                             segfault_text)}));
  starts(w3);
}

TEST_F(NodePrograms, AWorkerBeginsAgainOnce) {
  starts(w1);
  world.exits(w1, {{}, SIGSEGV, {}, {}});
  checked(false);
  world.head(wire::Program{"f00d", Payload::copy("elf")});
  world.machine.program_stored("f00d", "", world.now, world.effects);
  usable(w1);
  world.spawned(w1);
  world.turn();
  world.exits(w1, {{}, SIGSEGV, {}, {}});
  EXPECT_TRUE(world.turn().at(0).starts_with("WorkerExited 1 init_failed "));
}

TEST_F(NodePrograms, AConstructorThatFailsIsNoFaultOfTheProgram) {
  starts(w1);
  wire::ConstructionFailed failed;
  failed.error->message = "no licence";
  world.worker(w1, failed);
  world.exits(w1, {1, {}, {}, {}});
  EXPECT_EQ(world.turn(), (Lines{"WorkerExited 1 init_failed running [] unstarted []: no licence"}));
}

TEST_F(NodePrograms, OneThatIsDoubtedCanBeStopped) {
  starts(w1);
  world.exits(w1, {{}, SIGSEGV, {}, {}});
  world.turn();
  world.head(wire::ClosePoolHere{NodeWorld::pool});
  EXPECT_TRUE(world.turn().back().starts_with("WorkerExited 1 requested "));
  checked(true);
  EXPECT_EQ(world.turn(), Lines{});
}

/// Updates that are kept nowhere would be missing.
TEST_F(NodePrograms, WithoutHistoryNobodyBeginsAgainBehindAnUpdate) {
  options.keep_updates_history = false;
  world.open_pool(options);
  starts(w1);
  world.head(world.update(1));
  world.turn();
  world.exits(w1, {{}, SIGSEGV, {}, {}});
  EXPECT_TRUE(world.turn().at(0).starts_with("WorkerExited 1 init_failed "));
}

}  // namespace
}  // namespace dc::node

// Ends in order: which workers are left to end by themselves, and for how long; and what a crash has left behind.
#include <gtest/gtest.h>

#include <csignal>

#include "node/effect_text_for_tests.hpp"

namespace dc::node {
namespace {

const ProcessEnd ended_by_itself{0, {}, {}, {}};

TEST(NodeEnds, AnIdleWorkerOfAClosedPoolEndsByItself) {
  NodeWorld world;
  world.ready(w1);
  world.head(wire::ClosePoolHere{NodeWorld::pool});
  EXPECT_EQ(world.turn(), (Lines{"to 1: Stop"}));
  EXPECT_EQ(world.machine.next_deadline(), world.now + limits::close_grace);
  world.exits(w1, ended_by_itself);
  EXPECT_EQ(world.turn(), (Lines{"WorkerExited 1 requested running [] unstarted []: the worker on here slot 0 (pid "
                                 "4001) ended with exit status 0 between jobs: its pool was closed"}));
}

TEST(NodeEnds, OneWhoseEndTakesTooLongIsHelped) {
  NodeWorld world;
  world.ready(w1);
  world.machine.leave("asked to", world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"NodeLeaving", "to 1: Stop"}));
  world.now += 1s;
  EXPECT_EQ(world.turn(), Lines{});
  EXPECT_EQ(world.machine.next_deadline(), world.now - 1s + limits::close_grace);
  world.now += limits::close_grace - 1s;
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1"}));
  world.now += limits::quick_kill_grace;
  EXPECT_EQ(world.turn(), (Lines{"SIGKILL to 1"}));
}

TEST(NodeEnds, JobsThatWereNotStartedMakeNoWorkerBusy) {
  NodeWorld world;
  wire::Claims& claims = world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.turn();
  world.head(wire::ClosePoolHere{NodeWorld::pool});
  EXPECT_EQ(world.turn(), (Lines{"to 1: Stop"}));
  EXPECT_FALSE(claims.start(0, 0));
}

TEST(NodeEnds, AWorkerThatIsNotReadyOrUpdatesIsBusy) {
  NodeWorld world;
  world.ready(w1);
  world.start(w2, 1);
  world.spawned(w2);
  world.head(world.update(1));
  world.turn();
  world.head(wire::ClosePoolHere{NodeWorld::pool});
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1", "to 1: Stop after SIGTERM", "SIGTERM to 2"}));
}

TEST(NodeEnds, AStoppedWorkerHasItsTimeToCloseBehindItsLastJob) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.start_job(w1, 0);
  world.head(wire::StopWorker{w1});
  world.turn();
  world.now += 1900ms;
  world.worker(w1, NodeWorld::value(0));
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 1.1=v"}));
  EXPECT_EQ(world.machine.next_deadline(), world.now + limits::lend_grace);
  world.head(wire::ClosePoolHere{NodeWorld::pool});
  EXPECT_EQ(world.turn(), Lines{}) << "it is about to end already";
}

TEST(NodeEnds, OfACrashTheUsersLinesAreShown) {
  const char* text =
      "Fatal Python error: Aborted\n\nof a child\n"
      "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n"
      "  File \"/x/ctypes/__init__.py\", line 519 in string_at\n  File \"/home/me/script.py\", line 7 in run\n"
      "  File \"/x/distributed_computing/worker_main.py\", line 99 in run_job\n  File \"<string>\", line 9 in "
      "<module>\n"
      "\nExtension modules: numpy (total: 1)\n";
  EXPECT_EQ(python_stack(text, SIGSEGV),
            "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n"
            "  File \"/x/ctypes/__init__.py\", line 519 in string_at\n  File \"/home/me/script.py\", line 7 in run");
  EXPECT_EQ(python_stack(text, SIGKILL), "") << "it was not written by who ended so";
  EXPECT_EQ(python_stack("", SIGSEGV), "");
}

/// A class whose handler for SIGTERM calls sys.exit, the usual thing to do, ends its job with an error.
TEST(NodeEnds, AnErrorAfterSigtermIsTheEndOfTheWorkerNotOfTheJob) {
  NodeWorld world;
  PoolOptions options;
  options.job_timeout = 1s;
  world.ready(w1, options);
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.start_job(w1, 0);
  world.turn();
  world.now += 1001ms;
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1", "to 1: Stop after SIGTERM"}));
  wire::WorkerError exits{0, 1'001'000, {}, {}};
  exits.error->message = "SystemExit: run called sys.exit(0)";
  world.worker(w1, exits);
  EXPECT_EQ(world.turn(), Lines{});
  world.exits(w1, ended_by_itself);
  EXPECT_EQ(
      world.turn(),
      (Lines{"WorkerExited 1 job_timeout running [1.1] unstarted [2.1]: the worker on here slot 0 (pid 4001) ended "
             "with exit status 0 while it ran the job: the job ran longer than job_timeout (1 s)"}));
}

TEST(NodeEnds, AnUpdateThatFailsAfterSigtermWasCutShort) {
  NodeWorld world;
  PoolOptions options;
  options.update_timeout = 1s;
  wire::Claims& claims = world.ready(w1, options);
  world.head(world.update(1));
  world.turn();
  claims.update_number = 1;
  claims.update_started_at_ns = static_cast<std::uint64_t>(world.now.time_since_epoch().count());
  world.now += 1001ms;
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1", "to 1: Stop after SIGTERM"}));
  claims.update_started_at_ns = 0;
  wire::UpdateDone exits{1, true};
  exits.error->message = "handle_update called sys.exit(0)";
  world.worker(w1, exits);
  world.turn();
  world.exits(w1, ended_by_itself);
  const Lines told = world.turn();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find("update 1"), std::string::npos) << told[0];
}

}  // namespace
}  // namespace dc::node

// How workers end: by themselves, by limits, on request, with the node; who is blamed and what is said.
#include <gtest/gtest.h>

#include <csignal>

#include "node/effect_text_for_tests.hpp"

namespace dc::node {
namespace {

const ProcessEnd segfault{{}, SIGSEGV, "last words", {}};
const ProcessEnd terminated{{}, SIGTERM, {}, {}};
const ProcessEnd ended_in_order{0, {}, {}, {}};

PoolOptions with_job_timeout(std::chrono::milliseconds limit) {
  PoolOptions options;
  options.job_timeout = limit;
  return options;
}

TEST(NodeWorkers, OnlyTheJobThatRanIsBlamedForADeath) {
  NodeWorld world;
  world.ready(w1);
  world.head(wire::RunJobs{w1, {NodeWorld::job(1), NodeWorld::job(2), NodeWorld::job(3), NodeWorld::job(4, 1)}});
  world.turn();
  world.start_job(w1, 0);
  world.start_job(w1, 1);  // the answer of the first one died with the process
  world.exits(w1, segfault);
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 died running [2.1] unstarted [1.1 3.1 4.1]: the worker on here slot 0 (pid "
                   "4001) was killed by signal 11 (SIGSEGV) while it ran the job"}));
}

TEST(NodeWorkers, ADeathBetweenJobsBlamesNobodyAndFollowsTheResults) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.turn();
  world.start_job(w1, 0);
  world.worker(w1, NodeWorld::value(0));
  world.exits(w1, {3, {}, {}, {}});
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 1.1=v",
                                 "WorkerExited 1 died running [] unstarted [2.1]: the worker on here slot "
                                 "0 (pid 4001) ended with exit status 3 between jobs"}));
}

TEST(NodeWorkers, AnEndDuringConstructionIsAnInitErrorWithTheConstructorsOwnWords) {
  NodeWorld world;
  world.connect();
  world.open_pool();
  world.start(w1);
  world.start(w2, 1);
  world.spawned(w1);
  world.spawned(w2);
  world.turn();
  world.exits(w1, segfault);
  wire::ConstructionFailed failed;
  failed.error->message = "the constructor raised ValueError";
  world.worker(w2, failed);
  world.exits(w2, {1, {}, {}, {}});
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 init_failed running [] unstarted []: the worker on here slot 0 (pid 4001) was "
                   "killed by signal 11 (SIGSEGV) while it constructed the class",
                   "WorkerExited 2 init_failed running [] unstarted []: the constructor raised ValueError"}));
}

TEST(NodeWorkers, AConstructorThatTakesTooLongIsEnded) {
  NodeWorld world;
  PoolOptions options;
  options.init_timeout = 1500ms;
  world.connect();
  world.open_pool(options);
  world.start(w1);
  world.spawned(w1);
  world.turn();
  EXPECT_EQ(world.machine.next_deadline(), world.now + 1500ms);
  world.now += 1500ms;
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1"}));
  world.now += 5s;
  EXPECT_EQ(world.turn(), (Lines{"SIGKILL to 1"}));
  world.exits(w1, {{}, SIGKILL, {}, {}});
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 init_failed running [] unstarted []: the worker on here slot 0 (pid 4001) was "
                   "killed by signal 9 (SIGKILL) while it constructed the class: the constructor took longer "
                   "than init_timeout (1.5 s)"}));
}

TEST(NodeWorkers, AJobOverItsLimitHasItsWorkerKilledAndTheNextJobsAreNotStarted) {
  NodeWorld world;
  wire::Claims& claims = world.ready(w1, with_job_timeout(1000ms));
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.start_job(w1, 0);
  world.turn();
  EXPECT_EQ(world.machine.next_deadline(), world.now + 100ms);
  world.now += 1001ms;
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1", "to 1: Stop after SIGTERM"}));
  EXPECT_FALSE(claims.start(1, 0));
  EXPECT_EQ(world.machine.next_deadline(), world.now + 5s);
  world.now += 5s;
  EXPECT_EQ(world.turn(), (Lines{"SIGKILL to 1"}));
  world.exits(w1, {{}, SIGKILL, {}, {}});
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 job_timeout running [1.1] unstarted [2.1]: the worker on here slot 0 (pid "
                   "4001) was killed by signal 9 (SIGKILL) while it ran the job: the job ran longer than "
                   "job_timeout (1 s)"}));
}

TEST(NodeWorkers, AnUpdateOverItsLimitHasItsWorkerKilledAndNoJobIsCharged) {
  NodeWorld world;
  PoolOptions options;
  options.update_timeout = 1s;
  wire::Claims& claims = world.ready(w1, options);
  world.head(world.update(1), NodeWorld::jobs(w1, 1, 1));
  claims.update_started_at_ns =
      static_cast<std::uint64_t>(std::chrono::nanoseconds(world.now.time_since_epoch()).count());
  world.turn();
  EXPECT_EQ(world.machine.next_deadline(), world.now + 100ms);
  world.now += 1001ms;
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1", "to 1: Stop after SIGTERM"}));
  world.exits(w1, {{}, SIGTERM, {}, {}});
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 died running [] unstarted [1.1]: the worker on here slot 0 (pid 4001) was killed by "
                   "signal 15 (SIGTERM) between jobs: handle_update ran longer than update_timeout (1 s)"}));
}

TEST(NodeWorkers, AResultThatWaitedWhileTheNodeWasFrozenIsNoTimeout) {
  NodeWorld world;
  world.ready(w1, with_job_timeout(1000ms));
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.start_job(w1, 0);
  world.turn();
  world.now += 30s;
  world.worker(w1, NodeWorld::value(0));  // read before the turn ends
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 1.1=v"}));
  EXPECT_EQ(world.machine.next_deadline(), never);
}

TEST(NodeWorkers, AStoppedWorkerMayFinishItsJobForAMoment) {
  NodeWorld world;
  wire::Claims& claims = world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.start_job(w1, 0);
  world.turn();
  world.head(wire::StopWorker{w1});
  EXPECT_EQ(world.turn(), (Lines{"to 1: Stop"}));
  EXPECT_FALSE(claims.start(1, 0));
  world.head(NodeWorld::jobs(w1, 3, 3));  // crossed the request
  EXPECT_EQ(world.turn(), Lines{});
  world.now += 2s;
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1"}));
  world.worker(w1, NodeWorld::value(0));
  world.exits(w1, terminated);
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 1.1=v",
                                 "WorkerExited 1 requested running [] unstarted [2.1 3.1]: the worker on "
                                 "here slot 0 (pid 4001) was killed by signal 15 (SIGTERM) between jobs: "
                                 "the head took its slot back"}));
}

TEST(NodeWorkers, ClosingAPoolFreesItsSlotsWithinASecond) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.start_job(w1, 0);
  world.turn();
  world.head(wire::ClosePoolHere{NodeWorld::pool});
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1", "to 1: Stop after SIGTERM"}));
  world.now += 500ms;
  EXPECT_EQ(world.turn(), (Lines{"SIGKILL to 1"}));
  world.exits(w1, {{}, SIGKILL, {}, {}});
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 requested running [1.1] unstarted []: the worker on here slot 0 (pid 4001) was "
                   "killed by signal 9 (SIGKILL) while it ran the job: its pool was closed"}));
  world.connect();
  EXPECT_EQ(world.turn(), (Lines{"NodeState"}));
}

TEST(NodeWorkers, APoolMayBeClosedBeforeItsWorkersAreBorn) {
  NodeWorld world;
  PoolOptions options;
  world.connect();
  world.open_pool(options);
  world.start(w1);
  options.program_hash = "f00d";
  world.open_pool(options);
  world.start(w2, 1);
  world.turn();
  world.head(wire::ClosePoolHere{NodeWorld::pool});
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 2 requested running [] unstarted []: the worker on here slot 1 was not started: "
                   "its pool was closed"}));
  world.spawned(w1);
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1"}));
  world.exits(w1, terminated);
  EXPECT_EQ(world.turn().size(), 1U);
}

TEST(NodeWorkers, AStopThatOvertakesItsStartIsRemembered) {
  NodeWorld world;
  world.connect();
  world.open_pool();
  world.head(wire::StopWorker{w1});
  world.turn();
  world.start(w1);
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 requested running [] unstarted []: the worker on here slot 0 was not started"}));
}

TEST(NodeWorkers, AWorkerOfAnUnknownPoolCannotBeStarted) {
  NodeWorld world;
  world.connect();
  world.turn();
  world.start(w1);
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 init_failed running [] unstarted []: the worker on here slot 0 cannot be "
                   "started: its pool is not known to this node"}));
}

TEST(NodeWorkers, AWorkerThatClosedItsChannelAndLivesOnIsEnded) {
  NodeWorld world;
  world.ready(w1);
  world.machine.worker_hung_up(w1, world.now);
  EXPECT_EQ(world.turn(), Lines{});
  EXPECT_EQ(world.machine.next_deadline(), world.now + 1s);
  world.now += 1s;
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1", "to 1: Stop after SIGTERM"}));
  world.exits(w1, terminated);
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 died running [] unstarted []: the worker on here slot 0 (pid 4001) was killed "
                   "by signal 15 (SIGTERM) between jobs: it had closed its channel to the node"}));
}

TEST(NodeWorkers, AWorkerThatEndsInAnUpdateSaysInWhich) {
  NodeWorld world;
  world.ready(w1);
  world.claims.at(w1)->update_number = 7;
  world.claims.at(w1)->update_started_at_ns = 1;
  world.exits(w1, segfault);
  const Lines lines = world.turn();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("(SIGSEGV) while it applied update 7"), std::string::npos) << lines[0];
}

TEST(NodeWorkers, ASigtermOfOthersWhileTheNodeLeavesIsNoFaultOfTheJob) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.start_job(w1, 0);
  world.turn();
  EXPECT_FALSE(world.machine.ends(w1));
  world.machine.leave("asked to", world.now + 60s, world.effects);
  world.exits(w1, terminated);
  EXPECT_EQ(world.turn(), (Lines{"NodeLeaving",
                                 "WorkerExited 1 drained running [1.1] unstarted []: the worker on here slot 0 (pid "
                                 "4001) was killed by signal 15 (SIGTERM) while it ran the job: its node is leaving",
                                 "left"}));
}

TEST(NodeWorkers, AWorkerThatBreaksTheProtocolIsKilled) {
  NodeWorld world;
  world.ready(w1);
  world.machine.channel_broke(w1, "what it sent cannot be read: garbage", world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"SIGTERM to 1", "to 1: Stop after SIGTERM", "SIGKILL to 1"}));
}

// --- Leaving ----------------------------------------------------------------------------------------------------

TEST(NodeWorkers, ALeavingNodeFinishesItsJobsFirst) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.start_job(w1, 0);
  world.turn();
  world.machine.leave("asked to", world.now + 60s, world.effects);
  world.start(w2, 1);
  EXPECT_EQ(world.turn(), (Lines{"NodeLeaving",
                                 "WorkerExited 2 drained running [] unstarted []: the worker on here slot 1 was "
                                 "not started: its node is leaving"}));
  world.worker(w1, NodeWorld::value(0));
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 1.1=v"}));  // and waits a moment for the acknowledgement
  world.head(wire::AckResults{NodeWorld::pool, {{1, {1, 1}}}});
  EXPECT_EQ(world.turn(), (Lines{"to 1: Stop"}));
  world.exits(w1, ended_in_order);
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 drained running [] unstarted []: the worker on here slot 0 (pid 4001) ended with "
                   "exit status 0 between jobs: its node is leaving",
                   "left"}));
  EXPECT_EQ(world.turn(), Lines{});
}

TEST(NodeWorkers, ALeavingNodeDoesNotWaitLongForAcknowledgements) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.worker(w1, NodeWorld::value(0));
  world.machine.leave("asked to", world.now + 60s, world.effects);
  world.turn();
  EXPECT_EQ(world.machine.next_deadline(), world.now + 1s);
  world.now += 1s;
  EXPECT_EQ(world.turn(), (Lines{"to 1: Stop"}));
}

TEST(NodeWorkers, ALeavingNodeWithoutWorkersWaitsQuietlyForAcknowledgements) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.worker(w1, NodeWorld::value(0));
  world.exits(w1, terminated);
  world.machine.leave("asked to", world.now + 60s, world.effects);
  world.turn();
  EXPECT_EQ(world.machine.next_deadline(), world.now + 1s);
  world.now += 1s;
  EXPECT_EQ(world.turn(), Lines{"left"});
}

TEST(NodeWorkers, ALeavingNodeAbortsItsJobsAtTheDeadline) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.start_job(w1, 0);
  world.turn();
  world.machine.leave("asked to", world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"NodeLeaving", "SIGTERM to 1", "to 1: Stop after SIGTERM"}));
  world.now += 500ms;
  EXPECT_EQ(world.turn(), (Lines{"SIGKILL to 1"}));
  world.exits(w1, {{}, SIGKILL, {}, {}});
  const Lines lines = world.turn();
  EXPECT_EQ(lines.front().substr(0, 50),
            std::string("WorkerExited 1 drained running [1.1] unstarted []: the").substr(0, 50));
  EXPECT_EQ(lines.back(), "left");
}

TEST(NodeWorkers, ALeavingNodeSaysSoInEverySession) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.start_job(w1, 0);
  world.machine.leave("asked to", world.now + 60s, world.effects);
  world.turn();
  world.connect();
  EXPECT_EQ(world.turn().back(), "NodeLeaving");
}

// --- What is said -----------------------------------------------------------------------------------------------

TEST(WorkerExit, ALoaderErrorNamesTheLibrary) {
  const ExitScene scene{"here", 2, 77, ExitCause::init_failed, {}, false, false};
  ErrorInfo error =
      describe_end(scene, {127, {}, "/x: error while loading shared libraries: libfoo.so.3: cannot open", {}});
  EXPECT_EQ(error.message,
            "the worker on here slot 2 (pid 77) ended with exit status 127 while it constructed the class: the "
            "program needs the library libfoo.so.3, which this machine lacks: install it here, or link it "
            "statically");
  EXPECT_EQ(error.kind, ErrorKind::worker_init_error);
  error = describe_end(scene, {1, {}, "/x: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /x)", {}});
  EXPECT_NE(error.message.find("the program needs GLIBC_2.38"), std::string::npos) << error.message;
}

TEST(WorkerExit, ADeathIsDescribedForProgramsToo) {
  const ExitScene scene{"here", 2, 77, ExitCause::died, {}, true, true};
  ErrorInfo expected{ErrorKind::worker_died,
                     "the worker on here slot 2 (pid 77) was killed by signal 9 (SIGKILL) while it ran "
                     "the job",
                     "last words",
                     "",
                     "here",
                     2,
                     -1,
                     SIGKILL};
  EXPECT_EQ(describe_end(scene, {{}, SIGKILL, "last words", {}}), expected);
}

}  // namespace
}  // namespace dc::node

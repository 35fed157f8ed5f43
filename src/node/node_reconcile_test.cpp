// The node and the head: pools, jobs, updates, results, reconnection.
#include "node/node_machine.hpp"

#include <gtest/gtest.h>

#include "node/effect_text_for_tests.hpp"

namespace dc::node {
namespace {

wire::UpdateDone update_raised(UpdateNumber number) {
  wire::UpdateDone done{number, true, {}, {}};
  done.error->message = "KeyError";
  return done;
}

TEST(NodeMachine, AWorkerIsSpawnedConstructedAndRunsJobsInOrder) {
  NodeWorld world;
  world.connect();
  EXPECT_EQ(world.turn(), (Lines{"NodeState"}));
  world.open_pool();
  world.start(w1, 1);
  EXPECT_EQ(world.turn(), (Lines{"spawn 1 on slot 1"}));
  world.spawned(w1);
  EXPECT_EQ(world.turn(), (Lines{"to 1: Begin spec", "to 1: HistoryEnd"}));
  world.head(NodeWorld::jobs(w1, 1, 1));
  EXPECT_EQ(world.turn(), Lines{});  // not before it is constructed
  world.worker(w1, wire::WorkerConstructed{});
  EXPECT_EQ(world.turn(), (Lines{"WorkerReady 1 pid 4001", "to 1: Job #0 a1"}));
  world.head(NodeWorld::jobs(w1, 2, 3));
  world.worker(w1, NodeWorld::value(0, "x"));
  world.worker(w1, NodeWorld::value(1, "y"));
  EXPECT_EQ(world.turn(), (Lines{"to 1: Job #1 a2", "to 1: Job #2 a3", "JobsDone 1 1.1=x 2.1=y"}));
}

TEST(NodeMachine, AnExceptionIsReportedAtOnceAndAlone) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.turn();
  wire::WorkerError error{0, 5, {}, {}};
  error.error->message = "ValueError: no";
  world.worker(w1, error, NodeWorld::value(1));
  EXPECT_EQ(world.turn(), (Lines{"JobFailed 1 1.1: ValueError: no", "JobsDone 1 2.1=v"}));
}

TEST(NodeMachine, AJobWaitsForItsUpdateAndHoldsUpThoseBehindIt) {
  NodeWorld world;
  world.ready(w1);
  world.head(wire::RunJobs{w1, {NodeWorld::job(1), NodeWorld::job(2, 1), NodeWorld::job(3)}});
  EXPECT_EQ(world.turn(), (Lines{"to 1: Job #0 a1"}));
  world.head(world.update(1));
  EXPECT_EQ(world.turn(), (Lines{"to 1: Update 1 u1", "to 1: Job #1 a2", "to 1: Job #2 a3"}));
  world.worker(w1, wire::UpdateDone{1});
  EXPECT_EQ(world.turn(), (Lines{"UpdatesApplied 1 1"}));
}

TEST(NodeMachine, AWorkerThatStartsLaterGetsTheHistoryAndEveryUpdateOnce) {
  NodeWorld world;
  world.ready(w1);
  world.head(world.update(1), world.update(2), world.update(2));
  EXPECT_EQ(world.turn(), (Lines{"to 1: Update 1 u1", "to 1: Update 2 u2"}));
  world.start(w2, 1, 1);
  world.turn();
  world.spawned(w2);
  world.head(world.update(3));  // while it is being constructed
  EXPECT_EQ(world.turn(), (Lines{"to 2: Begin spec", "to 2: Update 2 u2", "to 2: HistoryEnd", "to 1: Update 3 u3",
                                 "to 2: Update 3 u3"}));
}

TEST(NodeMachine, OnlyTheLatestAppliedUpdateOfATurnIsReportedButEveryError) {
  NodeWorld world;
  world.ready(w1);
  world.head(world.update(1), world.update(2), world.update(3));
  world.turn();
  world.worker(w1, wire::UpdateDone{1}, update_raised(2), wire::UpdateDone{3});
  EXPECT_EQ(world.turn(), (Lines{"UpdatesApplied 1 2: KeyError", "UpdatesApplied 1 3"}));
}

TEST(NodeMachine, WithoutHistoryUpdatesMayJumpAndAreForgottenOnceHandedOut) {
  NodeWorld world;
  PoolOptions options;
  options.keep_updates_history = false;
  world.ready(w1, options);
  world.head(world.update(1), world.update(2));
  EXPECT_EQ(world.turn(), (Lines{"to 1: Update 1 u1", "to 1: Update 2 u2"}));
  world.start(w2, 1, 2);        // skips what there was
  world.head(world.update(3));  // comes before its process does
  EXPECT_EQ(world.turn(), (Lines{"spawn 2 on slot 1", "to 1: Update 3 u3"}));
  world.spawned(w2);
  EXPECT_EQ(world.turn(), (Lines{"to 2: Begin spec", "to 2: Update 3 u3", "to 2: HistoryEnd"}));
  world.worker(w2, wire::WorkerConstructed{});
  world.turn();
  world.head(world.update(9), wire::RunJobs{w2, {NodeWorld::job(1, 9)}});  // the head lost those between
  EXPECT_EQ(world.turn(), (Lines{"to 1: Update 9 u9", "to 2: Update 9 u9", "to 2: Job #0 a1"}));
  world.connect();
  EXPECT_EQ(world.turn().front().substr(0, 45), "NodeState pool 7: updates 9 finished [] worke");
}

TEST(NodeMachine, WithoutHistoryUpdatesAreKeptForTheFirstWorkerWhileTheHeadSaysSo) {
  NodeWorld world;
  PoolOptions options;
  options.keep_updates_history = false;
  world.open_pool(options);
  const auto kept = [&](UpdateNumber number) {
    wire::PoolUpdate update = world.update(number);
    update.keep = true;
    return update;
  };
  world.head(kept(1));
  world.start(w1, 0, 0);
  world.head(kept(2));
  world.turn();
  world.spawned(w1);
  EXPECT_EQ(world.turn(), (Lines{"to 1: Begin spec", "to 1: Update 1 u1", "to 1: Update 2 u2", "to 1: HistoryEnd"}));
  world.start(w2, 1, 0);  // before anybody is ready
  world.turn();
  world.head(world.update(3));
  world.turn();
  world.spawned(w2);
  EXPECT_EQ(world.turn(), (Lines{"to 2: Begin spec", "to 2: Update 1 u1", "to 2: Update 2 u2", "to 2: Update 3 u3",
                                 "to 2: HistoryEnd"}));
}

TEST(NodeMachine, JobsAreTakenBackFromTheTailUnlessTheyWereStarted) {
  NodeWorld world;
  wire::Claims& claims = world.ready(w1);
  world.head(wire::RunJobs{w1, {NodeWorld::job(1), NodeWorld::job(2), NodeWorld::job(3), NodeWorld::job(4, 1)}});
  world.turn();
  world.start_job(w1, 0);
  world.head(wire::RecallJobs{w1, 2});
  EXPECT_EQ(world.turn(), (Lines{"JobsRecalled 1 [4.1 3.1]"}));
  EXPECT_FALSE(claims.start(2, 0)) << "the worker must skip it";
  world.head(wire::RecallJobs{w1, 5});
  EXPECT_EQ(world.turn(), (Lines{"JobsRecalled 1 [2.1]"}));
  world.head(wire::RecallJobs{w1, 5}, wire::RecallJobs{WorkerId{99}, 1});
  EXPECT_EQ(world.turn(), (Lines{"JobsRecalled 1 []"}));
}

TEST(NodeMachine, TakingJobsBackAgainAndAgainNeverBlocksTheWorker) {
  NodeWorld world;
  wire::Claims& claims = world.ready(w1);
  std::deque<std::uint64_t> socket;  // jobs in front of the worker
  const auto turn = [&] {
    for (const std::string& line : world.turn()) {
      if (line.starts_with("to 1: Job #")) socket.push_back(std::stoull(line.substr(11)));
    }
  };
  world.head(NodeWorld::jobs(w1, 1, 1));
  turn();
  claims.start(socket.front(), 1);  // a long job, during which others come and go
  for (JobSequence round = 1; round <= 10; ++round) {
    world.head(NodeWorld::jobs(w1, 1000 * round, 1000 * round + 399), wire::RecallJobs{w1, 400});
    turn();
  }
  world.worker(w1, NodeWorld::value(socket.front()));
  socket.pop_front();
  turn();
  while (!socket.empty()) {
    if (claims.start(socket.front(), 1)) world.worker(w1, NodeWorld::value(socket.front()));
    socket.pop_front();
    turn();
  }
  world.head(NodeWorld::jobs(w1, 50'000, 50'000));
  EXPECT_EQ(world.turn().size(), 1U) << "the claims are full for ever";
  world.connect();
  const std::string state = world.turn().front();
  EXPECT_NE(state.find("held [50000.1]"), std::string::npos) << "every other job was answered or given back";
}

TEST(NodeMachine, NoMoreJobsAreHandedOverThanThereAreClaims) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 3000));
  EXPECT_EQ(world.turn().size(), limits::claims - 1);
  world.worker(w1, NodeWorld::value(0), NodeWorld::value(1));
  EXPECT_EQ(world.turn(), (Lines{"to 1: Job #2047 a2048", "to 1: Job #2048 a2049", "JobsDone 1 1.1=v 2.1=v"}));
}

TEST(NodeMachine, AfterAReconnectionResultsWaitUntilThePoolIsActivated) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 4));
  world.turn();
  world.worker(w1, NodeWorld::value(0, "x"));  // sent, not acknowledged
  world.turn();
  world.machine.session_closed();
  world.worker(w1, NodeWorld::value(1, "y"));
  EXPECT_EQ(world.turn(), Lines{});
  world.connect();
  EXPECT_EQ(world.turn(),
            (Lines{"NodeState pool 7: updates 0 finished [1.1 2.1] worker 1: pool 7 slot 0 ready pid 4001 "
                   "updates 0 held [3.1 4.1]"}));
  world.worker(w1, NodeWorld::value(2, "z"));
  EXPECT_EQ(world.turn(), Lines{});
  world.head(wire::ActivatePool{NodeWorld::pool});
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 1.1=x 2.1=y 3.1=z"}));
  world.worker(w1, NodeWorld::value(3, "last"));
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 4.1=last"}));
}

TEST(NodeMachine, OpeningThePoolAgainActivatesItToo) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 1));
  world.turn();
  world.machine.session_closed();
  world.worker(w1, NodeWorld::value(0, "x"));
  world.connect();
  world.turn();
  world.open_pool();
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 1.1=x"}));
}

TEST(NodeMachine, AnAcknowledgedResultIsForgottenIfItsTokenIsTheSame) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.worker(w1, NodeWorld::value(0), NodeWorld::value(1));
  world.head(wire::AckResults{NodeWorld::pool, {{1, {1, 1}}, {2, {1, 9}}}});
  world.connect();
  EXPECT_EQ(world.turn().at(2),
            "NodeState pool 7: updates 0 finished [2.1] worker 1: pool 7 slot 0 ready pid 4001 updates 0 held []");
}

TEST(NodeMachine, ManyResultsOfATurnAreSplitIntoMessagesThatFitIntoAFrame) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 40));
  world.turn();
  const std::string big(limits::inline_payload_max, 'x');
  for (std::uint64_t index = 0; index < 40; ++index) world.worker(w1, wire::WorkerValue{index, 5, Payload::copy(big)});
  world.machine.flush(world.now, world.effects);
  std::size_t items = 0;
  for (const Effect& effect : world.effects) {
    const auto& done = std::get<wire::JobsDone>(*std::get<ToHead>(effect).message);
    items += done.items.size();
    EXPECT_LE(done.items.size() * big.size(), limits::batch_bytes_max + big.size());
  }
  EXPECT_EQ(items, 40U);
}

TEST(NodeMachine, ALargeResultTravelsAlone) {
  NodeWorld world;
  world.ready(w1);
  world.head(NodeWorld::jobs(w1, 1, 2));
  world.turn();
  world.worker(w1, NodeWorld::value(0), wire::WorkerValue{1, 5, Payload(std::string(1 << 20, 'x'))});
  EXPECT_EQ(world.turn(), (Lines{"JobsDone 1 2.1=(large)", "JobsDone 1 1.1=v"}));
}

TEST(NodeMachine, VeryManyResultsOfAPoolAreReportedInListsThatAReceiverTakes) {
  NodeWorld world;
  world.ready(w1);
  constexpr JobSequence all = 2 * limits::sequences_per_message + 10;
  world.head(NodeWorld::jobs(w1, 1, all));
  world.machine.session_closed();
  for (JobSequence job = 1; job <= all; ++job) {
    world.worker(w1, NodeWorld::value(job - 1));
    world.effects.clear();
  }
  world.connect();
  const auto state = std::get<wire::NodeState>(*std::get<ToHead>(world.effects.at(0)).message);
  std::vector<std::size_t> parts;
  for (const wire::HeldPool& part : state.pools) {
    EXPECT_EQ(part.pool, NodeWorld::pool);
    parts.push_back(part.finished.size());
  }
  EXPECT_EQ(parts, (std::vector<std::size_t>{limits::sequences_per_message, limits::sequences_per_message, 10}));
}

TEST(NodeMachine, AMissingProgramIsAskedForOnceAndAgainAfterAReconnection) {
  NodeWorld world;
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = "f00d";
  world.connect();
  world.open_pool(options);
  world.start(w1, 0);
  world.start(w2, 1);
  EXPECT_EQ(world.turn(), (Lines{"NodeState", "NeedProgram f00d"}));
  world.machine.session_closed();
  world.connect();
  EXPECT_EQ(world.turn().back(), "NeedProgram f00d");
  world.head(wire::Program{"f00d", Payload::copy("elf")});
  EXPECT_EQ(world.turn(), (Lines{"store f00d"}));
  world.machine.program_stored("f00d", "", world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"use f00d for 1", "use f00d for 2"}));
  world.machine.program_usable(w2, world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"spawn 2 on slot 1"}));
  world.machine.program_missing(w1, world.now, world.effects);  // someone emptied the cache
  EXPECT_EQ(world.turn(), (Lines{"check f00d"}));
  world.machine.program_checked("f00d", false, world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"NeedProgram f00d"}));
}

TEST(NodeMachine, AProgramOfAnEarlierLifeIsLookedAtBeforeItsFirstUse) {
  NodeWorld world({"here", {{0, "cpu", 0}, {1, "cpu", 0}}, {"f00d", "beef"}});
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = "f00d";
  world.connect();
  world.open_pool(options);
  world.start(w1, 0);
  world.start(w2, 1);
  EXPECT_EQ(world.turn(), (Lines{"NodeState programs [\"beef\", \"f00d\"]", "check f00d"}));
  world.machine.session_closed();
  world.connect();
  EXPECT_EQ(world.turn().size(), 1U) << "the report; nothing is fetched for nothing";
  world.machine.program_checked("f00d", true, world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"use f00d for 1", "use f00d for 2"}));

  options.program_hash = "beef";
  world.head(wire::OpenPoolHere{PoolId{8}, options, {}}, wire::StartWorker{WorkerId{3}, PoolId{8}, 0, 0});
  EXPECT_EQ(world.turn(), (Lines{"check beef"}));
  world.machine.program_checked("beef", false, world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"NeedProgram beef"})) << "it was damaged";
  world.head(wire::Program{"beef", Payload::copy("elf")});
  EXPECT_EQ(world.turn(), (Lines{"store beef"}));
  world.machine.program_stored("beef", "", world.now, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"use beef for 3"}));
}

TEST(NodeMachine, AProgramThatCannotBeStoredIsAnInitErrorAndIsAskedForAgainLater) {
  NodeWorld world;
  PoolOptions options;
  options.program_hash = "f00d";
  world.connect();
  world.open_pool(options);
  world.start(w1);
  world.head(wire::Program{"f00d", Payload::copy("elf")});
  world.turn();
  world.machine.program_stored("f00d", "the disk is full", world.now, world.effects);
  EXPECT_EQ(world.turn(),
            (Lines{"WorkerExited 1 init_failed running [] unstarted []: the worker on here slot 0 cannot be "
                   "started: the disk is full"}));
  world.start(w2);
  EXPECT_EQ(world.turn(), (Lines{"NeedProgram f00d"}));
}

TEST(NodeMachine, OutputGoesToTheHeadOnlyWhenThePoolWantsIt) {
  NodeWorld world;
  world.ready(w1);
  world.machine.worker_printed(w1, {OutputStream::out, {"hello"}}, world.effects);
  EXPECT_EQ(world.turn(), Lines{});
  PoolOptions options;
  options.forward_output = ForwardOutput::all;
  world.open_pool(options);
  world.machine.worker_printed(w1, {OutputStream::err, {"hello"}, 7}, world.effects);
  EXPECT_EQ(world.turn(), (Lines{"OutputLines 0 err [\"hello\"] +7"}));
}

}  // namespace
}  // namespace dc::node

// The node's decisions, one story each.
#include "node/node_machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace dc::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr PoolId pool{10};
constexpr WorkerId worker{20};
constexpr TimePoint t0{std::chrono::hours(1)};

/// A node with a session, and the effects of the last call.
class Story : public testing::Test {
 protected:
  Story() {
    machine.session_opened(now, effects);
    state = std::get<wire::NodeState>(*taken<ToHead>().at(0).message);
  }
  template <class Kind>
  std::vector<Kind> taken() {
    std::vector<Kind> found;
    for (Effect& effect : effects) {
      if (auto* kind = std::get_if<Kind>(&effect)) found.push_back(std::move(*kind));
    }
    effects.clear();
    return found;
  }
  template <class Body>
  std::vector<Body> said() {
    std::vector<Body> found;
    for (const ToHead& effect : taken<ToHead>()) {
      if (const auto* body = std::get_if<Body>(&*effect.message)) found.push_back(*body);
    }
    return found;
  }
  std::vector<std::string> to_worker() {
    std::vector<std::string> names;
    for (const ToWorker& effect : taken<ToWorker>()) {
      std::visit(
          [&](const auto& body) {
            using Body = std::decay_t<decltype(body)>;
            if constexpr (std::is_same_v<Body, wire::Begin>) names.emplace_back("begin");
            if constexpr (std::is_same_v<Body, wire::HistoryEnd>) names.emplace_back("history end");
            if constexpr (std::is_same_v<Body, wire::Stop>) names.emplace_back("stop");
            if constexpr (std::is_same_v<Body, wire::WorkerUpdate>)
              names.push_back("update " + std::to_string(body.number));
            if constexpr (std::is_same_v<Body, wire::WorkerJob>) names.push_back("job " + std::to_string(body.index));
          },
          effect.message);
    }
    return names;
  }
  void hear(wire::Message message) {
    std::vector<wire::Message> messages;
    messages.push_back(std::move(message));
    machine.on_messages(std::move(messages), now, effects);
  }
  void worker_says(wire::FromWorker message) {
    std::vector<wire::FromWorker> messages;
    messages.push_back(std::move(message));
    machine.on_worker_messages(worker, std::move(messages), now, effects);
  }
  void open(PoolOptions options = {}) {
    hear(wire::OpenPoolHere{pool, options, Payload::copy(std::string_view("spec"))});
  }
  void start(UpdateNumber skip = 0) {
    hear(wire::StartWorker{worker, pool, 0, skip});
    effects.clear();
    machine.worker_spawned(worker, 4711, &claims, now, effects);
  }
  void construct() {
    start();
    worker_says(wire::WorkerConstructed{});
    effects.clear();
  }
  static wire::RunItem item(JobSequence sequence, UpdateNumber after = 0) {
    return {{sequence, {7, 1}}, after, Payload::copy(std::string_view("arguments"))};
  }
  void update(UpdateNumber number) { hear(wire::PoolUpdate{pool, number, Payload::copy(std::string_view("news"))}); }
  void flush() { machine.flush(now, effects); }
  bool claim(std::uint64_t index) {
    return claims.start(index, static_cast<std::uint64_t>(now.time_since_epoch().count()));
  }

  TimePoint now = t0;
  wire::Claims claims{};
  NodeMachine machine{NodeFacts{"host", {{0, "cpu", 0}}, {}}};
  Effects effects;
  wire::NodeState state;
};

TEST_F(Story, AWorkerIsBuiltWithTheHistoryAndThenReportedReady) {
  EXPECT_EQ(state.slots, (std::vector<SlotInfo>{{0, "cpu", 0}}));
  open();
  update(1);
  update(2);
  hear(wire::StartWorker{worker, pool, 0, 0});
  EXPECT_THAT(taken<SpawnWorker>(), SizeIs(1));
  machine.worker_spawned(worker, 4711, &claims, now, effects);
  EXPECT_THAT(to_worker(), ElementsAre("begin", "update 1", "update 2", "history end"));
  worker_says(wire::WorkerConstructed{});
  const auto ready = said<wire::WorkerReady>();
  ASSERT_THAT(ready, SizeIs(1));
  EXPECT_EQ(ready[0].pid, 4711U);
}

TEST_F(Story, WithoutHistoryEarlierUpdatesAreSkipped) {
  open();
  update(1);
  update(2);
  start(2);
  EXPECT_THAT(to_worker(), ElementsAre("begin", "history end"));
  update(3);
  EXPECT_THAT(to_worker(), ElementsAre("update 3"));
}

TEST_F(Story, AJobWaitsForItsUpdateAndSoDoThoseBehindIt) {
  open();
  construct();
  hear(wire::RunJobs{worker, {item(1), item(2, 1), item(3)}});
  EXPECT_THAT(to_worker(), ElementsAre("job 0"));
  update(1);
  EXPECT_THAT(to_worker(), ElementsAre("update 1", "job 1", "job 2"));
}

TEST_F(Story, ResultsOfATurnTravelTogetherAndAreKeptUntilAcknowledged) {
  open();
  construct();
  hear(wire::RunJobs{worker, {item(1), item(2)}});
  worker_says(wire::WorkerValue{0, 5, Payload::copy(std::string_view("one"))});
  worker_says(wire::WorkerValue{1, 6, Payload::copy(std::string_view("two"))});
  effects.clear();
  flush();
  const auto done = said<wire::JobsDone>();
  ASSERT_THAT(done, SizeIs(1));
  EXPECT_THAT(done[0].items, SizeIs(2));
  hear(wire::AckResults{pool, {{1, {7, 1}}}});
  machine.session_closed();
  machine.session_opened(now, effects);
  EXPECT_THAT(said<wire::NodeState>().at(0).pools.at(0).finished, ElementsAre(Attempt{2, {7, 1}}));
  flush();
  EXPECT_THAT(said<wire::JobsDone>(), IsEmpty()) << "the head does not know the pool yet";
  hear(wire::ActivatePool{pool});
  EXPECT_THAT(said<wire::JobsDone>(), SizeIs(1));
}

TEST_F(Story, JobsAreTakenBackFromTheTailUnlessTheyHaveStarted) {
  open();
  construct();
  hear(wire::RunJobs{worker, {item(1), item(2), item(3), item(4, 9)}});
  ASSERT_TRUE(claim(0));
  hear(wire::RecallJobs{worker, 10});
  const auto recalled = said<wire::JobsRecalled>();
  ASSERT_THAT(recalled, SizeIs(1));
  EXPECT_THAT(recalled[0].attempts, ElementsAre(Attempt{4, {7, 1}}, Attempt{3, {7, 1}}, Attempt{2, {7, 1}}));
  EXPECT_FALSE(claim(1)) << "the worker skips it";
}

TEST_F(Story, OnlyTheJobThatRanIsNamedWhenAWorkerDies) {
  open();
  construct();
  hear(wire::RunJobs{worker, {item(1), item(2), item(3)}});
  claim(0);
  worker_says(wire::WorkerValue{0, 5, {}});
  claim(1);
  effects.clear();
  machine.worker_exited(worker, {{}, SIGKILL, "last words", {}}, effects);
  const auto exited = said<wire::WorkerExited>();
  ASSERT_THAT(exited, SizeIs(1));
  EXPECT_EQ(exited[0].cause, ExitCause::died);
  EXPECT_THAT(exited[0].running, ElementsAre(Attempt{2, {7, 1}}));
  EXPECT_THAT(exited[0].unstarted, ElementsAre(Attempt{3, {7, 1}}));
  EXPECT_THAT(exited[0].error.message, HasSubstr("killed by signal 9 (SIGKILL) while it ran the job"));
  EXPECT_EQ(exited[0].error.traceback, "last words");
}

TEST_F(Story, AConstructorThatFailsSpeaksForItself) {
  open();
  start();
  worker_says(wire::ConstructionFailed{ErrorInfo::of(ErrorKind::worker_init_error, "no data set")});
  effects.clear();
  machine.worker_exited(worker, {1, {}, {}, {}}, effects);
  const auto exited = said<wire::WorkerExited>();
  EXPECT_EQ(exited.at(0).cause, ExitCause::init_failed);
  EXPECT_EQ(exited.at(0).error.message, "no data set");
}

TEST_F(Story, AJobOverItsLimitIsTerminatedAndThenKilled) {
  PoolOptions options;
  options.job_timeout = 1s;
  open(options);
  construct();
  hear(wire::RunJobs{worker, {item(1)}});
  claim(0);
  flush();
  EXPECT_THAT(taken<SignalWorker>(), IsEmpty());
  now += 1100ms;
  flush();
  EXPECT_EQ(taken<SignalWorker>().at(0).signal, SIGTERM);
  now += limits::terminate_grace;
  flush();
  EXPECT_EQ(taken<SignalWorker>().at(0).signal, SIGKILL);
  machine.worker_exited(worker, {{}, SIGKILL, {}, {}}, effects);
  EXPECT_EQ(said<wire::WorkerExited>().at(0).cause, ExitCause::job_timeout);
}

TEST_F(Story, AClosedPoolsWorkersAreKilledSoonAndItsResultsForgotten) {
  open();
  construct();
  hear(wire::RunJobs{worker, {item(1)}});
  claim(0);
  hear(wire::ClosePoolHere{pool});
  EXPECT_EQ(taken<SignalWorker>().at(0).signal, SIGTERM);
  now += 500ms;
  flush();
  EXPECT_EQ(taken<SignalWorker>().at(0).signal, SIGKILL);
  machine.worker_exited(worker, {{}, SIGKILL, {}, {}}, effects);
  EXPECT_EQ(said<wire::WorkerExited>().at(0).cause, ExitCause::requested);
}

TEST_F(Story, ALeavingNodeFinishesWhatRunsAndThenGoes) {
  open();
  construct();
  hear(wire::RunJobs{worker, {item(1)}});
  machine.leave("signal", now + 60s, effects);
  EXPECT_THAT(said<wire::NodeLeaving>(), SizeIs(1));
  flush();
  EXPECT_THAT(taken<Left>(), IsEmpty());
  worker_says(wire::WorkerValue{0, 5, {}});
  hear(wire::AckResults{pool, {{1, {7, 1}}}});
  flush();
  EXPECT_THAT(taken<SignalWorker>(), IsEmpty()) << "it is idle and ends by itself";
  machine.worker_exited(worker, {0, {}, {}, {}}, effects);
  flush();
  EXPECT_THAT(taken<Left>(), SizeIs(1));
}

TEST_F(Story, AProgramThatIsMissingIsAskedForOnce) {
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = "abc";
  open(options);
  hear(wire::StartWorker{worker, pool, 0, 0});
  EXPECT_THAT(said<wire::NeedProgram>(), SizeIs(1));
  hear(wire::Program{"abc", Payload::copy(std::string_view("ELF"))});
  EXPECT_THAT(taken<StoreProgram>(), SizeIs(1));
  machine.program_stored("abc", "", now, effects);
  EXPECT_THAT(taken<UseProgram>(), SizeIs(1));
  machine.program_usable(worker, now, effects);
  EXPECT_THAT(taken<SpawnWorker>(), SizeIs(1));
}

}  // namespace
}  // namespace dc::node

// The head between its sessions and its scheduler, one story each.
#include "head/head_machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr SessionId client_session{1}, node_session{2}, viewer_session{3};
constexpr PoolId pool{10};
constexpr TimePoint t0{std::chrono::hours(1)};

class Story : public testing::Test {
 protected:
  Story() {
    join(client_session, wire::Role::client, 100);
    join(node_session, wire::Role::node, 200);
    hear(node_session, wire::NodeState{{{0, "cpu", 0}}, {}, {}, {}});
  }
  void join(SessionId session, wire::Role role, std::uint64_t id) {
    machine.session_opened(session, {role, id, "host", 4711, "unix"}, now, effects);
  }
  void hear(SessionId session, wire::Message message) {
    effects.clear();
    std::vector<wire::Message> messages;
    messages.push_back(std::move(message));
    machine.on_messages(session, std::move(messages), now, effects);
    machine.flush(now, effects);
  }
  template <class Body>
  std::vector<Body> told(SessionId session) {
    std::vector<Body> found;
    for (const Effect& effect : effects) {
      const auto* send = std::get_if<Send>(&effect);
      if (!send || send->session != session) continue;
      if (const auto* body = std::get_if<Body>(&send->message)) found.push_back(*body);
    }
    return found;
  }
  std::vector<SessionId> closed() {
    std::vector<SessionId> sessions;
    for (const Effect& effect : effects) {
      if (const auto* close = std::get_if<CloseSession>(&effect)) sessions.push_back(close->session);
    }
    return sessions;
  }
  WorkerId open(PoolOptions options = {}) {
    hear(client_session, wire::OpenPool{pool, options, false, Payload::copy(std::string_view("spec"))});
    const auto started = told<wire::StartWorker>(node_session);
    const WorkerId worker = started.empty() ? WorkerId{} : started[0].worker;
    hear(node_session, wire::WorkerReady{worker, 99});
    return worker;
  }
  void submit(JobSequence first, JobSequence last) {
    wire::SubmitJobs message{pool, {}};
    for (JobSequence i = first; i <= last; ++i) message.jobs.push_back({i, 0, Payload::copy(std::string_view("x"))});
    hear(client_session, std::move(message));
  }

  TimePoint now = t0;
  HeadMachine machine{HeadFacts{77, 1, 8899, "head", "127.0.0.1"}, t0};
  Effects effects;
};

TEST_F(Story, AJobGoesThereAndItsValueComesBack) {
  const WorkerId worker = open();
  submit(1, 2);
  const auto runs = told<wire::RunJobs>(node_session);
  ASSERT_THAT(runs, SizeIs(1));
  ASSERT_THAT(runs[0].items, SizeIs(1)) << "the second waits for the worker";
  const Attempt attempt = runs[0].items[0].attempt;
  hear(node_session, wire::JobsDone{worker, pool, {{attempt, 5, Payload::copy(std::string_view("value"))}}});
  const auto values = told<wire::JobValues>(client_session);
  ASSERT_THAT(values, SizeIs(1));
  EXPECT_EQ(values[0].items[0].sequence, 1U);
  EXPECT_EQ(values[0].items[0].value.view(), "value");
  hear(client_session, wire::AckOutcomes{pool, {1}});
  EXPECT_THAT(told<wire::AckResults>(node_session).at(0).attempts, ElementsAre(attempt));
}

TEST_F(Story, ShortJobsTravelTogether) {
  const WorkerId worker = open();
  submit(1, 1);
  const auto attempt = told<wire::RunJobs>(node_session).at(0).items.at(0).attempt;
  hear(node_session, wire::JobsDone{worker, pool, {{attempt, 5, {}}}});
  submit(2, 101);
  const auto runs = told<wire::RunJobs>(node_session);
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_THAT(runs[0].items, SizeIs(100));
}

TEST_F(Story, AProgramIsAskedForOnceAndSentBeforeItsPool) {
  PoolOptions options;
  options.program_hash = "abc";
  hear(client_session, wire::OpenPool{pool, options, false, {}});
  EXPECT_THAT(told<wire::NeedProgram>(client_session), SizeIs(1));
  EXPECT_THAT(told<wire::PoolOpened>(client_session), IsEmpty());
  hear(client_session, wire::Program{"abc", Payload::copy(std::string_view("ELF"))});
  EXPECT_THAT(told<wire::PoolOpened>(client_session), SizeIs(1));
  EXPECT_THAT(told<wire::Program>(node_session), SizeIs(1));
  EXPECT_THAT(told<wire::OpenPoolHere>(node_session), SizeIs(1));
}

TEST_F(Story, APoolWhoseClientComesBackGoesOnAndOneWhoseClientDoesNotIsClosed) {
  open();
  submit(1, 2);
  machine.session_closed(client_session, now, effects);
  now += limits::client_return_grace - 1s;
  machine.flush(now, effects);
  constexpr SessionId again{9};
  join(again, wire::Role::client, 100);
  hear(again, wire::ResumePool{pool, {1, 2, 3}});
  const auto known = told<wire::PoolKnown>(again);
  ASSERT_THAT(known, SizeIs(1));
  EXPECT_TRUE(known[0].known);
  EXPECT_THAT(known[0].missing, ElementsAre(3));
  machine.session_closed(again, now, effects);
  effects.clear();
  now += limits::client_return_grace;
  machine.flush(now, effects);
  EXPECT_THAT(told<wire::ClosePoolHere>(node_session), SizeIs(1));
}

TEST_F(Story, AClientThatSaysGoodbyeIsNotWaitedFor) {
  open();
  hear(client_session, wire::Goodbye{""});
  effects.clear();
  machine.session_closed(client_session, now, effects);
  EXPECT_THAT(told<wire::ClosePoolHere>(node_session), SizeIs(1));
}

TEST_F(Story, AnUnknownPoolIsNotKnown) {
  hear(client_session, wire::ResumePool{PoolId{5}, {1}});
  EXPECT_FALSE(told<wire::PoolKnown>(client_session).at(0).known);
}

TEST_F(Story, MessagesForAnotherRoleEndTheSession) {
  hear(client_session, wire::WorkerReady{WorkerId{1}, 1});
  EXPECT_THAT(closed(), ElementsAre(client_session));
  hear(node_session, wire::ClosePool{pool});
  EXPECT_THAT(closed(), ElementsAre(node_session));
  join(viewer_session, wire::Role::viewer, 0);
  hear(viewer_session, wire::SubmitJobs{pool, {}});
  EXPECT_THAT(closed(), ElementsAre(viewer_session));
}

TEST_F(Story, AnotherClientCannotTouchAPool) {
  open();
  constexpr SessionId stranger{9};
  join(stranger, wire::Role::client, 101);
  hear(stranger, wire::ClosePool{pool});
  EXPECT_THAT(told<wire::ClosePoolHere>(node_session), IsEmpty());
  hear(stranger, wire::ResumePool{pool, {}});
  EXPECT_FALSE(told<wire::PoolKnown>(stranger).at(0).known);
}

TEST_F(Story, AWeightThatIsNoWeightIsRefusedWithASentence) {
  PoolOptions options;
  options.weight = 0;
  hear(client_session, wire::OpenPool{pool, options, false, {}});
  EXPECT_THAT(told<wire::PoolFailed>(client_session).at(0).error.message, testing::HasSubstr("above 0"));
}

TEST_F(Story, TheStatusIsJson) {
  open();
  submit(1, 3);
  join(viewer_session, wire::Role::viewer, 0);
  hear(viewer_session, wire::StatusRequest{});
  const auto json = nlohmann::json::parse(told<wire::StatusReply>(viewer_session).at(0).json);
  EXPECT_EQ(json["nodes"][0]["slots"][0]["state"], "busy");
  EXPECT_EQ(json["nodes"][0]["slots"][0]["worker_pid"], 99);
  EXPECT_EQ(json["pools"][0]["jobs_queued"], 2);
}

}  // namespace
}  // namespace dc::head

// For the tests: a head with one client (session 1), one node of one slot (session 2), and a clock moved by hand.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "head/effects_text_for_tests.hpp"
#include "head/head_machine.hpp"

namespace dc::head {

using Lines = std::vector<std::string>;

class Story : public testing::Test {
 protected:
  static constexpr SessionId client{1}, node{2};
  static constexpr PoolId asked{10};
  static constexpr std::uint64_t client_id = 100, node_id = 200;
  static constexpr Attempt first_attempt{1, {77, 1}};

  Story() {
    join(client, wire::Role::client, client_id);
    join(node, wire::Role::node, node_id);
    hear(node, wire::NodeState{{{0, "cpu", 0}}, {}, {}, {}});
  }
  void join(SessionId session, wire::Role role, std::uint64_t id) {
    effects.clear();
    machine.session_opened(session, {role, id, role == wire::Role::node ? "there" : "here", 4711, "unix"}, now,
                           effects);
    machine.flush(now, effects);
  }
  /// The effects of these messages, which arrive in one turn, and of the flush after them. Programs are hashed at once:
  /// those that begin with "ELF" are what their name says.
  Lines hear(SessionId session, std::vector<wire::Message> messages) {
    effects.clear();
    machine.on_messages(session, std::move(messages), now, effects);
    for (Effect& effect : std::exchange(effects, {})) {
      auto* asked = std::get_if<HashProgram>(&effect);
      if (!asked) {
        effects.push_back(std::move(effect));
        continue;
      }
      const std::string hash = asked->program.view().starts_with("ELF") ? asked->hash : "another";
      machine.program_hashed(std::move(*asked), hash, now, effects);
    }
    machine.flush(now, effects);
    return text_of(effects);
  }
  Lines hear(SessionId session, wire::Message message) {
    std::vector<wire::Message> messages;
    messages.push_back(std::move(message));
    return hear(session, std::move(messages));
  }
  Lines lose(SessionId session) {
    effects.clear();
    machine.session_closed(session, now, effects);
    machine.flush(now, effects);
    return text_of(effects);
  }
  /// The loop calls at every deadline on the way, as the timer does.
  Lines wait(Duration duration) {
    effects.clear();
    const TimePoint end = now + duration;
    for (TimePoint next = machine.next_deadline(); next <= end; next = machine.next_deadline()) {
      now = std::max(now + 1ns, next);
      machine.flush(now, effects);
    }
    now = end;
    return text_of(effects);
  }
  /// Opens the pool and lets its worker be ready.
  WorkerId open(PoolOptions options = {}) {
    hear(client, wire::OpenPool{pool, std::move(options), false, bytes("spec")});
    const auto started = told<wire::StartWorker>(node);
    const WorkerId worker = started.empty() ? WorkerId{} : started[0].worker;
    hear(node, wire::WorkerReady{worker, 99});
    return worker;
  }
  Lines submit(JobSequence first, JobSequence last) {
    wire::SubmitJobs message{pool, {}};
    for (JobSequence i = first; i <= last; ++i) message.jobs.push_back({i, 0, bytes("x")});
    return hear(client, std::move(message));
  }
  /// Messages of one kind among the latest effects.
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
  static Payload bytes(std::string text) { return Payload(std::move(text)); }
  static Payload bytes(std::size_t size) { return Payload(std::string(size, 'x')); }

  PoolId pool = asked;  ///< as the head calls it
  TimePoint now = TimePoint(std::chrono::hours(1));
  HeadMachine machine{HeadFacts{77, 1, 8899, "head", "127.0.0.1"}, now};
  Effects effects;
};

}  // namespace dc::head

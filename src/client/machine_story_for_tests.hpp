// For the tests of the client machine: a machine whose effects are short lines of text.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "client/client_machine.hpp"
#include "client/test_values_for_tests.hpp"

namespace dc::client {

inline constexpr PoolId pool{7000};
inline constexpr TimePoint t0{1h};
inline constexpr std::uint64_t no_limit = std::uint64_t{1} << 40;

inline std::string list(const auto& numbers) {
  std::string text;
  for (auto number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return "[" + text + "]";
}

/// One message as a short line; "@pool" and "@own" name lanes other than the control lane.
inline std::string line(const wire::Outgoing& out) {
  std::string text = std::visit(
      [](const auto& body) {
        std::string line = body.name;
        if constexpr (requires { body.attach_only; }) {
          if (!body.pool_name.empty()) line += " " + body.pool_name;
          line += (body.attach_only ? " attach" : "") + std::string(body.steal ? " steal" : "");
          if (body.pool_name.empty()) line += body.resumed ? " resumed" : " new";
        }
        if constexpr (requires { body.leave; }) line += body.leave ? " leave" : "";
        if constexpr (requires { body.in_order; }) line += body.in_order ? " in order" : "";
        if constexpr (requires { body.outstanding; }) {
          if (!body.pool_name.empty()) line += " from " + std::to_string(body.first_own);
          line += " " + list(body.outstanding);
          if (!body.pool_name.empty()) line += " " + list(body.received);
        }
        if constexpr (requires { body.sequences; }) line += " " + list(body.sequences);
        if constexpr (requires { body.count; }) line += " " + std::to_string(body.count);
        if constexpr (requires {
                        body.number;
                        body.payload;
                      }) {
          line += " " + std::to_string(body.number) + "=" + std::string(body.payload.view());
        }
        if constexpr (requires { body.jobs; }) {
          for (const SubmittedJob& job : body.jobs) {
            line += " " + std::to_string(job.sequence);
            if (job.after_update != 0) line += "/" + std::to_string(job.after_update);
            if (!job.key.empty()) line += "'" + job.key;
          }
        }
        return line;
      },
      out.message);
  if (out.lane == pool.value) return text + " @pool";
  return out.lane == wire::control_lane ? text : text + " @own";
}

inline std::string line(const Report& report) {
  struct Lines {
    std::string operator()(const PoolIsOpen&) { return "open"; }
    std::string operator()(const PoolIsOver& r) { return "over: " + r.error.message; }
    std::string operator()(const UpdatesAccepted& r) { return "accepted " + std::to_string(r.number); }
    std::string operator()(const UpdatesDone& r) { return "applied " + std::to_string(r.number); }
    std::string operator()(const UpdateRaised& r) {
      return "raised " + std::to_string(r.number) + ": " + r.outcome.error->message;
    }
    std::string operator()(const CountsChanged& r) { return "workers " + std::to_string(r.state.workers); }
    std::string operator()(const Note& r) { return r.text; }
    std::string operator()(const OutputSeen& r) { return r.lines.host + "| " + r.lines.lines.at(0); }
  };
  return std::visit(Lines{}, report);
}

/// A machine, and what it wanted since the last look.
struct Client {
  explicit Client(ClientMachine::Config given = {}) : machine(with_pool(std::move(given))) {}

  static ClientMachine::Config with_pool(ClientMachine::Config config) {
    config.pool = pool;
    config.head_name = "head:8899";
    return config;
  }
  void look(TimePoint now = t0) {
    Effects effects = machine.take_effects(now);
    sent.clear(), reports.clear(), delivered.clear();
    for (const auto& out : effects.sends) sent.push_back(line(out));
    for (const auto& report : effects.reports) reports.push_back(line(report));
    for (const auto& delivery : effects.deliveries) {
      for (const auto& one : delivery.completed) {
        const auto& [payload, error] = one.outcome;
        delivered.push_back(std::to_string(delivery.stream) + ":" + std::to_string(one.sequence) + "=" +
                            (error ? "!" + error->message : std::string(payload.view())));
      }
    }
  }
  void submit(StreamId stream, std::string payload, UpdateNumber after = 0) {
    machine.submit({NewJob{stream, {++last, after, Payload(std::move(payload))}}});
  }
  void value(JobSequence sequence, const char* text) {
    machine.receive(wire::JobValues{pool, {{sequence, Payload::copy(std::string_view(text))}}});
  }
  void open() {
    machine.session_opened(no_limit, t0);
    machine.receive(wire::PoolOpened{pool, pool});
    look();
  }
  /// Opens a named pool that had `last` jobs and `updates` updates; nobody has the outcomes of `remaining`.
  void open_named(JobSequence last_sequence = 0, UpdateNumber updates = 0, std::uint64_t remaining = 0) {
    machine.session_opened(no_limit, t0);
    machine.receive(wire::PoolOpened{pool, pool, {}, last_sequence, updates, remaining});
    last = last_sequence;
    look();
  }
  void lose_and_find_head() {
    machine.session_closed("reset");
    machine.session_opened(no_limit, t0);
  }
  ClientMachine machine;
  JobSequence last = 0;
  std::vector<std::string> sent, reports, delivered;
};

}  // namespace dc::client

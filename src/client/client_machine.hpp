// The client's side of one pool as a pure machine: what the user asks for and what the head says come in, messages and
// deliveries go out. Keeps every job until its outcome is here, so that the head may die at any moment.
//
// Life of the link to the head:
//   away      no session
//   opening   OpenPool is sent; nothing else of the pool goes out before PoolOpened
//   asking    a new session after a break: ResumePool is sent, PoolKnown is awaited
//   reopening the head did not know the pool: OpenPool{resumed} is sent, PoolOpened is awaited
//   ready     jobs, updates and acknowledgements flow
//   over      closed, or failed for good
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/job.hpp"
#include "wire/messages.hpp"

namespace dc::client {

/// Number of a consumer of outcomes in this process.
using StreamId = std::uint64_t;

/// A job with its end.
struct Completed {
  JobSequence sequence{};
  Outcome outcome;
  bool operator==(const Completed&) const = default;
};

/// A job as the user gave it. Sequences come in rising order.
struct NewJob {
  StreamId stream{};
  SubmittedJob job;
};

/// Outcomes for one stream, in the order of their arrival.
struct Delivery {
  StreamId stream{};
  std::vector<Completed> completed;
  bool operator==(const Delivery&) const = default;
};

// --- What the user's side must be told --------------------------------------------------------------------------

struct PoolIsOpen {
  bool operator==(const PoolIsOpen&) const = default;
};
/// The pool is over; every job had its outcome before this.
struct PoolIsOver {
  ErrorInfo error;
  bool operator==(const PoolIsOver&) const = default;
};
/// The head has all updates up to `number`.
struct UpdatesAccepted {
  UpdateNumber number{};
  bool operator==(const UpdatesAccepted&) const = default;
};
/// Every present worker has applied all updates up to `number`.
struct UpdatesDone {
  UpdateNumber number{};
  bool operator==(const UpdatesDone&) const = default;
};
struct UpdateRaised {
  UpdateNumber number{};
  std::string error;
  bool operator==(const UpdateRaised&) const = default;
};
struct CountsChanged {
  wire::PoolState state;
};
/// One or more lines for the user's stderr.
struct Note {
  std::string text;
  bool operator==(const Note&) const = default;
};
struct OutputSeen {
  wire::OutputLines lines;
};
using Report =
    std::variant<PoolIsOpen, PoolIsOver, UpdatesAccepted, UpdatesDone, UpdateRaised, CountsChanged, Note, OutputSeen>;

/// What is to be done after a batch of events, in this order.
struct Effects {
  std::vector<wire::Outgoing> sends;
  std::vector<Delivery> deliveries;
  std::vector<Report> reports;
};

/// The sentence of a payload over the head's limit. `what`: "a job's argument", ...
std::string too_large_text(const char* what, std::uint64_t size, std::uint64_t limit);

/// Usage: any number of events, then take_effects() once per turn, which also decides what is submitted.
class ClientMachine {
 public:
  struct Config {
    PoolId pool;
    PoolOptions options;
    Payload spec;
    Payload program;        ///< executable of a C++ pool; its hash is in `options`
    std::string head_name;  ///< "194.173.121.37:8899", for notices; with several addresses all of them
  };
  explicit ClientMachine(Config config) : config_(std::move(config)) {}

  // --- The user ---
  void submit(std::vector<NewJob> jobs);
  /// Updates come in order: 1, 2, 3, ...
  void update(UpdateNumber number, Payload payload);
  void want_workers(std::uint32_t count);
  /// Nobody waits for outcomes of this stream any more; what was not sent never will be.
  void drop_stream(StreamId stream);
  /// Ends the pool: every outstanding job ends with `error` at once; ClosePool is sent.
  void close(ErrorInfo error);

  // --- The session ---
  /// The name of the head that is reached now, for notices.
  void head_is(std::string name) { config_.head_name = std::move(name); }
  void session_opened(std::uint64_t payload_bytes_max, TimePoint now);
  /// `why`: a sentence that names the head; it becomes the notice of an outage.
  void session_closed(const std::string& why);
  void receive(wire::Message&& message);

  [[nodiscard]] Effects take_effects(TimePoint now);
  /// When take_effects() wants to be called even if nothing happens; `never` if it need not be.
  [[nodiscard]] TimePoint next_deadline() const { return waiting_deadline_; }
  /// No answer of the head is awaited for the closing.
  [[nodiscard]] bool closed_at_head() const { return link_ == Link::over && !close_pending_; }

 private:
  enum class Link { away, opening, asking, reopening, ready, over };
  static constexpr StreamId nobody = 0;
  struct Sent {
    StreamId stream{};  ///< nobody: the outcome is not wanted any more
    UpdateNumber after_update{};
    Payload arguments;
  };

  void on(const wire::PoolOpened&);
  void on(const wire::NeedProgram& message);
  void on(const wire::PoolKnown& message);
  void on(wire::JobValues&& message);
  void on(wire::JobError&& message);
  void on(const wire::UpdateAccepted& message);
  void on(const wire::UpdateApplied& message);
  void on(wire::UpdateFailed&& message);
  void on(wire::PoolFailed&& message);
  void on(const wire::PoolClosed&);
  void on(const wire::PoolState& message);
  void on(wire::Notice&& message);
  void on(wire::OutputLines&& message);

  void send(wire::Message message, wire::Lane lane = wire::control_lane);
  void send_open(bool resumed);
  void send_update(UpdateNumber number);
  void send_updates_after(UpdateNumber known);
  void send_again(const std::vector<JobSequence>& sequences);
  void become_ready();
  void submit_waiting();
  void finish(JobSequence sequence, Outcome outcome);
  void deliver(StreamId stream, JobSequence sequence, Outcome outcome);
  void end(ErrorInfo error);
  void watch_for_workers(TimePoint now);
  [[nodiscard]] std::string waiting_text() const;
  [[nodiscard]] std::vector<JobSequence> outstanding() const;
  [[nodiscard]] wire::Lane pool_lane() const { return config_.pool.value; }

  Config config_;
  Link link_ = Link::away;
  bool session_ = false;
  bool opened_once_ = false;
  bool in_outage_ = false;
  bool close_pending_ = false;
  std::uint64_t payload_bytes_max_ = limits::payload_bytes_max_default;
  std::optional<ErrorInfo> over_;

  std::deque<NewJob> waiting_;                  ///< not sent so far, oldest first
  std::unordered_map<JobSequence, Sent> sent_;  ///< at the head, without an outcome
  std::size_t sent_bytes_ = 0;                  ///< of the payloads in sent_
  std::vector<JobSequence> acks_;
  std::vector<Payload> updates_;  ///< update n at n - 1; emptied when it will not be needed again
  UpdateNumber updates_applied_ = 0;
  UpdateNumber updates_accepted_ = 0;
  std::uint32_t wanted_ = 0;

  wire::PoolState state_;
  TimePoint waiting_deadline_ = never;  ///< when waiting_text_ is said
  std::string waiting_text_;            ///< about to be said, or said
  bool waiting_said_ = false;
  Effects effects_;
};

}  // namespace dc::client

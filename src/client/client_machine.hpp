// The client's side of one pool as a pure machine: what the user asks for and what the head says come in, messages and
// deliveries go out. Keeps every job until its outcome is here, so that the head may die at any moment.
//
// Life of the link to the head:
//   away      no session
//   opening   OpenPool is sent; nothing else of the pool goes out before PoolOpened
//   asking    a new session after a break: ResumePool is sent, PoolKnown is awaited
//   reopening the head did not know the pool: OpenPool{resumed} is sent, PoolOpened is awaited
//   ready     jobs, updates and acknowledgements flow
//   over      closed, left, or failed for good
//
// How far each job has come is in job_ladder.hpp. What only a named pool has stands in named_machine.cpp: others that
// want it, outcomes of earlier clients, and that it can be left.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "client/job_ladder.hpp"
#include "client/user_waits.hpp"
#include "core/clock.hpp"
#include "core/job.hpp"
#include "wire/messages.hpp"

namespace dc::client {

/// Gets the outcomes of jobs that earlier clients of a named pool submitted.
inline constexpr StreamId earlier_stream = ~StreamId{0};

/// A job with its end.
struct Completed {
  JobSequence sequence{};
  Outcome outcome;
  bool operator==(const Completed&) const = default;
};

/// Outcomes for one stream, in the order of their arrival.
struct Delivery {
  StreamId stream{};
  std::vector<Completed> completed;
  bool operator==(const Delivery&) const = default;
};

// --- What the user's side must be told --------------------------------------------------------------------------

struct PoolIsOpen {
  // Of a named pool that was there before:
  JobSequence last_sequence = 0;  ///< new jobs are numbered from the next one
  UpdateNumber updates = 0;       ///< new updates are numbered from the next one
  std::uint64_t remaining = 0;    ///< outcomes of earlier clients' jobs that nobody has so far
  std::string label = {};         ///< of its class
  bool existed = false;           ///< its class and init data are those of another client
  bool keeps_history = true;      ///< as keep_updates_history of its options says
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
  Outcome outcome;  ///< with an error
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

/// The named pool is another client's, which is away and may come back: this one waits.
struct Holder {
  ClientId client;
  std::string process;  ///< see core/process_name.hpp
  std::string text;     ///< who it is, and how long it is waited for
  bool operator==(const Holder&) const = default;
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
    PoolId pool;  ///< random; that of a named pool is the head's to say
    PoolOptions options;
    Payload spec;
    Payload program;        ///< executable of a C++ pool; its hash is in `options`
    std::string head_name;  ///< "194.173.121.37:8899", for notices; with several addresses all of them
    std::string name;       ///< of a named pool
    bool attach_only = false;
    bool steal = false;
    std::string process = {};  ///< of this client, see core/process_name.hpp
    WorkerId in_worker = {};   ///< in one of whose jobs this client runs; value 0: in none
  };
  explicit ClientMachine(Config config)
      : config_(std::move(config)), pool_(config_.pool), jobs_(!config_.name.empty()) {}

  // --- The user ---
  void submit(std::vector<NewJob> jobs);
  /// Updates come in order: 1, 2, 3, ...
  void update(UpdateNumber number, Payload payload);
  void want_workers(std::uint32_t count);
  /// Nobody waits for outcomes of this stream any more; what was not sent never will be. A named pool runs its jobs
  /// nevertheless, and keeps their outcomes for a later client.
  void drop_stream(StreamId stream);
  /// Ends the pool: every outstanding job ends with `error` at once; ClosePool is sent.
  void close(ErrorInfo error);

  /// For what the user's threads wait now. To be told now and then while there are any.
  void users_wait(const UserWaits& waits) { user_waits_ = waits; }

  // --- The user of a named pool ---
  /// The user has done with these outcomes: they need not come again.
  void consumed(const std::vector<JobSequence>& sequences);
  /// Outcomes of earlier clients' jobs may come, to `earlier_stream`: as they are there, or in order of submission.
  void read_earlier(bool in_order);
  /// For whom this client waits; null: for nobody.
  [[nodiscard]] const Holder* holder() const { return holder_ ? &*holder_ : nullptr; }
  /// That one's process is gone: it will not come back.
  void holder_is_gone();
  /// Leaves the pool as soon as the head has accepted or refused all that was submitted.
  void leave();
  /// Ends this client's part of it at once, without a word to the head.
  void abandon(ErrorInfo error);

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
  [[nodiscard]] bool named() const { return !config_.name.empty(); }
  /// Jobs and updates that the head has neither accepted nor refused.
  [[nodiscard]] std::uint64_t unsettled() const { return jobs_.unsettled() + (last_update() - updates_accepted_); }

 private:
  enum class Link { away, opening, asking, reopening, ready, over };
  /// The outcomes that earlier clients left.
  struct Earlier {
    bool reading = false;
    bool in_order = false;
    std::uint64_t unasked = 0;  ///< for so many the head has had no leave to send them
    std::uint32_t credit = 0;   ///< it may still send so many
    std::uint32_t in_hand = 0;  ///< so many are here, and the user has not done with them
    std::uint64_t lost = 0;     ///< so many will never come, and the user has not been told
    /// Of PoolKnown, so far: that are not here and will come; those among them that were here before.
    std::uint64_t to_come = 0, again = 0;
  };

  void on(wire::PoolOpened&& message);
  void on(const wire::NeedProgram& message);
  void on(const wire::PoolKnown& message);
  void on(wire::JobValues&& message);
  void on(wire::JobError&& message);
  void on(wire::JobErrors&& message);
  void on(const wire::UpdateAccepted& message);
  void on(const wire::UpdateApplied& message);
  void on(wire::UpdateFailed&& message);
  void on(wire::PoolFailed&& message);
  void on(const wire::PoolClosed&);
  void on(const wire::PoolState& message);
  void on(wire::Notice&& message);
  void on(wire::OutputLines&& message);
  void on(wire::PoolHeld&& message);
  void on(const wire::JobsAccepted& message);
  void on(wire::JobsRefused&& message);
  void on(const wire::AcksKept& message);

  void send(wire::Message message, wire::Lane lane = wire::control_lane);
  void send_open(bool resumed);
  void is_open(wire::PoolOpened&& message);
  void send_close();
  void send_update(UpdateNumber number);
  void send_updates_after(UpdateNumber known);
  void send_again(const std::vector<JobSequence>& sequences);
  void become_ready();
  void submit_waiting();
  void finish(JobSequence sequence, Outcome outcome);
  void send_resume();
  void end_jobs(const JobLadder::Ended& jobs, const SharedError& error);
  void count_earlier(const std::vector<JobSequence>& intervals);
  void settle_earlier();
  void send_acks();
  [[nodiscard]] ErrorInfo lost_error() const;
  void ask_for_earlier();
  void leave_if_all_accepted();
  void tell_unaccepted(const ErrorInfo& why);
  [[nodiscard]] std::optional<ErrorInfo> problem_of(const PoolOptions& options) const;
  void tell_differences(const PoolOptions& options);
  void deliver(StreamId stream, JobSequence sequence, Outcome outcome);
  void end(ErrorInfo error);
  void head_has_updates(UpdateNumber number);
  void forget_applied_updates();

  // waiting_machine.cpp
  struct WorkersNotice {
    std::string key, text;  ///< notices with the same key say the same
    Duration after;
  };
  void watch(TimePoint now);
  void watch_for_workers(TimePoint now);
  void tell_head_of_waits(TimePoint now);
  [[nodiscard]] const UserWait& user_wait(WaitFor what) const { return user_waits_[static_cast<std::size_t>(what)]; }
  [[nodiscard]] TimePoint waits_since(WaitFor what) const;
  [[nodiscard]] std::string waiting_text(WaitFor what) const;
  [[nodiscard]] std::optional<WorkersNotice> workers_notice() const;
  [[nodiscard]] std::string wanted_text(bool too_many) const;
  [[nodiscard]] std::string no_workers_text() const;
  [[nodiscard]] wire::Lane pool_lane() const { return pool_.value; }
  [[nodiscard]] std::string quoted() const { return "pool '" + config_.name + "'"; }
  [[nodiscard]] UpdateNumber last_update() const { return updates_before_ + updates_.size(); }
  [[nodiscard]] Payload& update_payload(UpdateNumber number) { return updates_[number - updates_before_ - 1]; }

  Config config_;
  PoolId pool_;  ///< its id; before it is open the one by which it is asked for
  Link link_ = Link::away;
  bool session_ = false;
  bool opened_once_ = false;
  bool in_outage_ = false;
  bool close_pending_ = false;
  std::uint64_t payload_bytes_max_ = limits::payload_bytes_max_default;
  SharedError over_;

  JobLadder jobs_;
  std::vector<JobSequence> acks_;
  UpdateNumber updates_before_ = 0;  ///< those of earlier clients
  std::vector<Payload> updates_;     ///< the further ones in order; emptied when it will not be needed again
  UpdateNumber updates_applied_ = 0;
  UpdateNumber updates_accepted_ = 0;
  std::uint32_t wanted_ = 0;

  // Of a named pool:
  std::optional<Holder> holder_;
  JobSequence first_own_ = 0;
  Earlier earlier_;
  bool leaving_ = false;
  bool leave_sent_ = false;  ///< in this session

  UpdateNumber updates_forgotten_ = 0;  ///< without history: these are applied, and without their bytes
  UpdateNumber updates_at_head_ = 0;    ///< that the head of this session has said it has

  wire::PoolState state_;
  bool counts_known_ = false;           ///< it is of this session
  bool had_workers_ = false;            ///< there was a worker at some time
  TimePoint waiting_deadline_ = never;  ///< when the notice of waiting_key_ is given
  std::string waiting_key_;             ///< of the one about to be given, or given
  bool waiting_said_ = false;
  UserWaits user_waits_;
  std::array<bool, wait_kinds> waits_told_{};
  TimePoint idle_until_{};                        ///< no results were to come until then
  std::optional<wire::PoolWaits> waits_at_head_;  ///< as the head was told in this session
  Effects effects_;
};

}  // namespace dc::client

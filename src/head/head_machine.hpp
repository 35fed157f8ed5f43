// The head's decisions as a pure machine: sessions and messages on one side, the scheduler on the other. Knows which
// session belongs to which node and client, keeps the payloads of pools, and turns commands into as few messages as
// possible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "scheduler/scheduler.hpp"
#include "wire/messages.hpp"

namespace dc::head {

/// Who is at the other end of a session.
struct PeerInfo {
  wire::Role role{};
  std::uint64_t id{};
  std::string host;
  std::uint32_t pid{};
  std::string address;
};

// --- Effects ----------------------------------------------------------------------------------------------------
struct Send {
  SessionId session;
  wire::Message message;
  wire::Lane lane = wire::control_lane;
};
struct CloseSession {
  SessionId session;
  std::string reason;
};
struct Log {
  std::string text;
};
using Effect = std::variant<Send, CloseSession, Log>;
using Effects = std::vector<Effect>;

/// What the head knows of itself, for `status`.
struct HeadFacts {
  std::uint32_t epoch{};
  std::uint32_t pid{};
  std::uint16_t port{};
  std::string host;
  std::string address;  ///< where it listens
};

/// Call any number of the event functions, then flush() once per loop turn. All append to `out`.
class HeadMachine {
 public:
  HeadMachine(HeadFacts facts, TimePoint now);

  void session_opened(SessionId session, PeerInfo peer, TimePoint now, Effects& out);
  void session_closed(SessionId session, TimePoint now, Effects& out);
  void on_messages(SessionId session, std::vector<wire::Message>&& messages, TimePoint now, Effects& out);
  void flush(TimePoint now, Effects& out);
  [[nodiscard]] TimePoint next_deadline() const;

  /// The JSON text of `distributed-computing status --json`; see status_json.cpp for its fields.
  [[nodiscard]] std::string status_json(TimePoint now) const;

  // For tests and the simulator.
  [[nodiscard]] const scheduler::Scheduler& scheduler() const { return scheduler_; }
  /// Stops the process with a message when head and scheduler do not agree. O(everything).
  void check_invariants() const;
  /// What is still held of pools, as a sentence; empty when there is nothing.
  [[nodiscard]] std::string what_is_left() const;

 private:
  struct Session {
    PeerInfo peer;
    bool refused = false;     ///< it broke the rules and is being closed: nothing of it is heard any more
    bool complained = false;  ///< a message for a pool that is not its own was logged: once is enough
    std::set<PoolId> past;    ///< pools that it had: messages for them may come late
  };
  struct NodeInfo {
    SessionId session;
    bool reported = false;  ///< its NodeState is here. Nothing is sent to it, or heard of it, before that
    PeerInfo peer;
    std::set<std::string> programs;             ///< executables that it has or is being sent
    std::set<std::string> wanted;               ///< that it asked for before their client was back
    std::map<std::uint32_t, std::string> gpus;  ///< of each slot; empty text: none. They never change
    TimePoint forget_at = never;                ///< no session: forgotten then
  };
  /// Where a worker is.
  struct Place {
    NodeId node;
    std::uint32_t slot{};
    PoolId pool;
    std::vector<std::uint32_t> more_slots;
  };
  struct PoolInfo {
    ClientId client;
    SessionId session;           ///< value 0: the client is away
    TimePoint close_at = never;  ///< the client is away: closed then
    PoolOptions options;
    Payload spec;
    bool resumed = false;
    bool opened = false;  ///< false: waits for its program
    PeerInfo peer;
  };

  [[nodiscard]] std::string contradiction(NodeId node, const wire::NodeState& report) const;
  [[nodiscard]] std::string contradiction(NodeId node, const wire::SlotsChanged& report) const;
  // Messages of clients.
  void on(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::Program&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::ResumePool&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::PoolResumed&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::SubmitJobs&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::AddUpdate&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::AckOutcomes&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::WantWorkers&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::ClosePool&& message, TimePoint now, Effects& out);
  // Messages of nodes.
  void on(SessionId session, wire::NodeState&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::NeedProgram&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::WorkerReady&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::WorkerExited&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::JobsDone&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::JobFailed&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::JobsRecalled&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::UpdatesApplied&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::NodeLeaving&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::SlotsChanged&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::OutputLines&& message, TimePoint now, Effects& out);
  // Messages of anybody.
  void on(SessionId session, wire::StatusRequest&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::Goodbye&& message, TimePoint now, Effects& out);

  // Commands of the scheduler.
  void carry_out(scheduler::OpenPoolOnNode& command, Effects& out);
  void carry_out(scheduler::ClosePoolOnNode& command, Effects& out);
  void carry_out(scheduler::ActivatePoolOnNode& command, Effects& out);
  void carry_out(scheduler::SendUpdate& command, Effects& out);
  void carry_out(scheduler::StartWorker& command, Effects& out);
  void carry_out(scheduler::StopWorker& command, Effects& out);
  void carry_out(scheduler::RunJob& command, Effects& out);
  void carry_out(scheduler::Recall& command, Effects& out);
  void carry_out(scheduler::AckResult& command, Effects& out);
  void carry_out(scheduler::DeliverOutcome& command, Effects& out);
  void carry_out(scheduler::MissingJobs& command, Effects& out);
  void carry_out(scheduler::UpdateAccepted& command, Effects& out);
  void carry_out(scheduler::UpdateAppliedEverywhere& command, Effects& out);
  void carry_out(scheduler::UpdateFailed& command, Effects& out);
  void carry_out(scheduler::PoolFailed& command, Effects& out);
  void carry_out(scheduler::PoolChanged& command, Effects& out);
  void carry_out(scheduler::Notice& command, Effects& out);
  void carry_out(scheduler::Commands& commands, Effects& out);

  template <class Event>
  void tell(Event event, TimePoint now, Effects& out) {
    scheduler_.on(std::move(event), now, commands_);
    carry_out(commands_, out);
  }
  /// Empty when this message may come from this session now, else what is wrong with it.
  template <class Body>
  std::string objection(const Session& session) const;
  void refuse(SessionId session, std::string_view what, Effects& out);

  void open_pool(PoolId id, PoolInfo& pool, TimePoint now, Effects& out);
  void close_pool(PoolId id, TimePoint now, Effects& out);
  void forget_pool(PoolId id);
  void move_pool(PoolInfo& pool, SessionId session, Effects& out);
  void close_older_sessions(std::uint64_t client, TimePoint now, Effects& out);
  void pools_lost_session(SessionId session, bool for_good, TimePoint now, Effects& out);
  void node_lost_session(NodeId id, bool for_good, TimePoint now, Effects& out);
  void forget_node(NodeId id);
  void expire(TimePoint now, Effects& out);
  void thaw(Duration gap);
  void expire_at(TimePoint when) { next_expiry_ = std::min(next_expiry_, when); }

  void send_to_node(NodeId node, wire::Message message, wire::Lane lane, Effects& out);
  void send_to_client(PoolId pool, wire::Message message, wire::Lane lane, Effects& out);
  /// The pool, if this session is its client's.
  PoolInfo* own_pool(SessionId session, PoolId pool, const char* message_name, Effects& out);
  NodeId node_of(SessionId session) const;
  std::string place_name(WorkerId worker) const;
  wire::Lane lane_of_pool(WorkerId worker) const;
  void flush_run(Effects& out);
  void flush_values(Effects& out);
  void flush_batches(Effects& out);

  HeadFacts facts_;
  TimePoint start_;
  scheduler::Scheduler scheduler_;
  scheduler::Commands commands_;  ///< reused
  std::map<SessionId, Session> sessions_;
  std::map<NodeId, NodeInfo> nodes_;
  std::map<PoolId, PoolInfo> pools_;
  std::map<std::string, Payload> programs_;
  std::unordered_map<WorkerId, Place> places_;
  TimePoint next_expiry_ = never;  ///< the first close_at or forget_at, or earlier
  TimePoint last_flush_;

  // Consecutive commands of a kind become one message, of limits::batch_bytes_max at most.
  wire::RunJobs run_;
  NodeId run_node_;
  std::size_t run_bytes_ = 0;
  wire::JobValues values_;
  std::size_t values_bytes_ = 0;
  std::map<std::pair<NodeId, PoolId>, std::vector<Attempt>> acks_;
  std::uint64_t next_lane_ = 1;
};

}  // namespace dc::head

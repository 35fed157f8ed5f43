// The head's decisions as a pure machine: sessions and messages on one side, the scheduler on the other. Knows which
// session belongs to which node and client, keeps the payloads of pools, and turns commands into as few messages as
// possible.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
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

  /// The JSON text of `distributed-computing status --json`; see status_json.hpp for its fields.
  [[nodiscard]] std::string status_json(TimePoint now) const;

 private:
  struct Session {
    PeerInfo peer;
    bool said_goodbye = false;
  };
  struct NodeInfo {
    SessionId session;
    PeerInfo peer;
    std::set<std::string> programs;  ///< executables that it has or is being sent
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
  void on(SessionId session, wire::OutputLines&& message, TimePoint now, Effects& out);
  // Messages of anybody.
  void on(SessionId session, wire::StatusRequest&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::Goodbye&& message, TimePoint now, Effects& out);
  /// Everything else is for another role.
  template <class Other>
  void on(SessionId session, Other&&, TimePoint, Effects& out);

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
  void tell(Event event, TimePoint now, Effects& out);
  void open_pool(PoolId id, PoolInfo& pool, TimePoint now, Effects& out);
  void close_pool(PoolId id, TimePoint now, Effects& out);
  void drop_unused_programs();
  void send_to_node(NodeId node, wire::Message message, wire::Lane lane, Effects& out);
  void send_to_client(PoolId pool, wire::Message message, wire::Lane lane, Effects& out);
  void refuse(SessionId session, const char* message_name, Effects& out);
  /// The pool, if this session is its client's.
  PoolInfo* own_pool(SessionId session, PoolId pool);
  NodeId node_of(SessionId session) const;
  std::string worker_place(WorkerId worker) const;
  void flush_batches(Effects& out);

  HeadFacts facts_;
  TimePoint start_;
  scheduler::Scheduler scheduler_;
  scheduler::Commands commands_;  ///< reused
  std::map<SessionId, Session> sessions_;
  std::map<NodeId, NodeInfo> nodes_;
  std::map<PoolId, PoolInfo> pools_;
  std::map<std::string, Payload> programs_;
  std::map<WorkerId, std::pair<NodeId, std::uint32_t>> places_;  ///< where each worker is, for messages to people

  // Consecutive commands of a kind become one message.
  wire::RunJobs run_;
  NodeId run_node_;
  wire::JobValues values_;
  std::map<std::pair<NodeId, PoolId>, std::vector<Attempt>> acks_;
  std::uint64_t next_lane_ = 1;
};

}  // namespace dc::head

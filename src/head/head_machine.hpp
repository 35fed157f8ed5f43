// The head's decisions as a pure machine: sessions and messages on one side, the scheduler on the other. Knows which
// session belongs to which node and client, keeps the payloads of pools, and turns commands into as few messages as
// possible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "head/effects.hpp"
#include "head/head_pool.hpp"
#include "head/journal.hpp"
#include "head/kept_pool.hpp"
#include "head/repair_journal.hpp"
#include "head/result_flow.hpp"
#include "scheduler/scheduler.hpp"
#include "wire/messages.hpp"

namespace dc::head {

/// What the head knows of itself, for `status`.
struct HeadFacts {
  std::uint32_t epoch{};
  std::uint32_t pid{};
  std::uint16_t port{};
  std::string host;
  std::string address;     ///< where it listens
  bool has_store = false;  ///< named pools can be kept
  std::string store = {};  ///< where, for people
  /// Where the journal of the pool of this name stands in the store. Not null with a store.
  store::LogId (*log_of_name)(std::string_view name) = nullptr;
  PoolBounds bounds = {};           ///< of named pools
  ResultFlow::Limits results = {};  ///< smaller in tests
};

/// Call any number of the event functions, then flush() once per loop turn. All append to `out`.
class HeadMachine {
 public:
  HeadMachine(HeadFacts facts, TimePoint now);

  void session_opened(SessionId session, PeerInfo peer, TimePoint now, Effects& out);
  void session_closed(SessionId session, TimePoint now, Effects& out);
  void on_messages(SessionId session, std::vector<wire::Message>&& messages, TimePoint now, Effects& out);
  /// What became of entries that it wanted in the journal.
  void journaled(std::vector<store::Journaled> done, TimePoint now, Effects& out);
  /// Payloads of this message are in the store, which cannot give them back; `why` says so. Those are elsewhere still.
  void unreadable(Send&& send, const std::string& why, TimePoint now, Effects& out);
  /// The latest StatusReply to this session has been written.
  void answered(SessionId session, TimePoint now, Effects& out);
  /// Answer to HashProgram; `hash` is that of its content.
  void program_hashed(HashProgram&& asked, const std::string& hash, TimePoint now, Effects& out);
  /// The journals of named pools that earlier heads kept, and how many entries each has, as far as that is known;
  /// before any session opens. They are read one after the other, while others are served: who wants one of these pools
  /// waits until its own is read.
  void await_pools(const std::vector<store::LogId>& logs, const std::map<store::LogId, std::uint64_t>& sizes,
                   TimePoint now, Effects& out);
  /// So many entries of it are read. `trouble`: why it does not go on now, as a sentence; or empty.
  void reading(store::LogId log, std::uint64_t entries, const std::string& trouble, Effects& out);
  /// Answers a JournalRead: the pool is restored, or refused if there is a `problem`.
  void pool_read(store::LogId log, JournalState&& state, std::string problem, TimePoint now, Effects& out);
  /// A named pool that an earlier head kept.
  void restore(JournalState&& state, TimePoint now, Effects& out);
  /// Why that pool cannot be restored beside those that were, as a sentence; empty: it can.
  [[nodiscard]] std::string objection_to(const JournalState& state) const;
  /// A named pool whose journal is broken: whoever wants it is told so, until it is repaired. `state` is what could be
  /// read of it.
  void refuse_pool(store::LogId log, const JournalState& state, std::string why, Effects& out);
  /// Answers a JournalRepair.
  void repaired(const JournalRepair& wanted, Result<RepairedJournal> journal, TimePoint now, Effects& out);
  /// Peers can come from now on: the time that they have to come back begins.
  void door_opened(TimePoint now);
  /// What the clock on the wall says, before restore() and before each flush(). Needed only where values of keys are
  /// kept for a time.
  void wall_time(WallTime wall) { wall_ = wall; }
  void flush(TimePoint now, Effects& out);
  [[nodiscard]] TimePoint next_deadline() const;

  /// Why the store takes no entries now, as a sentence for `status`; empty: it takes them.
  void store_trouble(std::string why) { store_trouble_ = std::move(why); }
  [[nodiscard]] const std::string& store_trouble() const { return store_trouble_; }

  /// The JSON text of `distributed-computing status --json`; see status_json.cpp for its fields.
  [[nodiscard]] std::string status_json(TimePoint now) const;

  // For tests and the simulator.
  [[nodiscard]] const scheduler::Scheduler& scheduler() const { return scheduler_; }
  /// Stops the process with a message when head and scheduler do not agree. O(everything).
  void check_invariants() const;
  /// What is still held of pools, as a sentence; empty when there is nothing.
  [[nodiscard]] std::string what_is_left() const;

 private:
  struct HeldMessage {
    store::LogId log{};  ///< is to be read before
    PoolId pool;         ///< as the session calls it; 0: by its name alone
    wire::Message message;
  };
  struct Session {
    PeerInfo peer;
    bool refused = false;         ///< it broke the rules and is being closed: nothing of it is heard any more
    bool complained = false;      ///< a message for a pool that is not its own was logged: once is enough
    std::set<PoolId> past = {};   ///< pools that it had lately: messages for them may come late
    std::set<PoolId> pools = {};  ///< that it has or waits for; perhaps others have taken some of them meanwhile
    std::set<std::string> programs_asked = {};  ///< that it was asked for and has not sent
    bool answering = false;                     ///< a StatusReply is on its way
    std::uint32_t asks = 0;                     ///< StatusRequests behind it
    std::vector<HeldMessage> held = {};         ///< for pools that are not read so far, in their order
  };
  struct NodeInfo {
    SessionId session;
    bool reported = false;  ///< its NodeState is here. Nothing is sent to it, or heard of it, before that
    PeerInfo peer;
    std::set<std::string> programs;             ///< executables that it has or is being sent
    std::set<std::string> wanted;               ///< that it asked for before their client was back
    std::map<std::uint32_t, std::string> gpus;  ///< of each slot; empty text: none. They never change
    std::set<WorkerId> workers;                 ///< that stand in places_
    TimePoint forget_at = never;                ///< no session: forgotten then
  };
  /// Where a worker is.
  struct Place {
    NodeId node;
    std::uint32_t slot{};
    PoolId pool;
    std::vector<std::uint32_t> more_slots;
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
  void on(SessionId session, wire::WantOutcomes&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::HolderGone&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::RepairPool&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::ForgetKeys&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::PoolWaits&& message, TimePoint now, Effects& out);
  // Messages of nodes.
  void on(SessionId session, wire::NodeState&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::NeedProgram&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::WorkerReady&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::WorkerExited&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::JobsDone&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::JobFailed&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::JobsParked&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::ResultsFull&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::JobsRecalled&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::UpdatesApplied&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::NodeLeaving&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::SlotsChanged&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::OutputLines&& message, TimePoint now, Effects& out);
  // Messages of anybody.
  void on(SessionId session, wire::StatusRequest&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::SeeOutcomes&& message, TimePoint now, Effects& out);
  void on(SessionId session, wire::SeeDefinitions&& message, TimePoint now, Effects& out);
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
  void carry_out(scheduler::ResultsStranded& command, Effects& out);
  void carry_out(scheduler::DeliverOutcome& command, Effects& out);
  void carry_out(scheduler::MissingJobs& command, Effects& out);
  void carry_out(scheduler::UpdateAccepted& command, Effects& out);
  void carry_out(scheduler::UpdateAppliedEverywhere& command, Effects& out);
  void carry_out(scheduler::UpdateFailed& command, Effects& out);
  void carry_out(scheduler::PoolFailed& command, Effects& out);
  void carry_out(scheduler::ClientStuck& command, Effects& out);
  void carry_out(scheduler::PoolChanged& command, Effects& out);
  void carry_out(scheduler::Notice& command, Effects& out);
  void carry_out(scheduler::Contradiction& command, Effects& out);
  void carry_out(scheduler::Commands& commands, Effects& out);

  /// The scheduler hears of it now. What pools want it to hear while its commands are carried out waits in events_.
  void tell(scheduler::Event event, TimePoint now, Effects& out) {
    events_.push_back(std::move(event));
    tell_scheduler(now, out);
  }
  void tell_scheduler(TimePoint now, Effects& out);
  /// Empty when this message may come from this session now, else what is wrong with it.
  template <class Body>
  std::string objection(const Session& session) const;
  void refuse(SessionId session, std::string_view what, Effects& out);
  void has_left(SessionId session, PoolId pool);
  void is_past(SessionId session, PoolId pool);

  // Pools that are not read so far: head_unread.cpp.
  struct UnreadPool {
    std::uint64_t entries_read = 0;
    std::optional<std::uint64_t> entries;  ///< none: unknown
    std::string trouble;                   ///< why it cannot be read now
  };
  template <class Body>
  [[nodiscard]] std::optional<HeldMessage> held_back(const Session& session, const Body& body) const;
  bool hold_back(SessionId session, wire::Message& message, Effects& out);
  void read_next(Effects& out) const;
  void hear_held(store::LogId log, TimePoint now, Effects& out);
  [[nodiscard]] nlohmann::json unread_json() const;
  [[nodiscard]] nlohmann::json unread_json(store::LogId log, const UnreadPool& pool) const;

  /// A named pool whose journal is broken.
  struct RefusedPool {
    std::string name;  ///< or the id of its journal, when that cannot be read
    std::string why;
    bool repairing = false;
  };
  [[nodiscard]] static std::string refusal(const RefusedPool& pool);
  [[nodiscard]] nlohmann::json refused_json(store::LogId log, const RefusedPool& pool) const;
  [[nodiscard]] std::map<store::LogId, RefusedPool>::iterator find_refused(const std::string& name);

  // Pools: head_pools.cpp.
  /// Lets something happen to the pool, and carries out what comes of it; the pool may be gone then. What the
  /// scheduler is to hear of it waits for tell_scheduler().
  template <class Happens>
  void with(HeadPool& pool, Effects& out, Happens happens) {
    const PoolId id = pool.id;
    PoolEffects effects = std::exchange(spare_effects_, {});
    happens(pool, effects);
    expire_at(pool.deadline());
    for (PoolEffect& effect : effects) std::visit([&](auto& body) { carry_out(id, body, out); }, effect);
    effects.clear();
    spare_effects_ = std::move(effects);
  }
  template <class Own>
  requires(std::is_constructible_v<Effect, Own>) void carry_out(PoolId, Own& effect, Effects& out) {
    out.emplace_back(std::move(effect));
  }
  void carry_out(PoolId id, Send& effect, Effects& out);
  void carry_out(PoolId id, Deliver& effect, Effects& out);
  void carry_out(PoolId id, TellState& effect, Effects& out);
  void carry_out(PoolId id, Joins& effect, Effects& out);
  void carry_out(PoolId id, Leaves& effect, Effects& out);
  void carry_out(PoolId id, Fail& effect, Effects& out);
  void carry_out(PoolId id, Refuse& effect, Effects& out);
  void carry_out(PoolId id, Keep& effect, Effects& out);
  void carry_out(PoolId id, RemoveJournal& effect, Effects& out);
  void carry_out(PoolId id, EndTurn& effect, Effects& out);
  void carry_out(PoolId id, Over& effect, Effects& out);
  void carry_out(PoolId id, scheduler::Event& event, Effects& out);
  [[nodiscard]] HeadPool* find_pool(PoolId id) const;
  [[nodiscard]] KeptPool* find_kept(const std::string& name) const;
  /// The pool, if this session is its client's.
  HeadPool* own_pool(SessionId session, PoolId pool, const char* message_name, Effects& out);
  HeadPool* open_direct(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out);
  HeadPool* open_kept(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out);
  HeadPool& add_pool(std::unique_ptr<HeadPool> pool);
  void open_or_ask_for_program(SessionId session, HeadPool& pool, Effects& out);
  [[nodiscard]] PoolId new_id(PoolId asked) const;
  void fail_pool(SessionId session, PoolId pool, ErrorKind kind, std::string text, Effects& out);
  void not_known(SessionId session, PoolId pool, Effects& out);
  void forget_pool(PoolId id);
  [[nodiscard]] std::string no_room_for_a_pool() const;
  void pool_is_gone(const Pending& pending, Effects& out);
  void forget_old_keys(TimePoint now, Effects& out);

  void cannot_run(SessionId session, wire::RunJobs& run, const std::string& why, TimePoint now, Effects& out);
  void send_outcome(PoolId pool, JobSequence sequence, Outcome&& outcome, Effects& out);
  void ask_for_program(SessionId session, const std::string& hash, Effects& out);
  void forget_places(NodeInfo& node);
  void close_older_sessions(std::uint64_t client, TimePoint now, Effects& out);
  void pools_lost_session(SessionId session, bool for_good, TimePoint now, Effects& out);
  void node_lost_session(NodeId id, bool for_good, TimePoint now, Effects& out);
  void forget_node(NodeId id);
  void expire(TimePoint now, Effects& out);
  void thaw(Duration gap);
  void expire_at(TimePoint when) { next_expiry_ = std::min(next_expiry_, when); }

  void send_to_node(NodeId node, wire::Message message, wire::Lane lane, Effects& out);
  void send_to_client(PoolId pool, wire::Message message, wire::Lane lane, Effects& out);
  NodeId node_of(SessionId session) const;
  nlohmann::json pool_json(const scheduler::PoolStatus& pool) const;
  nlohmann::json journal_json(store::LogId log, const std::string& name) const;
  wire::Lane lane_of_pool(WorkerId worker) const;
  [[nodiscard]] std::shared_ptr<JobLabel> label_of(const scheduler::RunJob& command) const;
  void tell_nodes(ResultFlow::Says&& says, Effects& out);
  [[nodiscard]] static std::string over_window(HeadPool& pool, scheduler::Load load, const wire::SubmitJobs& message);
  void flush_run(Effects& out);
  void flush_values(Effects& out);
  void flush_errors(Effects& out);
  void flush_batches(Effects& out);

  HeadFacts facts_;
  std::string store_trouble_;
  TimePoint start_;
  scheduler::Scheduler scheduler_;
  scheduler::Commands commands_;          ///< reused
  std::vector<scheduler::Event> events_;  ///< that the scheduler is to hear of
  bool carrying_out_ = false;             ///< commands of the scheduler: it hears of nothing meanwhile
  PoolEffects spare_effects_;             ///< reused
  std::map<SessionId, Session> sessions_;
  std::map<std::uint64_t, SessionId> client_sessions_;  ///< of each client the one that is open
  SessionId speaking_;                                  ///< whose message is being looked at
  std::map<NodeId, NodeInfo> nodes_;
  KeptMemory kept_memory_;  ///< outlives the pools
  std::map<PoolId, std::unique_ptr<HeadPool>> pools_;
  std::map<std::string, Payload> programs_;
  std::map<std::string, std::size_t> program_uses_;  ///< by how many pools
  std::unordered_map<WorkerId, Place> places_;
  ResultFlow flow_;
  // Named pools.
  std::map<std::string, KeptPool*> names_;
  std::map<store::LogId, RefusedPool> refused_;
  std::map<store::LogId, UnreadPool> unread_;
  std::size_t unread_at_first_ = 0;
  store::Ticket last_ticket_ = 0;
  struct OnItsWay {
    PoolId pool;
    Pending entry;
  };
  struct Removal {
    SessionId session;  ///< who asked
    PoolId asked;
  };
  std::unordered_map<store::Ticket, OnItsWay> pending_;
  std::unordered_map<store::Ticket, Removal> removals_;
  std::vector<PoolId> turn_ends_;  ///< for these, when it does
  TimePoint next_expiry_ = never;  ///< the first deadline of a pool or node, or earlier
  TimePoint keys_look_at_ = never;
  WallTime wall_{};
  TimePoint last_flush_;

  // Consecutive commands of a kind become one message, of limits::batch_bytes_max at most.
  wire::RunJobs run_;
  NodeId run_node_;
  std::size_t run_bytes_ = 0;
  wire::JobValues values_;
  std::size_t values_bytes_ = 0;
  struct Errors {
    PoolId pool;
    SharedError error;
    std::vector<JobSequence> sequences;
  } errors_;
  std::map<std::pair<NodeId, PoolId>, std::vector<Attempt>> acks_;
  std::uint64_t next_lane_ = 1;
};

}  // namespace dc::head

// The scheduler: a pure state machine. Events come in with their time, commands go out; no I/O, no clock, no threads,
// no randomness. Every promise about jobs, updates and slots is kept here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "scheduler/commands.hpp"
#include "scheduler/events.hpp"

namespace dc::scheduler {

/// Counts of one pool, for its client and for `status`.
struct PoolStatus {
  PoolId pool;
  std::string label;
  double weight = 1.0;
  std::uint32_t workers_ready{};
  std::uint32_t workers_starting{};
  std::uint32_t nodes{};            ///< nodes that are present (not only those that serve this pool)
  std::uint32_t slots_total{};      ///< in the whole cluster
  std::uint32_t slots_eligible{};   ///< that meet the pool's requirements
  std::uint32_t slots_set_aside{};  ///< whose constructor failed too often
  std::uint32_t gpus_per_worker = 1;
  std::string waits_for;  ///< why slots that it could use stand empty, as a sentence; empty: they do not
  std::uint64_t jobs_queued{};
  std::uint64_t jobs_running{};
  std::uint64_t jobs_done{};   ///< outcomes so far
  std::uint64_t jobs_rerun{};  ///< jobs that lost their worker, or raised and were retried, and ran again
  UpdateNumber updates{};
  bool operator==(const PoolStatus&) const = default;
};

/// `blocked`: it has trouble and no worker.
enum class SlotState : std::uint8_t { free, starting, idle, busy, stopping, waiting_to_retry, blocked };

struct SlotStatus {
  std::uint32_t slot{};
  SlotInfo info;  ///< what the node said last
  SlotState state{};
  PoolId pool;      ///< of the worker, if any
  WorkerId worker;  ///< value 0: none; a worker of several GPUs stands in all of its slots
  std::uint32_t pid{};
  std::uint64_t jobs_done{};
};

struct NodeStatus {
  NodeId node;
  std::string host;
  bool connected = false;
  bool leaving = false;
  std::vector<SlotStatus> slots;
};

struct Status {
  std::vector<NodeStatus> nodes;
  std::vector<PoolStatus> pools;
};

struct Load {
  std::uint64_t jobs = 0, argument_bytes = 0;
};

/// Where a job is.
struct JobView {
  enum class State : std::uint8_t { queued, assigned, done } state{};
  Token token;  ///< of the current or last attempt
  bool operator==(const JobView&) const = default;
};

/// Usage: any number of on() calls, then flush() once per loop turn; both append to `out`. Dispatch and sharing are
/// decided in flush(), so that many events cost one decision and the jobs of one worker stand together in `out`.
/// flush() must also be called at next_deadline().
class Scheduler {
 public:
  /// `epoch`: random, non-zero, new for every life of the head. `now`: start of that life.
  Scheduler(std::uint32_t epoch, TimePoint now);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Nodes can come from now on: the recovery hold begins. Without this it begins with the head's life.
  void door_opened(TimePoint now);

  /// Pools of earlier heads are still to come, or are all here: what nodes have of pools that are not known is kept as
  /// long as they are to come.
  void await_pools(bool awaited, TimePoint now);

  /// No node can say this, as the end of a sentence; empty: it can. To be asked before the event is handed in. What
  /// other events say wrong comes out as Contradiction.
  [[nodiscard]] std::string contradiction(const NodeJoined& event) const;
  void on(NodeJoined event, TimePoint now, Commands& out);
  void on(const NodeDisconnected& event, TimePoint now, Commands& out);
  void on(const NodeLeaving& event, TimePoint now, Commands& out);
  /// The node is known, and has all of these slots.
  void on(const SlotsChanged& event, TimePoint now, Commands& out);
  void on(const NodeGone& event, TimePoint now, Commands& out);
  void on(PoolOpened event, TimePoint now, Commands& out);
  void on(const PoolResumed& event, TimePoint now, Commands& out);
  void on(const ClientReturned& event, TimePoint now, Commands& out);
  void on(const UpdatesMissed& event, TimePoint now, Commands& out);
  void on(const PoolClosed& event, TimePoint now, Commands& out);
  void on(JobsSubmitted event, TimePoint now, Commands& out);
  void on(UpdateAdded event, TimePoint now, Commands& out);
  void on(const OutcomesAcknowledged& event, TimePoint now, Commands& out);
  void on(const WorkersWanted& event, TimePoint now, Commands& out);
  void on(const ClientWaits& event, TimePoint now, Commands& out);
  void on(const ClientGone& event, TimePoint now, Commands& out);
  void on(const WorkerReady& event, TimePoint now, Commands& out);
  void on(WorkerExited event, TimePoint now, Commands& out);
  void on(JobFinished event, TimePoint now, Commands& out);
  void on(const ResultsParked& event, TimePoint now, Commands& out);
  void on(const ResultsFull& event, TimePoint now, Commands& out);
  void on(const JobsRecalled& event, TimePoint now, Commands& out);
  void on(const UpdatesApplied& event, TimePoint now, Commands& out);

  /// Decides: expires deadlines, shares slots, dispatches, takes back. Call it once after a batch of events.
  void flush(TimePoint now, Commands& out);

  /// When flush() wants to be called even if nothing happens; `never` if it need not be.
  [[nodiscard]] TimePoint next_deadline() const;

  [[nodiscard]] bool has_pool(PoolId pool) const;
  /// What its client has submitted and not acknowledged, and the bytes of the arguments that are still kept of it.
  [[nodiscard]] Load load(PoolId pool) const;
  /// The node has the pool's class.
  [[nodiscard]] bool serves(NodeId node, PoolId pool) const;
  /// The pool must exist.
  [[nodiscard]] PoolStatus pool_status(PoolId pool) const;
  [[nodiscard]] Status status() const;
  /// Whether a node may have a worker of this id: one of an earlier head, or one that this scheduler has started.
  [[nodiscard]] bool may_exist(WorkerId worker) const;
  [[nodiscard]] std::optional<JobView> find_job(PoolId pool, JobSequence sequence) const;

  /// Verifies every internal invariant at a cost of O(everything); for tests and the simulator. Stops the process
  /// with a message on a violation.
  void check_invariants() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dc::scheduler

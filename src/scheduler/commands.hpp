// What the scheduler wants done. The head carries these out in order; each is sent to one node or one client.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"

namespace dc::scheduler {

// --- To a node --------------------------------------------------------------------------------------------------

/// Send class, init data and options of the pool to the node, before anything else of the pool.
struct OpenPoolOnNode {
  NodeId node;
  PoolId pool;
  bool operator==(const OpenPoolOnNode&) const = default;
};
/// The node forgets the pool: kills its workers, drops its results and updates.
struct ClosePoolOnNode {
  NodeId node;
  PoolId pool;
  bool operator==(const ClosePoolOnNode&) const = default;
};
/// After a reconnection: the node may send what it has finished of this pool (see NodeJoined).
struct ActivatePoolOnNode {
  NodeId node;
  PoolId pool;
  bool operator==(const ActivatePoolOnNode&) const = default;
};
/// One update, once per node; the node hands it to its workers of the pool and keeps it for later ones. `keep`: also
/// in a pool without history, for the first worker.
struct SendUpdate {
  NodeId node;
  PoolId pool;
  UpdateNumber number{};
  Payload payload;
  bool keep = false;
  bool operator==(const SendUpdate&) const = default;
};
/// `skip_updates`: updates up to this number are not replayed (keep_updates_history=False), else 0. `more_slots`: the
/// further slots of a worker of several GPUs, on the same node.
struct StartWorker {
  NodeId node;
  WorkerId worker;
  PoolId pool;
  std::uint32_t slot{};
  UpdateNumber skip_updates{};
  std::vector<std::uint32_t> more_slots = {};
  bool operator==(const StartWorker&) const = default;
};
/// End the worker. It holds no job when it is stopped to change pools.
struct StopWorker {
  NodeId node;
  WorkerId worker;
  bool operator==(const StopWorker&) const = default;
};
struct RunJob {
  NodeId node;
  WorkerId worker;
  PoolId pool;
  JobSequence sequence{};
  Token token;
  UpdateNumber after_update{};
  Payload arguments;
  std::uint32_t tries = 1;  ///< with this one; those that had not begun do not count
  bool operator==(const RunJob&) const = default;
};
/// Take back up to `count` jobs that are handed over and not started, the latest first.
struct Recall {
  NodeId node;
  WorkerId worker;
  std::uint32_t count{};
  bool operator==(const Recall&) const = default;
};
/// The result of this attempt need not be kept any longer.
struct AckResult {
  NodeId node;
  PoolId pool;
  Attempt attempt;
  bool operator==(const AckResult&) const = default;
};

/// So many bytes of results are here for the pool's client from nodes that are gone: no window counts them.
struct ResultsStranded {
  PoolId pool;
  std::uint64_t bytes{};
  bool operator==(const ResultsStranded&) const = default;
};

// --- To the pool's client ---------------------------------------------------------------------------------------

struct DeliverOutcome {
  PoolId pool;
  JobSequence sequence{};
  Outcome outcome;
  bool operator==(const DeliverOutcome&) const = default;
};
struct MissingJobs {
  PoolId pool;
  std::vector<JobSequence> sequences;
  bool operator==(const MissingJobs&) const = default;
};
/// The head has this update and all before it.
struct UpdateAccepted {
  PoolId pool;
  UpdateNumber number{};
  bool operator==(const UpdateAccepted&) const = default;
};
/// Every worker that is present has applied all updates up to `number`.
struct UpdateAppliedEverywhere {
  PoolId pool;
  UpdateNumber number{};
  bool operator==(const UpdateAppliedEverywhere&) const = default;
};
/// handle_update raised on a worker, which goes on, or ended it: `outcome` has the error.
struct UpdateFailed {
  PoolId pool;
  UpdateNumber number{};
  Outcome outcome;
  bool operator==(const UpdateFailed&) const = default;
};
/// The pool is over (WorkerInitError, NoSuitableDevice): every outstanding job ends with this error; the scheduler has
/// forgotten it.
struct PoolFailed {
  PoolId pool;
  ErrorInfo error;
  bool operator==(const PoolFailed&) const = default;
};
/// The pool's client, in a job, cannot be served because of others like it: it ends with this error, and the pool goes
/// on without it. (A pool that is nothing without its client ends in PoolFailed.)
struct ClientStuck {
  PoolId pool;
  ErrorInfo error;
  bool operator==(const ClientStuck&) const = default;
};
/// Counts in pool_status() changed; at most one per pool and flush.
struct PoolChanged {
  PoolId pool;
  bool operator==(const PoolChanged&) const = default;
};
/// Something a person should know, e.g. that a slot is set aside. Goes to the head's log and the pool's client.
struct Notice {
  PoolId pool;
  std::string text;
  bool operator==(const Notice&) const = default;
};

// --- About the sender -------------------------------------------------------------------------------------------

/// The event says what cannot be, and changed nothing. `what`: which message, and why, as the end of a sentence.
struct Contradiction {
  std::string what;
  bool operator==(const Contradiction&) const = default;
};

using Command =
    std::variant<OpenPoolOnNode, ClosePoolOnNode, ActivatePoolOnNode, SendUpdate, StartWorker, StopWorker, RunJob,
                 Recall, AckResult, ResultsStranded, DeliverOutcome, MissingJobs, UpdateAccepted,
                 UpdateAppliedEverywhere, UpdateFailed, PoolFailed, ClientStuck, PoolChanged, Notice, Contradiction>;
using Commands = std::vector<Command>;

}  // namespace dc::scheduler

// What the scheduler is told. Plain data; the time comes beside it as an argument.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"

namespace dc::scheduler {

// --- Nodes ------------------------------------------------------------------------------------------------------

/// A node opened a session: new, back after a break, or unknown to this head because the head was restarted.
/// The report is complete: what is not in it, the node does not have.
struct NodeJoined {
  struct HeldPool {
    PoolId pool;
    UpdateNumber updates{};         ///< updates 1..updates of the pool are on the node
    std::vector<Attempt> finished;  ///< results that the node keeps until they are acknowledged
  };
  NodeId node;
  std::string host;
  std::vector<SlotInfo> slots;
  std::vector<HeldPool> pools;
  std::vector<WorkerReport> workers;
};

/// The node's connection broke. It may come back within limits::node_return_grace.
struct NodeDisconnected {
  NodeId node;
};

/// The node leaves in order: no new jobs, what runs is finished (the node sends the results), then NodeGone.
struct NodeLeaving {
  NodeId node;
};

/// These slots of the node have other memory free, or other trouble, than it said before. Number and device of a slot
/// never change.
struct SlotsChanged {
  NodeId node;
  std::vector<SlotInfo> slots;
};

/// The node said goodbye; its workers are gone.
struct NodeGone {
  NodeId node;
};

// --- Pools and their clients ------------------------------------------------------------------------------------

/// A client opened a pool. `resumed`: it existed at an earlier head; its outstanding jobs and updates follow, then
/// PoolResumed. Until then (and until the recovery hold is over) none of its jobs is dispatched.
struct PoolOpened {
  PoolId pool;
  PoolOptions options;
  bool resumed = false;
  bool had_worker = false;  ///< it is known that a worker of it was ready at an earlier head
};

/// All jobs and updates of a resumed pool are here: what nodes still claim beyond them is done with.
struct PoolResumed {
  PoolId pool;
};

/// The client of a pool that this head knows came back with these jobs unanswered. Every other job of the pool
/// counts as acknowledged; outcomes that wait are delivered again; jobs never heard of come back as MissingJobs.
struct ClientReturned {
  PoolId pool;
  std::vector<JobSequence> outstanding;
};

/// The pool's client may have missed which updates count as applied: it is told again.
struct UpdatesMissed {
  PoolId pool;
};

/// The pool ends now: its running jobs are aborted (workers killed), its slots are free.
struct PoolClosed {
  PoolId pool;
};

struct JobsSubmitted {
  PoolId pool;
  std::vector<SubmittedJob> jobs;
};

/// Update `number` of the pool; numbers may arrive out of order and twice. The first one of a resumed pool without
/// history is only a number: that many updates were applied at the earlier head, and nobody has their bytes any more.
struct UpdateAdded {
  PoolId pool;
  UpdateNumber number{};
  Payload payload;
};

/// The client has these outcomes: the head and the nodes may forget them.
struct OutcomesAcknowledged {
  PoolId pool;
  std::vector<JobSequence> sequences;
};

/// The client waits for so many workers: counts as demand until there are as many.
struct WorkersWanted {
  PoolId pool;
  std::uint32_t count{};
};

/// The pool's client runs in a job of this worker, or in a process that the job has started, and waits there, without a
/// limit, for what is true of the last three; for nothing: it goes on.
struct ClientWaits {
  PoolId pool;
  WorkerId worker;          ///< perhaps of another cluster
  std::uint32_t pid{};      ///< of the client
  bool keeps_pool = false;  ///< the pool goes on without its client
  bool results = false, workers = false, updates = false;
};

/// Nobody waits for the pool any more as ClientWaits told.
struct ClientGone {
  PoolId pool;
};

// --- Workers ----------------------------------------------------------------------------------------------------

/// The class is constructed and the history of updates applied.
struct WorkerReady {
  NodeId node;
  WorkerId worker;
  std::uint32_t pid{};
};

/// The worker process is gone. `running` is the one job that had been started and not finished; it alone may be
/// charged. `unstarted` are jobs handed over and never started.
struct WorkerExited {
  NodeId node;
  WorkerId worker;
  ExitCause cause{};
  ErrorInfo error;               ///< complete text for the user, were this the last attempt
  std::vector<Attempt> running;  ///< none or one
  std::vector<Attempt> unstarted;
  UpdateNumber updating = 0;  ///< the update in whose handle_update it ended; 0: none
};

/// An attempt ended with a value or with an error of kind job_error/serialization/too_large.
struct JobFinished {
  NodeId node;
  WorkerId worker;
  PoolId pool;
  Attempt attempt;
  Duration run_time{};
  Outcome outcome;
};

/// These attempts have ended, and their results wait at the node for room on the way to the client: the worker is free.
struct ResultsParked {
  NodeId node;
  WorkerId worker;
  PoolId pool;
  std::vector<Attempt> attempts;
};

/// The node keeps as many results of the pool as it may, or has room again.
struct ResultsFull {
  NodeId node;
  PoolId pool;
  bool full = false;
};

/// Answer to Recall: these were handed over and will not be started. May be empty.
struct JobsRecalled {
  NodeId node;
  WorkerId worker;
  std::vector<Attempt> attempts;
};

/// The worker has applied every update up to `number`. `outcome` has an error when handle_update raised on `number`.
struct UpdatesApplied {
  NodeId node;
  WorkerId worker;
  UpdateNumber number{};
  Outcome outcome = {};
};

using Event = std::variant<NodeJoined, NodeDisconnected, NodeLeaving, SlotsChanged, NodeGone, PoolOpened, PoolResumed,
                           ClientReturned, UpdatesMissed, PoolClosed, JobsSubmitted, UpdateAdded, OutcomesAcknowledged,
                           WorkersWanted, ClientWaits, ClientGone, WorkerReady, WorkerExited, JobFinished,
                           ResultsParked, ResultsFull, JobsRecalled, UpdatesApplied>;

}  // namespace dc::scheduler

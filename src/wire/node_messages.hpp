// What nodes and the head say to each other. See messages.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"
#include "wire/adaptors.hpp"
#include "wire/message.hpp"

namespace dc::wire {

// --- Node -> head -----------------------------------------------------------------------------------------------

/// A pool of which the node keeps very many results stands in several of these, one behind the other.
struct HeldPool {
  PoolId pool;
  UpdateNumber updates{};
  std::vector<Attempt> finished;
  MSGPACK_DEFINE(pool, updates, finished)
};
/// First message after Welcome: everything that the node has. What is not in it, it does not have.
struct NodeState {
  std::vector<SlotInfo> slots;
  std::vector<HeldPool> pools;
  std::vector<WorkerReport> workers;
  std::vector<std::string> programs;  ///< hashes of the executables in the node's cache
  DC_MESSAGE(50, NodeState, node_to_head, slots, pools, workers, programs)
};
struct WorkerReady {
  WorkerId worker;
  std::uint32_t pid{};
  DC_MESSAGE(51, WorkerReady, node_to_head, worker, pid)
};
struct WorkerExited {
  WorkerId worker;
  ExitCause cause{};
  ErrorInfo error;
  std::vector<Attempt> running;  ///< started and not finished: none or one
  std::vector<Attempt> unstarted;
  UpdateNumber updating{};  ///< the update in whose handle_update it ended; 0: none
  DC_MESSAGE(52, WorkerExited, node_to_head, worker, cause, error, running, unstarted, updating)
};
struct FinishedItem {
  Attempt attempt;
  std::uint32_t run_time_us{};
  Payload value;
  MSGPACK_DEFINE(attempt, run_time_us, value)
};
struct JobsDone {
  WorkerId worker;
  PoolId pool;
  std::vector<FinishedItem> items;
  DC_MESSAGE(53, JobsDone, node_to_head, worker, pool, items)
};
struct JobFailed {
  WorkerId worker;
  PoolId pool;
  Attempt attempt;
  std::uint32_t run_time_us{};
  ErrorInfo error;
  Payload exception;
  DC_MESSAGE(54, JobFailed, node_to_head, worker, pool, attempt, run_time_us, error, exception)
};
/// Answer to RecallJobs.
struct JobsRecalled {
  WorkerId worker;
  std::vector<Attempt> attempts;
  DC_MESSAGE(55, JobsRecalled, node_to_head, worker, attempts)
};
struct UpdatesApplied {
  WorkerId worker;
  UpdateNumber number{};
  bool failed = false;  ///< handle_update raised on this one: `error` tells what
  ErrorInfo error = {};
  Payload exception = {};  ///< pickled and small, or empty
  DC_MESSAGE(56, UpdatesApplied, node_to_head, worker, number, failed, error, exception)
};
/// No new jobs, please: the node finishes what runs and then says Goodbye.
struct NodeLeaving {
  std::string reason;
  DC_MESSAGE(57, NodeLeaving, node_to_head, reason)
};
/// These slots are not what they were: memory became free or was taken, a device was lost or is back.
struct SlotsChanged {
  std::vector<SlotInfo> slots;
  DC_MESSAGE(58, SlotsChanged, node_to_head, slots)
};

struct ParkedItem {
  Attempt attempt;
  std::uint64_t bytes{};  ///< larger than the window: it asks for its turn; 0: it waits for room
  MSGPACK_DEFINE(attempt, bytes)
};
/// These attempts have ended, and the worker has done with them. Their results wait at the node until the pool's window
/// (ResultWindow) has room for them, or for their turn.
struct JobsParked {
  WorkerId worker;
  PoolId pool;
  std::vector<ParkedItem> items;
  DC_MESSAGE(59, JobsParked, node_to_head, worker, pool, items)
};
/// Sent when it changes: the node keeps as many results of the pool as it may. It is given no more jobs of it, and
/// those that are not started are recalled, until some are delivered.
struct ResultsFull {
  PoolId pool;
  bool full = false;
  DC_MESSAGE(60, ResultsFull, node_to_head, pool, full)
};

// --- Head -> node -----------------------------------------------------------------------------------------------

/// For a C++ pool whose hash is not among the node's programs, Program is sent first.
struct OpenPoolHere {
  PoolId pool;
  PoolOptions options;
  Payload spec;
  std::string pool_name = {};  ///< of a named pool, else empty
  DC_MESSAGE(70, OpenPoolHere, head_to_node, pool, options, spec, pool_name)
};
struct ClosePoolHere {
  PoolId pool;
  DC_MESSAGE(71, ClosePoolHere, head_to_node, pool)
};
/// The head has the pool's jobs again: the node may send what it has finished of it since the connection broke.
struct ActivatePool {
  PoolId pool;
  DC_MESSAGE(72, ActivatePool, head_to_node, pool)
};
/// `keep`: in a pool without history too, this and those before it are kept for the first worker, until one comes that
/// need not be.
struct PoolUpdate {
  PoolId pool;
  UpdateNumber number{};
  Payload payload;
  bool keep = false;
  DC_MESSAGE(73, PoolUpdate, head_to_node, pool, number, payload, keep)
};
struct StartWorker {
  WorkerId worker;
  PoolId pool;
  std::uint32_t slot{};
  UpdateNumber skip_updates{};                 ///< updates up to this one are not replayed
  std::vector<std::uint32_t> more_slots = {};  ///< the further slots of a worker of several GPUs
  DC_MESSAGE(74, StartWorker, head_to_node, worker, pool, slot, skip_updates, more_slots)
};
struct StopWorker {
  WorkerId worker;
  DC_MESSAGE(75, StopWorker, head_to_node, worker)
};
struct RunItem {
  Attempt attempt;
  UpdateNumber after_update{};
  Payload arguments;
  std::shared_ptr<JobLabel> label = {};  ///< or nothing, as for most jobs: the first try, without a key
  MSGPACK_DEFINE(attempt, after_update, arguments, label)
};
struct RunJobs {
  WorkerId worker;
  std::vector<RunItem> items;
  DC_MESSAGE(76, RunJobs, head_to_node, worker, items)
};
struct RecallJobs {
  WorkerId worker;
  std::uint32_t count{};
  DC_MESSAGE(77, RecallJobs, head_to_node, worker, count)
};
struct AckResults {
  PoolId pool;
  std::vector<Attempt> attempts;
  DC_MESSAGE(78, AckResults, head_to_node, pool, attempts)
};

/// Results of the pool of so many bytes in all (core/result_cost.hpp) may be under way from this node: sent, and not
/// acknowledged by AckResults. Before the first one it is limits::result_window_min. `turn`: and beside them this one,
/// which was larger than the window; none or one.
struct ResultWindow {
  PoolId pool;
  std::uint64_t bytes{};
  std::vector<Attempt> turn;
  DC_MESSAGE(79, ResultWindow, head_to_node, pool, bytes, turn)
};

}  // namespace dc::wire

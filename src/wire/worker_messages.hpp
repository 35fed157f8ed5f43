// What a node and its worker say to each other over their socket pair (SOCK_SEQPACKET): MessagePack messages, each the
// array [type, [field, ...]] as in messages.hpp. See packet.hpp for the packets that carry them and their payloads, and
// claims.hpp for the shared page.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/boxed.hpp"
#include "core/job.hpp"
#include "wire/adaptors.hpp"
#include "wire/message.hpp"

namespace dc::wire {

// --- Node -> worker ---------------------------------------------------------------------------------------------

/// First message: construct the class.
struct Begin {
  Boxed<PoolOptions> options;
  std::string host;
  std::uint32_t slot{};
  Payload spec;
  DC_MESSAGE(1, Begin, node_to_worker, options, host, slot, spec)
};
/// Jobs of a worker are numbered 0, 1, 2, ... by the node (`index`); they run in this order. Before a job runs, the
/// worker claims its entry in the shared page; a job that the node took back is skipped without an answer.
struct WorkerJob {
  std::uint64_t index{};
  Payload arguments;
  // What the worker tells of the job, when it is asked; the label as in RunItem:
  JobSequence sequence{};
  std::shared_ptr<JobLabel> label = {};
  DC_MESSAGE(2, WorkerJob, node_to_worker, index, arguments, sequence, label)
};
/// Updates come in order. History updates come between Begin and HistoryEnd.
struct WorkerUpdate {
  UpdateNumber number{};
  Payload payload;
  DC_MESSAGE(3, WorkerUpdate, node_to_worker, number, payload)
};
/// The history is complete: answer WorkerConstructed.
struct HistoryEnd {
  std::uint32_t unused{};
  DC_MESSAGE(4, HistoryEnd, node_to_worker, unused)
};
/// End in order, at once after the current job. `terminated`: 1 when SIGTERM came before it, so that the handler of the
/// class has run.
struct Stop {
  std::uint32_t terminated{};
  DC_MESSAGE(5, Stop, node_to_worker, terminated)
};

// --- Worker -> node ---------------------------------------------------------------------------------------------

struct WorkerConstructed {
  std::uint32_t unused{};
  DC_MESSAGE(20, WorkerConstructed, worker_to_node, unused)
};
/// The constructor raised; the process ends after this.
struct ConstructionFailed {
  Boxed<ErrorInfo> error;
  DC_MESSAGE(21, ConstructionFailed, worker_to_node, error)
};
struct WorkerValue {
  std::uint64_t index{};
  std::uint32_t run_time_us{};
  Payload value;
  DC_MESSAGE(22, WorkerValue, worker_to_node, index, run_time_us, value)
};
struct WorkerError {
  std::uint64_t index{};
  std::uint32_t run_time_us{};
  Boxed<ErrorInfo> error;
  Payload exception;
  DC_MESSAGE(23, WorkerError, worker_to_node, index, run_time_us, error, exception)
};
struct UpdateDone {
  UpdateNumber number{};
  bool failed = false;  ///< handle_update raised: `error` tells what
  Boxed<ErrorInfo> error = {};
  Payload exception = {};  ///< pickled and small, or empty
  DC_MESSAGE(24, UpdateDone, worker_to_node, number, failed, error, exception)
};

using ToWorker = std::variant<Begin, WorkerJob, WorkerUpdate, HistoryEnd, Stop>;
using FromWorker = std::variant<WorkerConstructed, ConstructionFailed, WorkerValue, WorkerError, UpdateDone>;

}  // namespace dc::wire

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

namespace dc::wire {

// --- Node -> worker ---------------------------------------------------------------------------------------------

/// First message: construct the class.
struct Begin {
  static constexpr std::uint8_t type = 1;
  Boxed<PoolOptions> options;
  std::string host;
  std::uint32_t slot{};
  Payload spec;
  MSGPACK_DEFINE(options, host, slot, spec)
};
/// Jobs of a worker are numbered 0, 1, 2, ... by the node (`index`); they run in this order. Before a job runs, the
/// worker claims its entry in the shared page; a job that the node took back is skipped without an answer.
struct WorkerJob {
  static constexpr std::uint8_t type = 2;
  std::uint64_t index{};
  Payload arguments;
  // What the worker tells of the job, when it is asked; the label as in RunItem:
  JobSequence sequence{};
  std::shared_ptr<JobLabel> label = {};
  MSGPACK_DEFINE(index, arguments, sequence, label)
};
/// Updates come in order. History updates come between Begin and HistoryEnd.
struct WorkerUpdate {
  static constexpr std::uint8_t type = 3;
  UpdateNumber number{};
  Payload payload;
  MSGPACK_DEFINE(number, payload)
};
/// The history is complete: answer WorkerConstructed.
struct HistoryEnd {
  static constexpr std::uint8_t type = 4;
  std::uint32_t unused{};
  MSGPACK_DEFINE(unused)
};
/// End in order, at once after the current job. `terminated`: 1 when SIGTERM came before it, so that the handler of the
/// class has run.
struct Stop {
  static constexpr std::uint8_t type = 5;
  std::uint32_t terminated{};
  MSGPACK_DEFINE(terminated)
};

// --- Worker -> node ---------------------------------------------------------------------------------------------

struct WorkerConstructed {
  static constexpr std::uint8_t type = 20;
  std::uint32_t unused{};
  MSGPACK_DEFINE(unused)
};
/// The constructor raised; the process ends after this.
struct ConstructionFailed {
  static constexpr std::uint8_t type = 21;
  Boxed<ErrorInfo> error;
  MSGPACK_DEFINE(error)
};
struct WorkerValue {
  static constexpr std::uint8_t type = 22;
  std::uint64_t index{};
  std::uint32_t run_time_us{};
  Payload value;
  MSGPACK_DEFINE(index, run_time_us, value)
};
struct WorkerError {
  static constexpr std::uint8_t type = 23;
  std::uint64_t index{};
  std::uint32_t run_time_us{};
  Boxed<ErrorInfo> error;
  Payload exception;
  MSGPACK_DEFINE(index, run_time_us, error, exception)
};
struct UpdateDone {
  static constexpr std::uint8_t type = 24;
  UpdateNumber number{};
  bool failed = false;  ///< handle_update raised: `error` tells what
  Boxed<ErrorInfo> error = {};
  Payload exception = {};  ///< pickled and small, or empty
  MSGPACK_DEFINE(number, failed, error, exception)
};

using ToWorker = std::variant<Begin, WorkerJob, WorkerUpdate, HistoryEnd, Stop>;
using FromWorker = std::variant<WorkerConstructed, ConstructionFailed, WorkerValue, WorkerError, UpdateDone>;

}  // namespace dc::wire

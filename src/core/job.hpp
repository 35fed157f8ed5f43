// What a job, its outcome and its pool are made of: shared by the scheduler, the wire and the roles.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/ids.hpp"
#include "core/limits.hpp"
#include "core/payload.hpp"

namespace dc {

/// Why a job, a worker or a pool failed. The public exceptions bear the same names.
enum class ErrorKind : std::uint8_t {
  job_error = 0,          ///< run() raised: `traceback` is the remote one, the payload may hold the exception
  worker_died = 1,        ///< the worker process ended while the job ran, max_retries times
  job_timeout = 2,        ///< the job ran longer than job_timeout, max_retries times
  worker_init_error = 3,  ///< the class could not be constructed on any slot
  pool_closed = 4,
  too_large = 5,        ///< a payload over the limit
  serialization = 6,    ///< arguments or result could not be pickled or unpickled
  no_device = 7,        ///< no device of the cluster can ever meet the pool's requirements; `message` lists them
  not_stored = 8,       ///< a named pool's job or update that the store could not take
  pool_busy = 9,        ///< another client has the named pool
  pool_not_found = 10,  ///< no pool has this name
  pool_deadlock = 11,   ///< opened by a job, and all slots that could serve it hold jobs that wait for such pools
};

/// One error as the user will see it. `message` is complete; the other fields are for programs.
struct ErrorInfo {
  ErrorKind kind{};
  std::string message;
  std::string traceback;  ///< remote traceback or the last lines of the worker's output; may be empty
  std::string type_name;  ///< the remote exception's type, e.g. "ValueError"; may be empty
  std::string host;
  std::uint32_t slot{};
  std::int32_t exit_status = -1;  ///< of the worker process; -1: none
  std::int32_t signal = 0;        ///< that ended the worker process; 0: none
  bool operator==(const ErrorInfo&) const = default;

  static ErrorInfo of(ErrorKind kind, std::string message, std::string host = {}, std::uint32_t slot = 0) {
    ErrorInfo error;
    error.kind = kind;
    error.message = std::move(message);
    error.host = std::move(host);
    error.slot = slot;
    return error;
  }
};

/// A job as submitted.
struct SubmittedJob {
  JobSequence sequence{};
  UpdateNumber after_update{};  ///< must not run on a worker that has not applied this update
  Payload arguments;
  std::string key = {};  ///< of a job of a named pool: once a job with this key has a value, others get it; or empty
  bool operator==(const SubmittedJob&) const = default;
};

/// What a job is told of itself beside its number.
struct JobLabel {
  std::uint32_t tries = 1;  ///< with this one; those that had not begun do not count
  std::string key;          ///< of a job of a named pool, or empty
  bool operator==(const JobLabel&) const = default;
};

/// An error, or none. Copies share it: a pool that breaks ends a million jobs with one.
class SharedError {
 public:
  SharedError() = default;
  SharedError(std::nullopt_t) {}
  SharedError(ErrorInfo error) : error_(std::make_shared<const ErrorInfo>(std::move(error))) {}
  explicit operator bool() const { return error_ != nullptr; }
  [[nodiscard]] bool has_value() const { return error_ != nullptr; }
  const ErrorInfo& operator*() const { return *error_; }
  const ErrorInfo* operator->() const { return error_.get(); }
  /// Both are one and the same, not only equal.
  [[nodiscard]] bool same_as(const SharedError& other) const { return error_ == other.error_; }
  friend bool operator==(const SharedError& a, const SharedError& b) {
    return a.same_as(b) || (a.error_ && b.error_ && *a.error_ == *b.error_);
  }

 private:
  std::shared_ptr<const ErrorInfo> error_;
};

/// How a job ended. With no `error` the payload is its value; with one it may hold the pickled exception.
struct Outcome {
  Payload payload;
  SharedError error;
  bool operator==(const Outcome&) const = default;
};

enum class Language : std::uint8_t { python = 0, cpp = 1 };

/// What kind of slot a pool's workers need.
enum class DeviceWish : std::uint8_t { any = 0, gpu = 1, cpu = 2 };

/// Which of the lines that its workers print a pool's client gets.
enum class ForwardOutput : std::uint8_t {
  none = 0,
  all = 1,
  errors = 2,  ///< what jobs, updates and constructors that failed have printed
};

enum class OutputStream : std::uint8_t { out = 0, err = 1 };

/// Everything about a pool that head and node must know. Durations are whole milliseconds on the wire; 0 = no limit.
struct PoolOptions {
  Language language = Language::python;
  std::string label = {};           ///< class name, for people
  std::string python_version = {};  ///< "3.11": the client's; empty for C++
  std::string program_hash = {};    ///< SHA-256 (hex) of the executable of a C++ pool; empty for Python
  double weight = 1.0;
  std::uint32_t max_retries = limits::max_retries_default;  ///< dead workers until a job is given up
  std::chrono::milliseconds job_timeout{0};
  std::chrono::milliseconds init_timeout{0};
  std::chrono::milliseconds update_timeout{0};
  bool keep_updates_history = true;
  bool retry_exceptions = false;
  ForwardOutput forward_output = ForwardOutput::none;
  std::uint32_t min_workers = 0;         ///< counts as demand even when there are no jobs
  std::uint64_t min_gpu_memory_mib = 0;  ///< a GPU with less memory is not used, nor one that has less free now
  DeviceWish device = DeviceWish::any;
  std::uint32_t gpus_per_worker = 1;  ///< so many different GPUs of one node make up a worker; 1 for pools without GPUs
  std::vector<std::string> environment = {};  ///< "NAME=value": set in the workers, see core/environment.hpp
  std::uint32_t threads_per_worker = 0;       ///< of a worker's native thread pools; 0: its share of the node's cores
  bool operator==(const PoolOptions&) const = default;
};

/// A place for one worker on a node: normally one GPU, or one core where there is none.
struct SlotInfo {
  std::uint32_t slot{};
  std::string device;                ///< for people: "cpu", or a GPU's name
  std::uint64_t gpu_memory_mib = 0;  ///< of the whole device; 0: no GPU
  std::string gpu = {};              ///< the device's UUID; slots that share a device have the same; empty: a CPU slot
  std::uint64_t gpu_memory_free_mib = 0;  ///< when no worker of this slot used it
  std::string trouble = {};  ///< why no worker can start here now (who holds it, lost, …); empty: one can
  bool operator==(const SlotInfo&) const = default;
};

/// One attempt at a job.
struct Attempt {
  JobSequence sequence{};
  Token token;
  auto operator<=>(const Attempt&) const = default;
};

/// Why a worker is gone.
enum class ExitCause : std::uint8_t {
  requested = 0,      ///< the head asked for it
  died = 1,           ///< it ended by itself (signal, exit) while constructed
  init_failed = 2,    ///< the constructor raised, timed out, or the process ended during it
  job_timeout = 3,    ///< the node killed it because its job ran too long
  drained = 4,        ///< the node is leaving
  out_of_memory = 5,  ///< the kernel ended it for lack of memory
};

/// What a node knows about one of its workers; sent after every (re)connection.
struct WorkerReport {
  WorkerId worker;
  PoolId pool;
  std::uint32_t slot{};
  bool ready = false;  ///< constructed
  std::uint32_t pid{};
  UpdateNumber updates_applied{};
  std::vector<Attempt> held;                   ///< handed over and not finished, oldest first; the first may be running
  std::vector<std::uint32_t> more_slots = {};  ///< the further ones of a worker of several GPUs
  bool operator==(const WorkerReport&) const = default;
};

}  // namespace dc

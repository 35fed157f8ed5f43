// The loop inside a worker process: constructs the user's class, applies updates, runs jobs one at a time, answers.
// Links neither Boost nor TLS.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/job.hpp"
#include "wire/worker_messages.hpp"

namespace dc::worker {

/// The user's object, whatever its language.
class JobRunner {
 public:
  virtual ~JobRunner() = default;
  /// Runs one job. Never throws: an error of the job is in the outcome.
  virtual Outcome run(Payload arguments) = 0;
  /// Applies one update. Never throws: what the user's code raised is in the outcome.
  virtual Outcome update(Payload payload) = 0;
  /// Can be read when a signal has come that signalled() was not called for so far; -1: there is no such descriptor.
  [[nodiscard]] virtual int signal_fd() const { return -1; }
  /// A signal has come while nothing runs. A result: the worker shall end, with this exit code. Never throws.
  virtual std::optional<int> signalled() { return std::nullopt; }
  /// The worker ends in order; nothing is called after this. `terminated`: it was sent SIGTERM before. Never throws.
  virtual void close(bool terminated) = 0;

  /// What was printed and is not out yet goes out. Never throws. Costs next to nothing when there is nothing.
  struct Flushed {
    bool printed = false;    ///< something, since the last time
    bool open_line = false;  ///< and it ends without a newline
  };
  virtual Flushed flush_output() { return {}; }
};

/// The constructor raised.
struct ConstructionError : std::exception {
  explicit ConstructionError(ErrorInfo error) : info(std::move(error)) {}
  [[nodiscard]] const char* what() const noexcept override { return info.message.c_str(); }
  ErrorInfo info;
};

/// Builds the user's object; throws ConstructionError.
using Construct = std::function<std::unique_ptr<JobRunner>(const wire::Begin& begin)>;

/// Serves the node over wire::worker_socket_fd until it says Stop (returns 0), the handler of a signal ends the worker
/// (returns its exit code), the constructor raises or CUDA is dead after an error (returns 1) or the node is gone (the
/// process and its group end at once). Never throws, and returns in no copy that fork() has made of this process.
int run_worker(const Construct& construct);

}  // namespace dc::worker

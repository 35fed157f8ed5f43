// What a job has printed is out before its result is, and the node can tell where that ends.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/fd.hpp"
#include "core/job.hpp"
#include "wire/claims.hpp"
#include "wire/output_mark.hpp"
#include "worker/runtime.hpp"

namespace dc::worker {

class JobOutput {
 public:
  using Clock = std::chrono::steady_clock;

  /// Keeps copies of the pipes to the node: the user's code may put other things in place of stdout and stderr.
  explicit JobOutput(wire::Claims& claims);
  ~JobOutput();
  JobOutput(const JobOutput&) = delete;
  JobOutput& operator=(const JobOutput&) = delete;

  /// The constructor has ended; `runner` is nullptr when it failed.
  void begin(ForwardOutput forward, JobRunner* runner);
  /// A job or an update has. Short ones share a flush, unless it matters which of them failed.
  void ended(bool failed, Clock::time_point now);
  /// There is nothing to do.
  void idle();

 private:
  void flush(bool failed);
  void mark(wire::JobEnd end) const;
  void flush_now_and_then();

  wire::Claims& claims_;
  Fd out_, err_;
  JobRunner* runner_ = nullptr;
  bool each_job_ = false;  ///< has its mark
  bool waits_ = false;     ///< something has run since the last flush
  Clock::time_point flushed_at_{};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool over_ = false;
  std::thread flusher_;  ///< of what native code prints in the course of a long job
};

}  // namespace dc::worker

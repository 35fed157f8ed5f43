// What this process knows of itself: which worker it is, or was started by, and which job it runs. For the user's code,
// which may ask on any thread and in forked children.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/ids.hpp"
#include "core/limits.hpp"
#include "distributed_computing/detail/worker_info.hpp"

namespace dc::worker {

/// The job that runs, written by the runtime's thread and read by all: some stores for each job, no lock, no memory.
class JobNote {
 public:
  struct Job {
    JobSequence sequence = 0;  ///< 0: none runs
    std::uint32_t tries = 0;
    std::string key;
  };
  void begin(JobSequence sequence, std::uint32_t tries, std::string_view key) { write(sequence, tries, key); }
  void end() { write(0, 0, {}); }
  [[nodiscard]] Job read() const;

 private:
  void write(JobSequence sequence, std::uint32_t tries, std::string_view key);
  [[nodiscard]] Job read_now() const;

  std::atomic<std::uint32_t> version_ = 0;  ///< odd while it is written
  std::atomic<JobSequence> sequence_ = 0;
  std::atomic<std::uint32_t> tries_ = 0, key_bytes_ = 0;
  std::array<std::atomic<std::uint64_t>, limits::job_key_bytes_max / 8> key_ = {};
};

/// Of this process: there is but one runtime in it, and the user's code has no other way to it.
JobNote& job_note();

/// From here on this process is the worker that its environment names, whatever becomes of the environment.
void note_worker();

/// Nothing in a process that is no worker and was not started by one.
std::optional<WorkerInfo> worker_info();

}  // namespace dc::worker

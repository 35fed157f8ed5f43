// The page that a node and one worker share (a memory file, mapped by both). It lets the node take back jobs that sit
// in the worker's socket, and know which job runs, without asking a process that is busy with user code.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "core/clock.hpp"
#include "core/limits.hpp"

namespace dc::wire {

enum class Claim : std::uint8_t { handed = 0, started = 1, taken_back = 2 };

/// Layout of the page. Zero-filled at birth. Job `index` uses entry index % limits::claims; the node hands out
/// no job whose entry may still be read by the worker (see limits::claims).
struct Claims {
  std::array<std::atomic<std::uint8_t>, limits::claims> entries;
  /// CLOCK_MONOTONIC nanoseconds at which the latest job was started; written by the worker before its claim.
  std::atomic<std::uint64_t> started_at_ns;
  /// CLOCK_MONOTONIC nanoseconds at which the update that is being applied was started; 0: none is.
  std::atomic<std::uint64_t> update_started_at_ns;
  /// Which update that is; written by the worker before the time.
  std::atomic<std::uint64_t> update_number;
  /// Number of the latest update that the node has sent. A worker that sees a larger number than it has applied
  /// reads its socket before its next job, so that updates pass the jobs that wait in front of them.
  std::atomic<std::uint64_t> update_sent;
  /// Written by the node before the worker is born: names the marks in its output, see output_mark.hpp.
  std::atomic<std::uint64_t> output_token;
  /// The worker has printed since the node looked last: what a job has printed is read before its result is told.
  std::atomic<std::uint8_t> printed;

  std::atomic<std::uint8_t>& entry(std::uint64_t index) { return entries[index % limits::claims]; }

  /// Node: before the job is handed over.
  void hand(std::uint64_t index) { entry(index).store(static_cast<std::uint8_t>(Claim::handed)); }
  /// Worker: before the job runs. False: it was taken back, skip it.
  bool start(std::uint64_t index, std::uint64_t now_ns) {
    started_at_ns.store(now_ns, std::memory_order_relaxed);
    auto expected = static_cast<std::uint8_t>(Claim::handed);
    return entry(index).compare_exchange_strong(expected, static_cast<std::uint8_t>(Claim::started));
  }
  /// Node: false when the worker has started it already.
  bool take_back(std::uint64_t index) {
    auto expected = static_cast<std::uint8_t>(Claim::handed);
    return entry(index).compare_exchange_strong(expected, static_cast<std::uint8_t>(Claim::taken_back));
  }
  bool started(std::uint64_t index) { return entry(index).load() == static_cast<std::uint8_t>(Claim::started); }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "two processes share it");

/// Descriptors that a worker process is born with, beside 0 (/dev/null), 1 and 2 (a pipe to the node each).
inline constexpr int worker_socket_fd = 3;
inline constexpr int worker_claims_fd = 4;

}  // namespace dc::wire

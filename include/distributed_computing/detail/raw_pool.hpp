// The compiled part of a pool: bytes in, bytes out. Pool<Worker> puts types round it. Not for users.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "distributed_computing/settings.hpp"

namespace dc::detail {

/// How a job ended: bytes that live as long as `owner`, or an error.
struct RawOutcome {
  std::uint64_t sequence{};
  std::shared_ptr<const void> owner;
  const char* data = nullptr;
  std::size_t size = 0;
  std::exception_ptr error;
};

/// A consumer of outcomes. All members throw PoolClosed and the other exceptions of errors.hpp.
class RawStream {
 public:
  virtual ~RawStream() = default;
  /// Consecutive sequences; returns the first.
  virtual std::uint64_t submit(std::vector<std::string> arguments) = 0;
  /// What is there; waits for the first one until the timeout.
  virtual std::vector<RawOutcome> take(std::chrono::nanoseconds timeout) = 0;
};

class RawPool {
 public:
  virtual ~RawPool() = default;
  virtual std::unique_ptr<RawStream> open_stream() = 0;
  /// Calls `done` from a thread of the pool.
  virtual void submit(std::string arguments, std::function<void(RawOutcome&&)> done) = 0;
  virtual std::uint64_t update(std::string arguments) = 0;
  virtual void wait_applied(std::uint64_t number, std::chrono::nanoseconds timeout) = 0;
  virtual std::uint32_t workers() = 0;
  virtual std::uint32_t nodes() = 0;
  virtual void wait_for_workers(std::uint32_t count, std::chrono::nanoseconds timeout) = 0;
  virtual void close() = 0;
};

/// Connects and waits until the head has the pool. `label`: the class's name; `spec`: see worker_entry.hpp.
std::shared_ptr<RawPool> open_pool(const PoolSettings& settings, const std::string& label, std::string spec);

inline constexpr std::size_t window_jobs = 2048;                    ///< as limits::imap_window_jobs
inline constexpr std::size_t window_bytes = std::size_t{64} << 20;  ///< as limits::imap_window_bytes

}  // namespace dc::detail

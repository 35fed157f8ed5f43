// The compiled part of a pool: bytes in, bytes out. Pool<Worker> puts types round it. Not for users.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "distributed_computing/settings.hpp"

namespace dc {

namespace detail {

inline constexpr std::size_t window_jobs = 2048;  ///< as limits::imap_window_jobs

}  // namespace detail

/// How far Results reads ahead of what was consumed.
struct ReadAhead {
  bool ordered = false;  ///< results in the order of the items
  bool whole = false;    ///< the caller needs all results, or none of them counts as delivered (named pools)
  bool bounded = true;   ///< false: results that wait to be consumed do not count (map keeps them all anyway)
  std::size_t jobs_min = 16;
  std::size_t jobs_max = detail::window_jobs;
};

namespace detail {

/// How a job ended: bytes that live as long as `owner`, or an error.
struct RawOutcome {
  std::uint64_t sequence{};
  std::shared_ptr<const void> owner;
  const char* data = nullptr;
  std::size_t size = 0;
  std::exception_ptr error;
  std::size_t text_bytes = 0;  ///< of the error
  [[nodiscard]] std::size_t bytes() const { return size + text_bytes; }
};

/// A consumer of outcomes. All members throw PoolClosed and the other exceptions of errors.hpp.
class RawStream {
 public:
  virtual ~RawStream() = default;
  /// Consecutive sequences; returns the first.
  virtual std::uint64_t submit(std::vector<std::string> arguments) = 0;
  /// What is there, up to `max`; waits for the first one until the timeout.
  virtual std::vector<RawOutcome> take(std::chrono::nanoseconds timeout, std::size_t max = take_max) = 0;
  /// Submitted and not taken.
  [[nodiscard]] virtual std::size_t in_flight() const = 0;
  /// Named pools: these outcomes are in the caller's hands. They are acknowledged when it takes or is handed more.
  virtual void hand_over(const std::vector<std::uint64_t>& sequences) = 0;
  static constexpr std::size_t take_max = 4096;
};

class RawPool {
 public:
  virtual ~RawPool() = default;
  virtual std::unique_ptr<RawStream> open_stream() = 0;
  /// Calls `done` from a thread of the pool. `key`: of a job of a named pool, or empty.
  virtual void submit(std::string arguments, std::string key, std::function<void(RawOutcome&&)> done) = 0;
  virtual std::uint64_t update(std::string arguments) = 0;
  virtual void wait_applied(std::uint64_t number, std::chrono::nanoseconds timeout) = 0;
  virtual std::uint32_t workers() = 0;
  virtual std::uint32_t nodes() = 0;
  virtual void wait_for_workers(std::uint32_t count, std::chrono::nanoseconds timeout) = 0;
  virtual void close() = 0;
  [[nodiscard]] virtual bool named() const = 0;
  /// Named pools: the one stream of outcomes that earlier clients left.
  virtual std::shared_ptr<RawStream> earlier(bool in_order) = 0;
  virtual void detach() = 0;
  /// Detaches from a named pool, closes another one.
  virtual void end() = 0;
};

/// Connects and waits until the head has the pool. `label`: the class's name; `spec`: see worker_entry.hpp; none: the
/// pool must be there.
std::shared_ptr<RawPool> open_pool(const PoolSettings& settings, const std::string& label,
                                   std::optional<std::string> spec);
/// Throws std::invalid_argument when the pool keeps nothing by key, or this cannot be a key.
void check_key(const RawPool& pool, const std::string& key);

/// What is behind Results: reads items ahead of what was consumed, and yields outcomes. For one thread.
class RawResults {
 public:
  RawResults(std::shared_ptr<RawPool> pool, const ReadAhead& read_ahead);
  /// The next item as bytes; nothing: there are no more.
  using ReadItem = std::function<std::optional<std::string>()>;
  /// The next outcome; waits for it. Nothing: there are no more, neither items nor outcomes.
  std::optional<RawOutcome> next(const ReadItem& read);
  /// With ReadAhead::whole: the caller has all results.
  void all_delivered();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace detail
}  // namespace dc

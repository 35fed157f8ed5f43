// The compiled part of a pool: bytes in, bytes out. Pool<Worker> puts types round it. Not for users.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "distributed_computing/settings.hpp"

namespace dc {

namespace client {
class OutputCalls;
class PoolClient;
class Stream;
}  // namespace client

namespace detail {

class Callbacks;

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
  std::shared_ptr<const void> owner;
  const char* data = nullptr;
  std::size_t size = 0;
  std::exception_ptr error;
};

/// PoolClient with exceptions. All members throw PoolClosed and the others of errors.hpp.
class RawPool {
 public:
  /// Waits until the head has the pool.
  RawPool(std::shared_ptr<client::PoolClient> client, std::shared_ptr<client::OutputCalls> output);
  ~RawPool();
  RawPool(const RawPool&) = delete;
  RawPool& operator=(const RawPool&) = delete;

  std::shared_ptr<client::Stream> open_stream();
  /// Calls `done` from a thread of the pool. `key`: of a job of a named pool, or empty.
  void submit(std::string arguments, std::string key, std::function<void(RawOutcome&&)> done);
  std::uint64_t update(std::string arguments);
  void wait_applied(std::uint64_t number, std::chrono::nanoseconds timeout);
  std::uint32_t workers();
  std::uint32_t nodes();
  void wait_for_workers(std::uint32_t count, std::chrono::nanoseconds timeout);
  /// PoolSettings::min_workers and workers_timeout.
  void wait_for_first(std::uint32_t count, std::chrono::milliseconds timeout);
  void close();
  [[nodiscard]] bool named() const;
  /// Named pools: the one stream of outcomes that earlier clients left.
  std::shared_ptr<client::Stream> earlier(bool in_order);
  void detach();
  /// Detaches from a named pool, closes another one.
  void end();

 private:
  void settle();

  const std::shared_ptr<client::OutputCalls> output_;  ///< of the user's function for lines, if there is one
  const std::shared_ptr<client::PoolClient> client_;
  std::mutex mutex_;
  std::shared_ptr<client::Stream> earlier_;
  std::shared_ptr<Callbacks> callbacks_;
};

/// Connects and waits until the head has the pool. `label`: the class's name; `spec`: see worker_entry.hpp; none: the
/// pool must be there.
std::shared_ptr<RawPool> open_pool(const PoolSettings& settings, const std::string& label,
                                   std::optional<std::string> spec);
/// Throws std::invalid_argument when the pool keeps nothing by key, or this cannot be a key.
void check_key(const RawPool& pool, const std::string& key);

/// The next outcome that earlier clients left; waits for it. It counts as delivered when the next one is asked for.
/// Nothing: there are no more.
std::optional<RawOutcome> next_of(client::Stream& earlier);
/// So many are left.
std::size_t left_in(const client::Stream& earlier);

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

// Inside of PoolClient: what its threads share, and what belongs to the background thread alone.
//
//   user threads --(outbox, one wake-up per batch)--> background thread --(per-stream queues, one notify per batch)-->
//   users
#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "client/client_machine.hpp"
#include "client/leaving_machine.hpp"
#include "client/pool_client.hpp"
#include "core/text_pace.hpp"
#include "core/unshown_lines.hpp"
#include "net/event_loop.hpp"
#include "net/session.hpp"

namespace dc::client {

/// Completed jobs of one stream on their way to its consumers. Lock order: Impl::mutex before this one.
struct Stream::State {
  StreamId id{};
  std::atomic<std::size_t> in_flight{0};
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<Completed> ready;  ///< guarded by mutex, like all below; taken from `next` on
  std::size_t next = 0;
  std::vector<JobSequence> handed;  ///< named pools: in the user's hands, not acknowledged
  TimePoint handed_since{};
  bool closed = false;
  bool left = false;  ///< named pools: nothing more is taken, it stays in the pool
  std::optional<Failure> over;
};

struct PoolClient::Impl : std::enable_shared_from_this<Impl> {
  explicit Impl(ClientOptions options);

  // --- Any thread ---
  [[nodiscard]] bool in_forked_child() const;
  /// Asks the loop to drain the outbox; one wake-up per batch. `mutex` is held.
  void wake();
  void fail(Failure why);
  /// Why nothing can be submitted now. `mutex` is held.
  [[nodiscard]] std::optional<Failure> refusal() const;
  /// The user has done with what was handed over. The stream's mutex is not held.
  void acknowledge(std::vector<JobSequence> sequences);
  /// Waits on `changed` until `done()` or the pool is over. True when done.
  template <class Condition>
  Outcomes<bool> wait(WaitFor what, Patience patience, Duration timeout, Condition done);
  /// A thread of the user begins to wait, and ends that.
  void begin_wait(WaitFor what, Patience patience);
  void end_wait(WaitFor what, Patience patience, bool got);

  // --- Background thread ---
  void run();
  void start_connecting();
  void drain();
  void flush();
  void deliver(std::vector<Delivery>& deliveries);
  void report(const Report& report);
  void note(const std::string& text);
  void note_failed_update(const std::string& text);
  void show(const wire::OutputLines& printed);
  void tell_unshown();
  void give_up(Failure why);
  void begin_close(Duration timeout);
  void look_at_leaving();
  void say_goodbye();
  void watch_holder();
  void look_at_waits();
  void note_connecting();
  void schedule_tick();
  net::Connector::Handler handlers();

  const ClientOptions options;
  const unsigned fork_generation;
  const std::string head_name;

  std::mutex mutex;
  std::condition_variable changed;
  // Outbox, guarded by mutex.
  std::vector<NewJob> new_jobs;
  std::vector<Payload> new_updates;
  std::optional<std::uint32_t> new_want;
  std::vector<StreamId> dropped;
  std::vector<JobSequence> consumed;
  std::optional<bool> earlier_asked;  ///< in order
  bool leave_asked = false;
  std::optional<Duration> close_asked;
  bool woken = false;
  JobSequence last_sequence = 0;
  UpdateNumber last_update = 0;
  // What is known, guarded by mutex.
  bool open = false;
  PoolIsOpen opened;
  bool ended = false;  ///< the background thread does nothing any more
  std::optional<Failure> failure;
  UpdateNumber accepted = 0;
  UpdateNumber applied = 0;
  std::map<UpdateNumber, Outcome> raised;  ///< the first error of each of the latest ones that failed
  wire::PoolState state;
  std::uint64_t state_version = 0;
  std::uint64_t payload_bytes_max = limits::payload_bytes_max_default;
  std::unordered_map<StreamId, std::shared_ptr<Stream::State>> streams;
  StreamId last_stream = 0;

  WaitBook waits;

  // Background thread alone. The loop's post() is for any thread.
  net::EventLoop loop;
  std::optional<ClientMachine> machine;
  std::unique_ptr<net::Connector> connector;
  net::Session* session = nullptr;
  std::string last_error;     ///< why the latest attempt to connect failed
  bool last_refused = false;  ///< one of the addresses refused us
  bool had_session = false;
  LeavingMachine leaving;
  std::unique_ptr<net::Timer> connect_timer, tick_timer, holder_timer, connecting_timer, waits_timer, unshown_timer;
  UnshownLines unshown;
  TextPace failed_updates{limits::failed_updates_at_once, limits::failed_updates_per_second};
  bool failed_updates_unshown = false;
  std::string holder_told;  ///< what was said of the one that is waited for
  TimePoint tick_at = never;

  std::mutex join_mutex;
  std::thread thread;
};

/// now + timeout, or `never`.
TimePoint deadline_after(Duration timeout);

/// Waits until `done()` or the deadline; the value of `done()` at the end.
template <class Condition>
bool wait_until(std::condition_variable& condition, std::unique_lock<std::mutex>& lock, TimePoint deadline,
                Condition done) {
  if (deadline != never) return condition.wait_until(lock, deadline, done);
  condition.wait(lock, done);
  return true;
}

template <class Condition>
Outcomes<bool> PoolClient::Impl::wait(WaitFor what, Patience patience, Duration timeout, Condition done) {
  std::unique_lock lock(mutex);
  const auto over = [&] { return failure.has_value() || done(); };
  if (!over() && timeout > Duration::zero()) {
    begin_wait(what, patience);
    const bool got = wait_until(changed, lock, deadline_after(timeout), over);
    end_wait(what, patience, got);
  }
  if (failure) return *failure;
  return done();
}

Failure forked_failure();
Failure left_failure(const std::string& name);

/// How many times this process is a forked copy; counted by a handler of fork().
unsigned fork_generation_now();

/// The file's bytes, mapped; read when they are touched.
Result<Payload> map_file(const std::string& path);

}  // namespace dc::client

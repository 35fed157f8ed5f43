// The one thread of a process that does I/O. Wraps Boost.Asio, which no other folder names.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/clock.hpp"

namespace dc::net {

using Callback = std::function<void()>;

/// A call that waits for its time. Destroying or resetting it cancels the call.
class Timer {
 public:
  virtual ~Timer() = default;
};

/// Interest in a file descriptor. Destroying it ends the interest; it does not close the descriptor.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  /// Calls back each time the descriptor can be written, until set to false.
  virtual void want_write(bool wanted) = 0;
  /// Reading is wanted from the start; false stops it (back-pressure).
  virtual void want_read(bool wanted) = 0;
};

/// All members are for the loop's own thread, except post() and stop().
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Runs until stop(). Callbacks run one at a time on the calling thread.
  void run();
  void stop();

  /// From any thread: run `call` on the loop soon.
  void post(Callback call);
  /// post() for threads that may outlive the loop: does nothing then. A call that is dropped is destroyed where it is,
  /// so it must not own what belongs to the loop.
  [[nodiscard]] std::function<void(Callback)> poster();
  /// Runs `call` once at the end of the present turn, after all callbacks that are ready now. For batching writes.
  void at_turn_end(Callback call);

  [[nodiscard]] static TimePoint now();
  /// Calls once at `when` (at once when that is past).
  [[nodiscard]] std::unique_ptr<Timer> call_at(TimePoint when, Callback call);

  /// Level-triggered: `on_readable` is called as long as the descriptor is readable (or at its end), `on_writable`
  /// only while want_write(true). Works for sockets, pipes, pidfds, eventfds. Sets O_NONBLOCK on it.
  [[nodiscard]] std::unique_ptr<FdWatch> watch(int fd, Callback on_readable, Callback on_writable = {});

  /// Calls `on_signal` on the loop for each of these signals until the watch is destroyed.
  class SignalWatch {
   public:
    virtual ~SignalWatch() = default;
  };
  [[nodiscard]] std::unique_ptr<SignalWatch> on_signals(std::vector<int> signals, std::function<void(int)> on_signal);

  struct Impl;
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace dc::net

// The thread that keeps a lease: it renews, and does nothing else, so that no step of the journal's thread (a large
// payload, a long log) costs the head its store. It stops renewing when those who serve have not moved for long: a head
// that hangs is to lose its store, however well this thread is. What is decided is decided by LeaseMachine.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "core/boot_clock.hpp"
#include "core/clock.hpp"
#include "core/limits.hpp"
#include "core/result.hpp"
#include "store/lease_machine.hpp"
#include "store/store.hpp"

namespace dc::store {

class LeaseThread {
 public:
  using Renewal = store::Renewal;
  struct Options {
    std::function<Renewal()> renew;                 ///< called on the thread; bounded in time
    BootClock::time_point taken{};                  ///< before the lease was asked for
    Duration silence = Duration::zero();            ///< nothing may be said for so long after that
    Duration every = limits::store_renew_interval;  ///< the others are for tests
    Duration again = limits::store_renew_again;
    Duration stuck_after = limits::store_stuck_after;
  };
  explicit LeaseThread(Options options);
  ~LeaseThread();  ///< waits for a renewal under way
  LeaseThread(const LeaseThread&) = delete;
  LeaseThread& operator=(const LeaseThread&) = delete;

  // From any thread:
  [[nodiscard]] Hold hold() const;
  /// How long nothing may be said yet.
  [[nodiscard]] Duration silence_left() const;
  /// This part of the head moves, and needs not say so again for `longer` more than usual.
  void moved(Part part, Duration longer = Duration::zero());
  /// Of the last renewal; `fenced`: the lease is lost, for good.
  [[nodiscard]] Result<void> state() const;
  /// Why nothing is to be entrusted to the store although it can be renewed; empty: nothing is wrong.
  [[nodiscard]] std::string trouble() const;

 private:
  void run();

  const std::function<Renewal()> renew_;
  mutable std::mutex mutex_;  ///< guards all below; never held during a renewal
  std::condition_variable changed_;
  LeaseMachine machine_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace dc::store

// See lease_thread.hpp. What is decided is decided by LeaseMachine; here are the thread, the clock and the call.
#include "store/lease_thread.hpp"

#include <algorithm>
#include <chrono>

#include "core/log.hpp"

namespace dc::store {
namespace {

/// The machine takes times of any clock; here all are of the one that counts the time of a suspended machine.
TimePoint boot_time(BootClock::time_point time) {
  return TimePoint(std::chrono::duration_cast<Duration>(time.time_since_epoch()));
}
TimePoint boot_now() { return boot_time(BootClock::now()); }

/// Waiting is done in such pieces: a condition variable does not count the time of a suspended machine.
constexpr auto wait_piece = 250ms;

}  // namespace

LeaseThread::LeaseThread(Options options)
    : renew_(std::move(options.renew)),
      machine_({.taken = boot_time(options.taken),
                .silence = options.silence,
                .every = options.every,
                .again = options.again,
                .stuck_after = options.stuck_after},
               boot_now()) {
  thread_ = std::thread([this] { run(); });
}

LeaseThread::~LeaseThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

Hold LeaseThread::hold() const {
  const std::lock_guard lock(mutex_);
  return machine_.hold(boot_now());
}

Duration LeaseThread::silence_left() const {
  const std::lock_guard lock(mutex_);
  return machine_.silence_left(boot_now());
}

void LeaseThread::moved(Part part, Duration longer) {
  const std::lock_guard lock(mutex_);
  machine_.moved(part, boot_now() + longer);
}

Result<void> LeaseThread::state() const {
  const std::lock_guard lock(mutex_);
  return machine_.state();
}

std::string LeaseThread::trouble() const {
  const std::lock_guard lock(mutex_);
  return machine_.trouble();
}

void LeaseThread::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_ && machine_.next_at() != never) {
    if (const TimePoint now = boot_now(); now < machine_.next_at()) {
      changed_.wait_for(lock, std::min<Duration>(machine_.next_at() - now, wait_piece));
      continue;
    }
    const TimePoint asked = boot_now();
    if (machine_.renews(asked)) {
      lock.unlock();
      Renewal renewal = renew_();
      lock.lock();
      machine_.renewed(asked, std::move(renewal), boot_now());
    }
    const std::string warning = machine_.take_warning();
    if (warning.empty()) continue;
    lock.unlock();
    log::error("{}", warning);
    lock.lock();
  }
}

}  // namespace dc::store

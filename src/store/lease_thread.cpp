// See lease_thread.hpp.
#include "store/lease_thread.hpp"

#include <algorithm>
#include <chrono>

#include "core/log.hpp"

namespace dc::store {
namespace {

using Time = BootClock::time_point;

Time at(BootClock::rep count) { return Time(BootClock::duration(count)); }
BootClock::rep count_of(Time time) { return time.time_since_epoch().count(); }

/// Waiting is done in such pieces: a condition variable does not count the time of a suspended machine.
constexpr auto wait_piece = 250ms;

}  // namespace

LeaseThread::LeaseThread(Options options)
    : options_(std::move(options)),
      speaks_from_(options_.taken + options_.silence),
      certain_until_(count_of(options_.taken + limits::store_lease)),
      next_(options_.taken) {
  for (auto& part : moved_) part = count_of(BootClock::now());
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
  if (lost_) return Hold::lost;
  const Time now = BootClock::now();
  return now >= speaks_from_ && now < at(certain_until_) ? Hold::ours : Hold::unsure;
}

Duration LeaseThread::silence_left() const {
  return std::max(Duration::zero(), Duration(speaks_from_ - BootClock::now()));
}

void LeaseThread::moved(Part part, Duration longer) {
  moved_[static_cast<std::size_t>(part)] = count_of(BootClock::now() + longer);
}

Result<void> LeaseThread::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::string LeaseThread::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

bool LeaseThread::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void LeaseThread::run() {
  while (!lost_ && !stopping()) {
    wait(next_);
    if (stopping()) return;
    if (stuck()) {
      if (!std::exchange(told_stuck_, true)) {
        log::error("this head has not moved for {} s: it does not renew its hold on the store any more",
                   std::chrono::duration_cast<std::chrono::seconds>(options_.stuck_after).count());
      }
      next_ = BootClock::now() + options_.again;
      continue;
    }
    told_stuck_ = false;
    renew();
  }
}

void LeaseThread::wait(Time until) {
  std::unique_lock lock(mutex_);
  for (Time now = BootClock::now(); now < until && !stopping_; now = BootClock::now()) {
    changed_.wait_for(lock, std::min<Duration>(until - now, wait_piece));
  }
}

bool LeaseThread::stuck() const {
  const Time now = BootClock::now();
  return std::any_of(moved_.begin(), moved_.end(),
                     [&](const auto& part) { return now - at(part) >= options_.stuck_after; });
}

void LeaseThread::renew() {
  const Time asked = BootClock::now();
  Renewal renewal = options_.renew();
  const bool well = renewal.result.has_value();
  const Duration held = well ? Duration(limits::store_lease) : renewal.held;
  certain_until_ = std::max(certain_until_.load(), count_of(asked + held));
  next_ = well ? asked + options_.every : BootClock::now() + options_.again;
  const bool lost = !well && renewal.result.error().code == ErrorCode::fenced;
  const std::lock_guard lock(mutex_);
  state_ = std::move(renewal.result);
  trouble_ = std::move(renewal.trouble);
  if (well && !trouble_.empty()) state_ = fail(ErrorCode::full, trouble_);
  if (lost) lost_ = true;  // after the reason
}

}  // namespace dc::store

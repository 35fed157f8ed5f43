// See lease_machine.hpp.
#include "store/lease_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/mutation.hpp"

namespace dc::store {

LeaseMachine::LeaseMachine(const Options& options, TimePoint now)
    : options_(options),
      speaks_from_(options.taken + options.silence),
      certain_until_(options.taken + limits::store_lease),
      next_(options.taken) {
  moved_.fill(now);
}

Hold LeaseMachine::hold(TimePoint now) const {
  if (lost_) return Hold::lost;
  return now >= speaks_from_ && now < certain_until_ ? Hold::ours : Hold::unsure;
}

Duration LeaseMachine::silence_left(TimePoint now) const {
  return std::max(Duration::zero(), Duration(speaks_from_ - now));
}

bool LeaseMachine::stuck(TimePoint now) const {
  return std::any_of(moved_.begin(), moved_.end(),
                     [&](TimePoint moved) { return now - moved >= options_.stuck_after; });
}

bool LeaseMachine::renews(TimePoint now) {
  if (!stuck(now)) {
    told_stuck_ = false;
    return true;
  }
  if (!std::exchange(told_stuck_, true)) {
    warning_ = fmt::format("this head has not moved for {} s: it does not renew its hold on the store any more",
                           std::chrono::duration_cast<std::chrono::seconds>(options_.stuck_after).count());
  }
  next_ = now + options_.again;
  return false;
}

/// Others count the lease from when they saw it renewed, which was after it was asked for. So this head counts from
/// there: an answer that comes late must not make it believe longer than they wait.
void LeaseMachine::renewed(TimePoint asked, Renewal&& renewal, TimePoint now) {
  const bool well = renewal.result.has_value();
  const Duration held = well ? Duration(limits::store_lease) : renewal.held;
  certain_until_ = std::max(certain_until_, (mutation::renew_late ? now : asked) + held);
  next_ = well ? asked + options_.every : now + options_.again;
  lost_ = !well && renewal.result.error().code == ErrorCode::fenced;
  state_ = std::move(renewal.result);
  trouble_ = std::move(renewal.trouble);
  if (well && !trouble_.empty()) state_ = fail(ErrorCode::full, trouble_);
}

}  // namespace dc::store

// See stop_machine.hpp.
#include "node/stop_machine.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include "core/limits.hpp"

namespace dc::node {

StopMachine::Step StopMachine::signalled(int signal, TimePoint now) {
  stopping_ = true;
  const bool after_hang_up = std::exchange(hang_up_until_, never) != never;
  const Step step = signal == SIGTERM ? Step::leave_in_order : Step::leave;
  if (!asked_at_) {
    asked_at_ = now;
    if (signal != SIGHUP) return step;
  } else if (now - *asked_at_ >= limits::signals_are_one) {
    return Step::end_at_once;
  } else if (signal == SIGINT || (after_hang_up && signal == SIGTERM)) {
    return step;
  } else if (!after_hang_up) {
    return Step::nothing;
  }
  hang_up_until_ = now + limits::signals_meet_within;
  return Step::nothing;
}

void StopMachine::head_is_gone(bool for_good, TimePoint now) {
  if (for_good && head_timeout_) head_gone_until_ = now + *head_timeout_;
}

StopMachine::Step StopMachine::look(TimePoint now) {
  if (now >= hang_up_until_) {
    hang_up_until_ = never;
    return Step::leave;
  }
  if (now < head_gone_until_) return Step::nothing;
  head_gone_until_ = never;
  return std::exchange(stopping_, true) ? Step::nothing : Step::leave_with_head;
}

TimePoint StopMachine::next_deadline() const { return std::min(hang_up_until_, head_gone_until_); }

}  // namespace dc::node

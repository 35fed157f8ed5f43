// See leaving_machine.hpp.
#include "client/leaving_machine.hpp"

#include <algorithm>
#include <utility>

#include "core/mutation.hpp"

namespace dc::client {

bool LeavingMachine::leave() {
  if (state_ != State::stays) return false;
  state_ = State::leaves;
  return leaving_ = true;
}

LeavingMachine::Close LeavingMachine::close(Duration patience, TimePoint now) {
  if (state_ > State::leaves) return Close::nothing;
  state_ = State::closes;
  closing_ = true;
  deadline_ = now + patience;
  return leaving_ ? Close::abandon : Close::pool;
}

LeavingMachine::Step LeavingMachine::look(const Seen& seen, TimePoint now) {
  switch (state_) {
    case State::stays:
    case State::has_ended:
      return Step::wait;
    case State::leaves:
      if (seen.over || mutation::leave_without_waiting) return say_goodbye(now);
      follow(seen, now);
      return now < deadline_ ? Step::wait : Step::abandon;
    case State::closes:
      // Without a session nobody can answer; the head closes the pool when this client has not come back for a while.
      return seen.over || !seen.session || now >= deadline_ ? say_goodbye(now) : Step::wait;
    case State::says_goodbye:
      if (now < deadline_) return Step::wait;
      state_ = State::has_ended;
      deadline_ = never;
      return Step::end;
  }
  return Step::wait;
}

/// Whatever the head takes gives it more time, and so does its coming back.
void LeavingMachine::follow(const Seen& seen, TimePoint now) {
  if (stuck_since_ == never || seen.unsettled < unsettled_) stuck_since_ = now;
  unsettled_ = seen.unsettled;
  away_since_ = seen.session ? never : std::min(away_since_, now);
  deadline_ = stuck_since_ + waits_.progress;
  if (away_since_ != never) deadline_ = std::min(deadline_, away_since_ + waits_.away);
}

LeavingMachine::Step LeavingMachine::say_goodbye(TimePoint now) {
  state_ = State::says_goodbye;
  deadline_ = now + waits_.goodbye;
  return Step::say_goodbye;
}

}  // namespace dc::client

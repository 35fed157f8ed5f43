// See headship_machine.hpp.
#include "head/headship_machine.hpp"

#include <utility>

#include "core/limits.hpp"
#include "core/mutation.hpp"

namespace dc::head {

bool HeadshipMachine::look(store::Hold hold, TimePoint now, HeadshipEffects& out) {
  const bool speaks = hold == store::Hold::ours || (mutation::speak_unsure && hold == store::Hold::unsure);
  if (!speaks) {
    if (!over_) hold_back(hold, out);
    return false;
  }
  if (holding_) go_on(now, out);
  if (now >= tell_lost_at_) {
    tell_lost_at_ = never;
    for (const SessionId session : std::exchange(lost_, {})) out.emplace_back(LoseSession{session});
  }
  return true;
}

void HeadshipMachine::hold_back(store::Hold hold, HeadshipEffects& out) {
  if (hold == store::Hold::lost) {
    over_ = true;
    out.emplace_back(StepDown{});
    return;
  }
  lost_.insert(lost_.end(), sessions_.begin(), sessions_.end());
  sessions_.clear();
  tell_lost_at_ = never;
  out.emplace_back(BreakOff{!std::exchange(holding_, true)});
}

/// Peers need a moment to come back, and nobody is to lose jobs because of us.
void HeadshipMachine::go_on(TimePoint now, HeadshipEffects& out) {
  holding_ = false;
  tell_lost_at_ = now + limits::recovery_hold;
  out.emplace_back(GoOn{tell_lost_at_});
}

void HeadshipMachine::session_opened(SessionId session, std::uint64_t peer_term, HeadshipEffects& out) {
  sessions_.insert(session);
  if (term_ != 0 && peer_term > term_) out.emplace_back(RaiseTerm{peer_term});
}

void HeadshipMachine::session_closed(SessionId session, store::Hold hold, TimePoint now, HeadshipEffects& out) {
  if (sessions_.erase(session) == 0) return;
  if (look(hold, now, out)) {
    out.emplace_back(LoseSession{session});
  } else {
    lost_.push_back(session);
  }
}

}  // namespace dc::head

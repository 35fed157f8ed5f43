// Whether this process is the head now: what it does when it cannot be certain of its store, when it can again, and
// when another head has taken that. A pure decision: what the store says comes in, with its time, and what is to be
// done goes out.
//
// A head that is not certain has no sessions: its peers look for another one, and what is under way to it is not lost,
// for they say it again. So nothing needs to be kept or undone until the store has told.
#pragma once

#include <cstdint>
#include <set>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "store/store.hpp"

namespace dc::head {

/// All connections end now, those too that are not sessions yet. What was decided and not said waits.
struct BreakOff {
  bool begins = false;  ///< it was certain until now
};
/// It is the head again: what the journal told meanwhile counts, and what was decided is said.
struct GoOn {
  TimePoint look_at{};  ///< look() is to be asked then, whatever else happens
};
/// The machine of the head hears that this session has ended.
struct LoseSession {
  SessionId session;
};
/// A peer knows a higher term than this head's.
struct RaiseTerm {
  std::uint64_t above{};
};
/// Another head has the store: whatever this one would say now is no longer true. It is over.
struct StepDown {};
using HeadshipEffect = std::variant<BreakOff, GoOn, LoseSession, RaiseTerm, StepDown>;
using HeadshipEffects = std::vector<HeadshipEffect>;

class HeadshipMachine {
 public:
  /// `term`: see store::Store; 0: no other head can take the store while this process runs.
  explicit HeadshipMachine(std::uint64_t term) : term_(term) {}

  /// Asked before anything is heard, decided or said, and every limits::store_hold_look_interval. False: not a word.
  [[nodiscard]] bool look(store::Hold hold, TimePoint now, HeadshipEffects& out);
  /// After look() said that this is the head.
  void session_opened(SessionId session, std::uint64_t peer_term, HeadshipEffects& out);
  void session_closed(SessionId session, store::Hold hold, TimePoint now, HeadshipEffects& out);
  /// Whether what comes in this session is to be heard: it was not broken off.
  [[nodiscard]] bool has(SessionId session) const { return sessions_.contains(session); }
  /// What the store has raised the term to.
  void term_raised(std::uint64_t term) { term_ = term; }
  /// It ends in order, or has to: nothing is broken off any more. False: that was so already.
  bool end() { return !std::exchange(over_, true); }

  [[nodiscard]] std::uint64_t term() const { return term_; }
  [[nodiscard]] bool over() const { return over_; }

 private:
  void hold_back(store::Hold hold, HeadshipEffects& out);
  void go_on(TimePoint now, HeadshipEffects& out);

  std::uint64_t term_;
  std::set<SessionId> sessions_;
  std::vector<SessionId> lost_;  ///< broken off; the machine of the head has not heard of it
  TimePoint tell_lost_at_ = never;
  bool holding_ = false;  ///< not certain to be the head
  bool over_ = false;
};

}  // namespace dc::head

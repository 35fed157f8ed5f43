// When a client ends that leaves its named pool, or closes its pool: decisions only.
//
//   stays         nobody has asked for the end
//   leaves        until the head has accepted or refused all that was submitted, and has said that the pool is left
//   closes        until the head has said that the pool is closed; its user says for how long at most
//   says goodbye  the socket has a moment to take what is queued
//   has ended
//
// Who leaves does not wait for ever: neither for a head that is away, nor for one that comes and goes, or is there, and
// takes nothing.
#pragma once

#include <cstdint>

#include "core/clock.hpp"
#include "core/limits.hpp"

namespace dc::client {

class LeavingMachine {
 public:
  /// How long it waits at most.
  struct Waits {
    Duration away = limits::leave_patience;               ///< for a head that cannot be reached
    Duration progress = limits::leave_progress_patience;  ///< for one that takes nothing
    Duration goodbye = 300ms;                             ///< for the socket to take what is queued
  };
  /// What is known of the pool when it is asked.
  struct Seen {
    bool session = false;
    bool over = false;            ///< it is over here, and no answer of the head is awaited for that
    std::uint64_t unsettled = 0;  ///< jobs and updates that the head has neither accepted nor refused
  };
  /// What is to be done now.
  enum class Step {
    wait,
    abandon,      ///< the pool, without an answer of the head; then it is asked again
    say_goodbye,  ///< and be gone as soon as that is on its way
    end,
  };
  /// What closing means for the pool.
  enum class Close {
    nothing,  ///< it is being closed
    pool,     ///< the head is asked to close it
    abandon,  ///< who was leaving does not wait any more
  };

  LeavingMachine() = default;
  explicit LeavingMachine(Waits waits) : waits_(waits) {}

  /// True: it begins to leave.
  bool leave();
  /// `patience`: so long the head's answer is awaited.
  Close close(Duration patience, TimePoint now);

  /// To be asked after every turn, and at next_deadline().
  Step look(const Seen& seen, TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const { return deadline_; }

  [[nodiscard]] bool leaving() const { return leaving_; }
  [[nodiscard]] bool closing() const { return closing_; }
  /// Nothing of the pool is waited for any more.
  [[nodiscard]] bool going() const { return state_ >= State::says_goodbye; }
  /// What the head is told.
  [[nodiscard]] const char* goodbye() const {
    return leaving_ ? "the client left its pool" : "the client closed its pool";
  }

 private:
  enum class State { stays, leaves, closes, says_goodbye, has_ended };
  void follow(const Seen& seen, TimePoint now);
  Step say_goodbye(TimePoint now);

  Waits waits_;
  State state_ = State::stays;
  bool leaving_ = false, closing_ = false;
  TimePoint deadline_ = never;
  // While it leaves: since when there is no session, since when the head has taken nothing, and what was left then.
  TimePoint away_since_ = never, stuck_since_ = never;
  std::uint64_t unsettled_ = 0;
};

}  // namespace dc::client

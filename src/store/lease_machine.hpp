// What the holder of a lease may believe, and when it asks for it again: the decisions of LeaseThread, without its
// thread, its clock and the store. All times are of one clock, whichever that is.
#pragma once

#include <array>
#include <string>
#include <utility>

#include "core/clock.hpp"
#include "core/limits.hpp"
#include "core/result.hpp"
#include "store/store.hpp"

namespace dc::store {

/// What came of a renewal.
struct Renewal {
  Result<void> result = boost::outcome_v2::success();  ///< `fenced`: the lease is another's
  /// Of one that failed: the store has said that it is still this head's, so for this long no other head acts.
  Duration held = Duration::zero();
  std::string trouble = {};  ///< of one that went well: what is wrong with the store nevertheless
};

class LeaseMachine {
 public:
  struct Options {
    TimePoint taken{};                              ///< before the lease was asked for
    Duration silence = Duration::zero();            ///< nothing may be said for so long after that
    Duration every = limits::store_renew_interval;  ///< the others are for tests
    Duration again = limits::store_renew_again;
    Duration stuck_after = limits::store_stuck_after;
  };
  LeaseMachine(const Options& options, TimePoint now);

  [[nodiscard]] Hold hold(TimePoint now) const;
  /// How long nothing may be said yet.
  [[nodiscard]] Duration silence_left(TimePoint now) const;
  /// This part of the head has moved, or is known to do so, until then.
  void moved(Part part, TimePoint until) { moved_[static_cast<std::size_t>(part)] = until; }

  /// When to look whether it is to be renewed; never: it is lost.
  [[nodiscard]] TimePoint next_at() const { return lost_ ? never : next_; }
  /// To be asked then. False: not now, since a part of the head has not moved for too long.
  bool renews(TimePoint now);
  /// The answer to a renewal that was sent at `asked`.
  void renewed(TimePoint asked, Renewal&& renewal, TimePoint now);

  /// Of the last renewal; `fenced`: the lease is lost, for good.
  [[nodiscard]] const Result<void>& state() const { return state_; }
  /// Why nothing is to be entrusted to the store although it can be renewed; empty: nothing is wrong.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  /// What the log of this head should say; empty: nothing.
  std::string take_warning() { return std::exchange(warning_, {}); }

 private:
  [[nodiscard]] bool stuck(TimePoint now) const;

  const Options options_;
  const TimePoint speaks_from_;
  TimePoint certain_until_, next_;
  std::array<TimePoint, 2> moved_;  ///< when each part has
  Result<void> state_ = boost::outcome_v2::success();
  std::string trouble_, warning_;
  bool lost_ = false, told_stuck_ = false;
};

}  // namespace dc::store

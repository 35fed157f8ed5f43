// For what the user's threads wait, and since when. Calls that ask again and again (to look for signals, or whether
// there are more workers to feed) are one wait.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "core/clock.hpp"
#include "core/limits.hpp"

namespace dc::client {

enum class WaitFor : std::uint8_t {
  opening,      ///< of the pool
  results,      ///< of jobs
  workers,      ///< as many as were asked for
  update_sent,  ///< the head has it
  updates,      ///< all workers have applied one
  leaving,      ///< of a named pool
};
inline constexpr std::size_t wait_kinds = 6;

/// How long the user means to wait.
enum class Patience : std::uint8_t {
  none,     ///< nobody waits for what is asked
  limited,  ///< the user has a limit of his own
  perhaps,  ///< somebody may wait without a limit: who waits for a std::future cannot be seen
  forever,
};

inline Patience patience_of(Duration timeout) {
  return timeout > std::chrono::hours(24 * 365) ? Patience::forever : Patience::limited;
}

struct UserWait {
  TimePoint since = never;  ///< never: nobody waits
  Patience patience{};      ///< the largest of those who do
  bool operator==(const UserWait&) const = default;
};
using UserWaits = std::array<UserWait, wait_kinds>;

/// The waits of one pool. All members are for any thread; they are called only by who would block.
class WaitBook {
 public:
  /// A thread begins to wait. True: it is time to look at the book now and then.
  bool begin(WaitFor what, Patience patience, TimePoint now) {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[static_cast<std::size_t>(what)];
    const bool goes_on = entry.threads > 0 || now - entry.ended_at <= limits::waits_are_one;
    if (entry.since == never || !goes_on) entry.since = now, entry.patience = Patience::none;
    entry.patience = std::max(entry.patience, patience);
    ++entry.threads;
    return !std::exchange(looked_at_, true);
  }
  /// `got`: it has what it waited for.
  void end(WaitFor what, bool got, TimePoint now) {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[static_cast<std::size_t>(what)];
    entry.ended_at = now;
    if (--entry.threads > 0 && got) entry.since = now;
    if (entry.threads == 0 && got) entry.since = never;
  }
  /// Who waits now; when nobody does the next begin() says that it is time to look again.
  UserWaits look(TimePoint now) {
    const std::lock_guard lock(mutex_);
    UserWaits waits;
    looked_at_ = false;
    for (std::size_t i = 0; i < wait_kinds; ++i) {
      Entry& entry = entries_[i];
      if (entry.threads == 0 && now - entry.ended_at > limits::waits_are_one) entry.since = never;
      if (entry.since == never) continue;
      waits[i] = {entry.since, entry.patience};
      looked_at_ = true;
    }
    return waits;
  }
  [[nodiscard]] bool looked_at() {
    const std::lock_guard lock(mutex_);
    return looked_at_;
  }

 private:
  struct Entry {
    std::size_t threads = 0;
    TimePoint since = never, ended_at{};
    Patience patience{};
  };
  std::mutex mutex_;
  std::array<Entry, wait_kinds> entries_;
  bool looked_at_ = false;
};

}  // namespace dc::client

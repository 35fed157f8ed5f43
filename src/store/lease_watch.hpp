// What a standby makes of the lease of another head, look by look. A pure decision: no clock but its caller's own.
#pragma once

#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/limits.hpp"

namespace dc::store {

class LeaseWatch {
 public:
  enum class Verdict {
    watching,  ///< nobody has renewed it since the first look, or since a gap; not for long enough
    renewed,   ///< since the look before: its holder lives
    quiet,     ///< nobody has renewed it for limits::store_lease: it may be taken
  };

  /// `lease` stands there now; `asked` and `now` are the times before the question and after the answer.
  Verdict look(std::string_view lease, TimePoint asked, TimePoint now);
  /// When it may be taken if nobody renews it.
  [[nodiscard]] TimePoint quiet_at() const { return since_ + limits::store_lease; }

 private:
  std::string seen_;
  bool looked_ = false;
  TimePoint since_{}, last_{};
};

}  // namespace dc::store

// See lease_watch.hpp.
#include "store/lease_watch.hpp"

#include "core/mutation.hpp"

namespace dc::store {
namespace {

constexpr Duration quiet_after = mutation::take_early ? limits::store_lease / 2 : limits::store_lease;

}  // namespace

LeaseWatch::Verdict LeaseWatch::look(std::string_view lease, TimePoint asked, TimePoint now) {
  const bool anew = !looked_ || asked - last_ > limits::standby_gap_max;
  const bool changed = looked_ && lease != seen_;
  if (anew || changed) {
    seen_ = lease;
    since_ = now;
  }
  looked_ = true;
  last_ = now;
  if (changed) return Verdict::renewed;
  // What was written just before the answer was seen no later than that, and this answer is no older than `asked`.
  return asked - since_ >= quiet_after ? Verdict::quiet : Verdict::watching;
}

}  // namespace dc::store

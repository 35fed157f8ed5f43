// Weighted max-min sharing of slots that not every pool can use, as a pure function.
#pragma once

#include <cstdint>
#include <vector>

namespace dc::scheduler {

struct Demand {
  double weight = 1.0;      ///< above 0
  std::uint32_t slots = 0;  ///< how many the pool could use now
  std::uint32_t step = 1;   ///< so many make up one worker: the share is a multiple of it
  bool operator==(const Demand&) const = default;
};

/// Slots that are alike: the same pools can use each of them.
struct SlotGroup {
  std::vector<bool> users;  ///< by demand: it can use these slots
  std::uint32_t slots = 0;
};

/// Shares slots between pools: one worker's slots at a time to the pool with the smallest (share + step) / weight that
/// still wants them and for which there are any, where need be by moving what others were given to slots that they can
/// use as well; ties go to the earlier pool. Nobody gets more than it asked for, and all shares can be had at once.
/// Unit by unit along augmenting paths, which is optimal because the sets of slots that can be served form a matroid
/// (a transversal one; Edmonds and Fulkerson 1965). Cost: O(slots log pools) while groups have room, and
/// O(pools * groups) for each time that something must move or a pool has its last slot.
std::vector<std::uint32_t> fair_share(const std::vector<SlotGroup>& groups, const std::vector<Demand>& demands);

/// The same where every pool can use every slot.
std::vector<std::uint32_t> fair_share(std::uint32_t slots, const std::vector<Demand>& demands);

}  // namespace dc::scheduler

// Weighted max-min sharing of slots, as a pure function.
#pragma once

#include <cstdint>
#include <vector>

namespace dc::scheduler {

struct Demand {
  double weight = 1.0;      ///< above 0
  std::uint32_t slots = 0;  ///< how many the pool could use now
  bool operator==(const Demand&) const = default;
};

/// Shares `slots` between pools: one at a time to the pool with the smallest (share + 1) / weight that still wants one;
/// ties go to the earlier pool. Nobody gets more than it asked for. Cost: O(slots log pools).
std::vector<std::uint32_t> fair_share(std::uint32_t slots, const std::vector<Demand>& demands);

}  // namespace dc::scheduler

// Weighted max-min sharing of slots, as a pure function.
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

/// Shares `slots` between pools: one worker's slots at a time to the pool with the smallest (share + step) / weight
/// that still wants them; ties go to the earlier pool. Nobody gets more than it asked for. Cost: O(slots log pools).
std::vector<std::uint32_t> fair_share(std::uint32_t slots, const std::vector<Demand>& demands);

}  // namespace dc::scheduler

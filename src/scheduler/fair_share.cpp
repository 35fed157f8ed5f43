// See fair_share.hpp.
#include "scheduler/fair_share.hpp"

#include <cstddef>
#include <functional>
#include <queue>
#include <utility>

namespace dc::scheduler {

std::vector<std::uint32_t> fair_share(std::uint32_t slots, const std::vector<Demand>& demands) {
  std::vector<std::uint32_t> shares(demands.size(), 0);
  using Entry = std::pair<double, std::size_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> next;
  for (std::size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].slots > 0) next.emplace(1.0 / demands[i].weight, i);
  }
  for (; slots > 0 && !next.empty(); --slots) {
    const std::size_t i = next.top().second;
    next.pop();
    if (++shares[i] < demands[i].slots) next.emplace((shares[i] + 1.0) / demands[i].weight, i);
  }
  return shares;
}

}  // namespace dc::scheduler

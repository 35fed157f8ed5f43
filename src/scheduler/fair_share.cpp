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
  const auto step = [&](std::size_t i) { return demands[i].step; };
  for (std::size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].slots >= step(i)) next.emplace(step(i) / demands[i].weight, i);
  }
  while (slots > 0 && !next.empty()) {
    const std::size_t i = next.top().second;
    next.pop();
    if (step(i) > slots) continue;  // what is left goes to those that need less at once
    slots -= step(i);
    shares[i] += step(i);
    if (shares[i] + step(i) <= demands[i].slots)
      next.emplace((static_cast<double>(shares[i]) + step(i)) / demands[i].weight, i);
  }
  return shares;
}

}  // namespace dc::scheduler

// See fair_share.hpp.
#include "scheduler/fair_share.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

namespace dc::scheduler {
namespace {

constexpr std::size_t nobody = std::numeric_limits<std::size_t>::max();

/// Which slots were given to whom.
class Gift {
 public:
  Gift(const std::vector<SlotGroup>& groups, std::size_t demands) : groups_(groups), demands_(demands) {
    for (const SlotGroup& group : groups) {
      free_.push_back(group.slots);
      given_.emplace_back(demands, 0);
    }
  }

  /// One slot more for this demand; false: there is none, and never will be.
  bool one_more(std::size_t demand) {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (free_[g] == 0 || !groups_[g].users[demand]) continue;
      --free_[g];
      ++given_[g][demand];
      return true;
    }
    return move_others(demand);
  }

  void take_back(std::size_t demand, std::uint32_t slots) {
    for (std::size_t g = 0; slots > 0; ++g) {
      const std::uint32_t here = std::min(slots, given_[g][demand]);
      given_[g][demand] -= here;
      free_[g] += here;
      slots -= here;
    }
  }

 private:
  /// Breadth first: groups that the demand can use are full, so their users look for another group each.
  bool move_others(std::size_t demand) {
    std::vector<std::size_t> reached_by(groups_.size(), nobody);  // group: the demand that looked there
    std::vector<std::size_t> gives_up(demands_, nobody);          // demand: where it would
    std::vector<std::size_t> looking{demand};
    for (std::size_t next = 0; next < looking.size(); ++next) {
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        if (reached_by[g] != nobody || !groups_[g].users[looking[next]]) continue;
        reached_by[g] = looking[next];
        if (free_[g] > 0) {
          take(g, demand, reached_by, gives_up);
          return true;
        }
        for (std::size_t d = 0; d < demands_; ++d) {
          if (d == demand || gives_up[d] != nobody || given_[g][d] == 0) continue;
          gives_up[d] = g;
          looking.push_back(d);
        }
      }
    }
    return false;
  }

  /// Along the path that ends in the group with room.
  void take(std::size_t group, std::size_t demand, const std::vector<std::size_t>& reached_by,
            const std::vector<std::size_t>& gives_up) {
    --free_[group];
    for (;;) {
      const std::size_t taker = reached_by[group];
      ++given_[group][taker];
      if (taker == demand) return;
      group = gives_up[taker];
      --given_[group][taker];
    }
  }

  const std::vector<SlotGroup>& groups_;
  const std::size_t demands_;
  std::vector<std::uint32_t> free_;                ///< by group
  std::vector<std::vector<std::uint32_t>> given_;  ///< by group and demand
};

}  // namespace

std::vector<std::uint32_t> fair_share(const std::vector<SlotGroup>& groups, const std::vector<Demand>& demands) {
  std::vector<std::uint32_t> shares(demands.size(), 0);
  std::uint32_t left = 0;
  for (const SlotGroup& group : groups) left += group.slots;
  Gift gift(groups, demands.size());
  using Entry = std::pair<double, std::size_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> next;
  const auto step = [&](std::size_t i) { return demands[i].step; };
  for (std::size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].slots >= step(i)) next.emplace(step(i) / demands[i].weight, i);
  }
  while (left > 0 && !next.empty()) {
    const std::size_t i = next.top().second;
    next.pop();
    if (step(i) > left) continue;  // what is left goes to those that need less at once
    std::uint32_t had = 0;
    while (had < step(i) && gift.one_more(i)) ++had;
    if (had < step(i)) {
      gift.take_back(i, had);
      continue;
    }
    left -= step(i);
    shares[i] += step(i);
    if (shares[i] + step(i) <= demands[i].slots)
      next.emplace((static_cast<double>(shares[i]) + step(i)) / demands[i].weight, i);
  }
  return shares;
}

std::vector<std::uint32_t> fair_share(std::uint32_t slots, const std::vector<Demand>& demands) {
  return fair_share({SlotGroup{std::vector<bool>(demands.size(), true), slots}}, demands);
}

}  // namespace dc::scheduler

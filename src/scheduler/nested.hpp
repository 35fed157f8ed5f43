// Pools whose clients run in jobs: when none of them can go on, because all slots that could serve them are held by
// jobs that wait for such pools themselves. A pure look at what is there.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "scheduler/state.hpp"

namespace dc::scheduler {

/// Of the pools that `waiting` lists those that nothing but their own end, or another node, can bring any further.
/// `nodes`: all that there are.
std::set<Pool*> stuck_pools(std::vector<Pool*> waiting, const std::map<NodeId, std::unique_ptr<Node>>& nodes,
                            const std::unordered_map<WorkerId, Worker*>& workers);

}  // namespace dc::scheduler

// See result_flow.hpp.
#include "head/result_flow.hpp"

#include <algorithm>
#include <bit>

namespace dc::head {

void ResultFlow::add(PoolId id, NodeId node, bool kept, Says& out) {
  Pool& pool = pools_[id];
  pool.room = kept ? limits_.kept : limits_.direct;
  if (pool.nodes.try_emplace(node).second) pools_of_[node].push_back(id);
  const std::uint64_t before = pool.window;
  share(id, pool, out);
  if (pool.window == before) out.push_back({node, id, pool.window, {}});
}

/// The window of each node; all are told when it has changed.
void ResultFlow::share(PoolId id, Pool& pool, Says& out) const {
  const std::uint64_t nodes = std::bit_ceil(std::max<std::uint64_t>(pool.nodes.size(), 1));
  const std::uint64_t step = std::max<std::uint64_t>(pool.room.window / 8, 1);  // not told anew with every result
  const std::uint64_t taken = std::min((pool.stranded + step - 1) / step * step, pool.room.window);
  const std::uint64_t window = std::max((pool.room.window - taken) / nodes, limits_.window_min);
  if (std::exchange(pool.window, window) == window) return;
  for (const auto& [node, waiting] : pool.nodes) out.push_back({node, id, window, {}});
}

void ResultFlow::strand(PoolId id, std::uint64_t bytes, Says& out) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  found->second.stranded = bytes;
  share(id, found->second, out);
  give_turns(id, found->second, out);
}

void ResultFlow::drop_turns(Pool& pool, NodeId node) {
  turns_ -= pool.nodes.at(node).size();
  std::erase_if(pool.out, [&](const Turn& turn) {
    if (turn.node != node) return false;
    pool.out_bytes -= turn.bytes;
    --turns_;
    return true;
  });
}

void ResultFlow::remove(PoolId id, NodeId node, Says& out) {
  const auto found = pools_.find(id);
  if (found == pools_.end() || !found->second.nodes.contains(node)) return;
  Pool& pool = found->second;
  drop_turns(pool, node);
  pool.nodes.erase(node);
  std::erase(pools_of_[node], id);
  share(id, pool, out);
  give_turns(id, pool, out);
}

void ResultFlow::remove(NodeId node, Says& out) {
  const auto pools = pools_of_.find(node);
  if (pools == pools_of_.end()) return;
  for (const PoolId pool : std::vector<PoolId>(pools->second)) remove(pool, node, out);
  pools_of_.erase(node);
}

void ResultFlow::close(PoolId id) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  for (const auto& [node, waiting] : found->second.nodes) {
    turns_ -= waiting.size();
    std::erase(pools_of_[node], id);
  }
  turns_ -= found->second.out.size();
  pools_.erase(found);
}

void ResultFlow::ask(PoolId id, NodeId node, const Attempt& attempt, std::uint64_t bytes, Says& out) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  const auto waiting = found->second.nodes.find(node);
  if (waiting == found->second.nodes.end()) return;
  const auto same = [&](const Turn& turn) { return turn.node == node && turn.attempt == attempt; };
  const auto& given = found->second.out;
  if (std::any_of(waiting->second.begin(), waiting->second.end(), same) ||
      std::any_of(given.begin(), given.end(), same))
    return;
  waiting->second.push_back({node, attempt, bytes});
  ++turns_;
  give_turns(id, found->second, out);
}

/// Node after node, each one at a time.
void ResultFlow::give_turns(PoolId id, Pool& pool, Says& out) const {
  constexpr std::size_t turns_min = 2;
  const auto has_one = [](const auto& node) { return !node.second.empty(); };
  while (true) {
    auto next = std::find_if(pool.nodes.upper_bound(pool.last), pool.nodes.end(), has_one);
    if (next == pool.nodes.end()) next = std::find_if(pool.nodes.begin(), pool.nodes.end(), has_one);
    if (next == pool.nodes.end()) return;
    const Turn& turn = next->second.front();
    const bool may_be_larger = pool.out.size() < turns_min && pool.stranded == 0;
    if (!may_be_larger && pool.out_bytes + turn.bytes + pool.stranded > pool.room.turns) return;
    pool.last = turn.node;
    pool.out_bytes += turn.bytes;
    out.push_back({turn.node, id, pool.window, turn.attempt});
    pool.out.push_back(turn);
    next->second.pop_front();
  }
}

void ResultFlow::give_back(PoolId id, NodeId node, const Attempt& attempt, Says& out) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  Pool& pool = found->second;
  const auto is_it = [&](const Turn& turn) { return turn.node == node && turn.attempt == attempt; };
  if (const auto waiting = pool.nodes.find(node); waiting != pool.nodes.end())
    turns_ -= std::erase_if(waiting->second, is_it);
  const auto given = std::find_if(pool.out.begin(), pool.out.end(), is_it);
  if (given == pool.out.end()) return;
  pool.out_bytes -= given->bytes;
  pool.out.erase(given);
  --turns_;
  give_turns(id, pool, out);
}

}  // namespace dc::head

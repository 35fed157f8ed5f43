// Finding things, and remembering what flush() has to look at.
#include <algorithm>

#include "core/check.hpp"
#include "scheduler/state.hpp"

namespace dc::scheduler {

Node* Scheduler::State::find_node(NodeId id) {
  const auto found = nodes.find(id);
  return found == nodes.end() ? nullptr : found->second.get();
}

Pool* Scheduler::State::find_pool(PoolId id) {
  const auto found = pools.find(id);
  return found == pools.end() ? nullptr : found->second.get();
}

Worker* Scheduler::State::find_worker(WorkerId id) {
  const auto found = workers.find(id);
  return found == workers.end() ? nullptr : found->second;
}

Job* Scheduler::State::find_job(Pool& pool, JobSequence sequence) {
  const auto found = pool.jobs.find(sequence);
  return found == pool.jobs.end() ? nullptr : &found->second;
}

Slot* Scheduler::State::find_slot(Node& node, std::uint32_t number) {
  const auto found =
      std::find_if(node.slots.begin(), node.slots.end(), [&](const auto& slot) { return slot->info.slot == number; });
  return found == node.slots.end() ? nullptr : found->get();
}

void Scheduler::State::touch(Pool& pool) {
  if (pool.dirty) return;
  pool.dirty = true;
  dirty.push_back(pool.id);
}

void Scheduler::State::note_change(Pool& pool) {
  if (pool.changed) return;
  pool.changed = true;
  changed.push_back(pool.id);
}

void Scheduler::State::note_change_everywhere() {
  for (auto& [id, pool] : pools) note_change(*pool);
}

void Scheduler::State::thaw(TimePoint now) {
  const Duration gap = now - last_call;
  const bool overslept =
      last_call != TimePoint{} && gap > limits::own_freeze_gap && wake < now - limits::own_freeze_gap / 2;
  // The hold is for nodes to be heard: even a short freeze, known by a deadline that is noticed late, is given back.
  constexpr Duration late = 100ms;
  if (last_call != TimePoint{} && wake < now - late && hold_until() > last_call) heard_at += gap;
  last_call = now;
  if (!overslept) return;
  // Nobody could reach us while we were frozen: no deadline of others may have passed because of it.
  const auto move = [&](TimePoint& when) {
    if (when != never) when += gap;
  };
  for (auto& [id, node] : nodes) {
    move(node->lost_at);
    for (auto& [pool, has] : node->pools) move(has.forget_at);
  }
  for (auto& [id, pool] : pools) {
    move(pool->no_device_at);
    if (pool->opener) move(pool->opener->stuck_since);
  }
}

/// A node came that has something of earlier pools: others of its kind may need longer.
void Scheduler::State::node_was_heard(TimePoint now) {
  hold_over |= now >= hold_until();
  if (!hold_over) heard_at = now;
}

}  // namespace dc::scheduler

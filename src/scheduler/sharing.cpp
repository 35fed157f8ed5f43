// Which pool has which slot: weighted max-min over what each pool could use; slots change hands between jobs.
#include <algorithm>

#include "scheduler/fair_share.hpp"
#include "scheduler/state.hpp"

namespace dc::scheduler {

bool Scheduler::State::eligible(const Pool& pool, const Slot& slot) {
  return slot.info.gpu_memory_mib >= pool.options.min_gpu_memory_mib;
}

/// A worker of the pool could live here: no failed constructor forbids it at this time.
bool Scheduler::State::suits(const Pool& pool, const Slot& slot, TimePoint now) {
  if (!eligible(pool, slot)) return false;
  const auto failure = slot.failures.find(pool.id);
  return failure == slot.failures.end() || (!failure->second.set_aside && failure->second.retry_at <= now);
}

/// The pool may start a worker here now.
bool Scheduler::State::available(const Pool& pool, const Slot& slot, TimePoint now) {
  return !slot.worker && slot.node->connected && !slot.node->leaving && suits(pool, slot, now);
}

/// How many slots the pool could use now. Workers that were busy a moment ago count, so that a short pause costs
/// nothing; they take the queued jobs, so that a job now and then does not ask for one slot more each time.
std::uint32_t Scheduler::State::demand(const Pool& pool, TimePoint now) const {
  if (pool.resuming || now < pool.hold_until) return static_cast<std::uint32_t>(pool.workers.size());
  std::uint64_t busy = 0, rested = 0;
  for (const Worker* worker : pool.workers) {
    if (worker->leaving || worker->stopping || !worker->ready) continue;
    if (!worker->held.empty()) {
      ++busy;
    } else if (now - worker->idle_since < limits::lend_after) {
      ++rested;
    }
  }
  const std::uint64_t wanted =
      std::max<std::uint64_t>({busy + std::max(pool.queued, rested), pool.wanted, pool.options.min_workers});
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, 1U << 20));
}

namespace {

/// Idle workers first, then those that are being constructed, then busy ones.
int reluctance(const Worker& worker) { return worker.ready && worker.held.empty() ? 0 : worker.ready ? 2 : 1; }

/// Slots that can be given out now: their nodes are here and stay, and no unknown pool's worker sits on them.
std::vector<Slot*> slots_to_share(const std::map<NodeId, std::unique_ptr<Node>>& nodes) {
  std::vector<Slot*> slots;
  for (const auto& [id, node] : nodes) {
    if (!node->connected || node->leaving) continue;
    for (const auto& slot : node->slots) {
      if (!slot->worker || slot->worker->pool) slots.push_back(slot.get());
    }
  }
  return slots;
}

}  // namespace

/// How many slots each pool has and should have.
std::vector<Scheduler::State::Part> Scheduler::State::parts_of(const std::vector<Slot*>& slots, TimePoint now) {
  std::vector<Part> parts;
  std::vector<Demand> demands;
  for (auto& [id, pool] : pools) {
    if (pool->resuming) continue;
    if (now < pool->hold_until) {
      wake_at(pool->hold_until);
      continue;
    }
    const auto fit =
        std::count_if(slots.begin(), slots.end(), [&in = *pool](Slot* slot) { return eligible(in, *slot); });
    const auto owned = std::count_if(pool->workers.begin(), pool->workers.end(),
                                     [](Worker* worker) { return !worker->leaving && !worker->stopping; });
    parts.push_back({pool.get(), 0, static_cast<std::uint32_t>(owned)});
    demands.push_back({pool->options.weight, std::min(demand(*pool, now), static_cast<std::uint32_t>(fit))});
  }
  const auto targets = fair_share(static_cast<std::uint32_t>(slots.size()), demands);
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i].target = targets[i];
  return parts;
}

/// The pool below its target (or, beyond targets, any) with the fewest slots for its weight that can use this one.
Scheduler::State::Part* Scheduler::State::neediest(std::vector<Part>& parts, const Slot& slot, TimePoint now,
                                                   bool beyond_target) {
  Part* best = nullptr;
  const auto load = [](const Part& part) { return (part.owned + 1) / part.pool->options.weight; };
  for (Part& part : parts) {
    if ((!beyond_target && part.owned >= part.target) || !available(*part.pool, slot, now)) continue;
    if (!best || load(part) < load(*best)) best = &part;
  }
  return best;
}

/// Takes one slot for `needy` from a pool above its target; false when there is none.
bool Scheduler::State::take_slot(Part& needy, std::vector<Part>& parts, TimePoint now, Commands& out) {
  Worker* chosen = nullptr;
  Part* giver = nullptr;
  for (Part& part : parts) {
    if (part.owned <= part.target) continue;
    for (Worker* worker : part.pool->workers) {
      if (worker->leaving || worker->stopping || !suits(*needy.pool, *worker->slot, now)) continue;
      if (!chosen || reluctance(*worker) < reluctance(*chosen)) chosen = worker, giver = &part;
    }
  }
  if (!chosen) return false;
  make_leave(*chosen, out);
  --giver->owned;
  ++needy.owned;
  return true;
}

void Scheduler::State::share_slots(TimePoint now, Commands& out) {
  sharing_dirty = false;
  shared_at = now;
  const std::vector<Slot*> slots = slots_to_share(nodes);
  std::vector<Part> parts = parts_of(slots, now);
  // Free slots go to pools below their target, then to any pool that can use one: workers are made before they are
  // needed, because that is what takes long.
  for (const bool beyond_target : {false, true}) {
    for (Slot* slot : slots) {
      Part* part = slot->worker ? nullptr : neediest(parts, *slot, now, beyond_target);
      if (!part) continue;
      start_worker(*slot, *part->pool, now, out);
      ++part->owned;
    }
  }
  // Whoever is still below its target gets the slots that are being vacated, and takes from those above theirs.
  auto vacating = std::count_if(slots.begin(), slots.end(), [](Slot* slot) {
    return slot->worker && (slot->worker->leaving || slot->worker->stopping);
  });
  for (Part& needy : parts) {
    while (needy.owned < needy.target) {
      if (vacating > 0) {
        --vacating;
        ++needy.owned;
      } else if (!take_slot(needy, parts, now, out)) {
        break;
      }
    }
  }
}

}  // namespace dc::scheduler

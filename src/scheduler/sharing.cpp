// Which pool has which slot: weighted max-min over what each pool could use; slots change hands between jobs.
#include <algorithm>
#include <map>
#include <utility>

#include "core/mutation.hpp"
#include "scheduler/devices.hpp"
#include "scheduler/fair_share.hpp"

namespace dc::scheduler {

/// When the next round of sharing is due. Among many slots and pools a round is dear (about 20 ns for each of both, and
/// 1 us for each pool), and decides the same a little later: at most a tenth of the time goes into rounds.
TimePoint Scheduler::State::share_at() const {
  if (!sharing_dirty) return never;
  constexpr std::uint64_t slots_of_a_pool = 50;  // what it costs whatever the slots
  const std::uint64_t cost = (slots_total + slots_of_a_pool) * pools.size();
  const Duration pause = std::min<Duration>(200ns * cost, limits::sharing_pause_max);
  return pause < limits::sharing_pause_min ? TimePoint{} : shared_at + pause;
}

/// How many workers the pool could use now. Workers that were busy a moment ago count, so that a short pause costs
/// nothing; they take the queued jobs, so that a job now and then does not ask for one worker more each time.
std::uint32_t Scheduler::State::demand(const Pool& pool, TimePoint now) const {
  if (held_back(pool, now)) return static_cast<std::uint32_t>(pool.workers.size());
  std::uint64_t busy = 0, rested = 0;
  for (const Worker* worker : pool.workers) {
    if (worker->leaving || worker->stopping || !worker->ready) continue;
    if (!is_idle(*worker)) {
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

/// The pool may start a worker here now: on this slot and, if a worker needs several, on these further ones.
bool available(const Part& part, const Slot& slot, Round& round, std::vector<Slot*>& chosen) {
  if (slot.occupant || round.reserved.contains(&slot) || !suits(*part.pool, slot, round.now)) return false;
  chosen.clear();
  for (const auto& other : slot.node->slots) {
    if (chosen.size() + 1 >= part.step()) break;
    const bool same = other->info.gpu == slot.info.gpu ||
                      std::any_of(chosen.begin(), chosen.end(),
                                  [&](const Slot* taken) { return taken->info.gpu == other->info.gpu; });
    if (same || other->occupant || round.reserved.contains(other.get())) continue;
    if (eligible(*part.pool, *other) && ready(*part.pool, *other)) chosen.push_back(other.get());
  }
  return chosen.size() + 1 >= part.step();
}

/// Slots that can be given out now: their nodes are here and stay, no unknown pool's worker sits on them, and they are
/// not empty because of trouble.
std::vector<Slot*> slots_to_share(const std::map<NodeId, std::unique_ptr<Node>>& nodes) {
  std::vector<Slot*> slots;
  for (const auto& [id, node] : nodes) {
    if (!node->connected || node->leaving) continue;
    for (const auto& slot : node->slots) {
      if (slot->occupant ? slot->occupant->pool != nullptr : slot->info.trouble.empty() || mutation::ignore_trouble)
        slots.push_back(slot.get());
    }
  }
  return slots;
}

/// Slots by which of the pools can use them.
std::vector<SlotGroup> groups_of(const std::vector<Slot*>& slots, const std::vector<Part>& parts, TimePoint now) {
  std::map<std::vector<bool>, std::uint32_t> counts;
  std::vector<bool> users(parts.size());
  for (const Slot* slot : slots) {
    for (std::size_t i = 0; i < parts.size(); ++i) users[i] = usable(*parts[i].pool, *slot, now);
    ++counts[users];
  }
  std::vector<SlotGroup> groups;
  for (const auto& [key, count] : counts) groups.push_back({key, count});
  return groups;
}

/// How many slots the pool with this number can use.
std::uint32_t usable_by(std::size_t user, const std::vector<SlotGroup>& groups) {
  std::uint32_t slots = 0;
  for (const SlotGroup& group : groups) slots += group.users[user] ? group.slots : 0;
  return slots;
}

/// Who makes room for itself first, and whether before free slots are given out: workers of several GPUs, then pools
/// that can use few of the slots. Whoever can live anywhere finds a slot that they do not need. In this order nobody
/// has to leave a slot that it was given a moment ago.
std::vector<Part*> by_choosiness(std::vector<Part>& parts) {
  std::vector<Part*> order;
  for (Part& part : parts) order.push_back(&part);
  const auto key = [](const Part* part) { return std::pair(part->step() == 1, part->capacity); };
  std::stable_sort(order.begin(), order.end(), [&](const Part* a, const Part* b) { return key(a) < key(b); });
  return order;
}

}  // namespace

/// How many slots each pool has and should have.
std::vector<Part> Scheduler::State::parts_of(const std::vector<Slot*>& slots, TimePoint now) {
  std::vector<Part> parts;
  for (auto& [id, pool] : pools) {
    if (held_back(*pool, now)) {
      if (!pool->resuming) wake_at(hold_until());
      continue;
    }
    Part& part = parts.emplace_back(Part{pool.get()});
    for (const Worker* worker : pool->workers) {
      if (!worker->leaving && !worker->stopping) part.owned += worker->width();
    }
  }
  const std::vector<SlotGroup> groups = groups_of(slots, parts, now);
  std::vector<Demand> demands;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    Part& part = parts[i];
    part.capacity = part.step() > 1 ? capacity(*part.pool, slots, now) : usable_by(i, groups);
    demands.push_back(
        {part.pool->options.weight, std::min(demand(*part.pool, now) * part.step(), part.capacity), part.step()});
  }
  const auto targets = fair_share(groups, demands);
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i].target = targets[i];
  return parts;
}

/// Each empty slot goes to the pool below its target (or, beyond targets, any) that has the fewest for its weight and
/// can use it.
void Scheduler::State::give_free_slots(Round& round, bool beyond_target, Commands& out) {
  const auto load = [](const Part& part) { return (part.owned + part.step()) / part.pool->options.weight; };
  std::vector<Slot*> further, chosen;
  for (Slot* slot : round.slots) {
    if (slot->occupant) continue;
    Part* best = nullptr;
    for (Part& part : round.parts) {
      if (!beyond_target && !part.below_target()) continue;
      if (best && load(*best) <= load(part)) continue;
      if (!available(part, *slot, round, further)) continue;
      best = &part;
      chosen = further;
    }
    if (!best) continue;
    chosen.insert(chosen.begin(), slot);
    round.starting.insert(&start_worker(chosen, *best->pool, out));
    best->owned += best->step();
  }
}

void Scheduler::State::share_slots(TimePoint now, Commands& out) {
  sharing_dirty = false;
  shared_at = now;
  if (nested_waits) keep_who_waits();
  Round round{now, slots_to_share(nodes), {}, {}, {}};
  round.parts = parts_of(round.slots, now);
  const std::vector<Part*> order = by_choosiness(round.parts);
  const auto choosy = [&](const Part* part) { return part->step() > 1 || part->capacity < round.slots.size(); };
  for (Part* part : order) {
    if (choosy(part)) make_room(*part, round, out);
  }
  // Free slots go to pools below their target, then to any pool that can use one: workers are made before they are
  // needed, because that is what takes long.
  for (const bool beyond_target : {false, true}) give_free_slots(round, beyond_target, out);
  // Whoever is still below its target gets the slots that are being vacated, and takes from those above theirs.
  for (Part* part : order) make_room(*part, round, out);
}

}  // namespace dc::scheduler

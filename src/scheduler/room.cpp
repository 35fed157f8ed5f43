// Room for a pool below its target: which workers of others leave, and which slots are kept free for it meanwhile.
//
// A worker of several GPUs needs slots that lie together. Free ones are seldom found so: one node is chosen, always by
// the same rule, those in the way leave it, and nobody else gets what becomes free there. Nothing of that is
// remembered: the next round finds the same node again, because most is free or vacating there.
#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "core/mutation.hpp"
#include "scheduler/devices.hpp"

namespace dc::scheduler {
namespace {

/// Idle workers first, then those that are being constructed, then busy ones.
int reluctance(const Worker& worker) { return !worker.ready ? 1 : is_idle(worker) ? 0 : 2; }

bool on_its_way_out(const Worker& worker) { return worker.leaving || worker.stopping; }

/// Slots for one worker, its own first, and what having them costs.
struct Room {
  std::vector<Slot*> slots;
  std::vector<Worker*> evicted;
  std::uint32_t at_hand = 0;  ///< of the slots: empty or vacating
  int price = 0;              ///< 0: all are empty
};

bool better(const Room& a, const Room& b) { return a.at_hand != b.at_hand ? a.at_hand > b.at_hand : a.price < b.price; }

/// Gathers the slots of one room; what it has taken so far counts.
class Search {
 public:
  /// `immovable`: pools whose workers have nowhere else to live. Null: none may be moved.
  Search(const Part& needy, Round& round, std::set<const Part*>* immovable)
      : needy_(needy), round_(round), immovable_(immovable) {}

  /// What the slot costs: 0 empty, 1 vacating, then a worker above its pool's target, then one that moves elsewhere.
  std::optional<int> price(const Slot& slot) {
    if (round_.reserved.contains(&slot) || spares_.contains(&slot)) return {};
    if (!eligible(*needy_.pool, slot) || !ready(*needy_.pool, slot)) return {};
    const Worker* worker = slot.occupant;
    if (!worker) return 0;
    if (on_its_way_out(*worker)) return 1;
    if (evicted(*worker)) return 2;
    const Part* owner = worker->pool ? round_.part_of(worker->pool) : nullptr;
    if (!owner || owner == &needy_) return {};
    if (owner->owned >= owner->target + worker->width() + given(*owner)) return 2 + reluctance(*worker);
    if (immovable_ && worker->width() == 1 && owner->step() == 1 && !immovable_->contains(owner)) {
      if (spare_for(*owner, slot)) return 6 + reluctance(*worker);
      // Where nothing has been taken yet the answer is the same for every slot, and there may be thousands.
      if (room_.slots.empty()) immovable_->insert(owner);
    }
    return {};
  }

  bool add(Slot& slot) {
    const auto cost = price(slot);
    if (!cost) return false;
    if (*cost >= 2 && !evicted(*slot.occupant)) {
      const Part& owner = *round_.part_of(slot.occupant->pool);
      if (*cost >= 6) {
        const Slot* spare = spare_for(owner, slot);
        spares_.insert(spare);
        // Its worker has to go too, in a room of its own.
        if (spare->occupant && !on_its_way_out(*spare->occupant))
          given_[spare->occupant->pool] += spare->occupant->width();
      } else {
        given_[owner.pool] += slot.occupant->width();
      }
      room_.evicted.push_back(slot.occupant);
    }
    room_.at_hand += *cost < 2;
    room_.price += *cost;
    room_.slots.push_back(&slot);
    return true;
  }

  [[nodiscard]] bool has_gpu_of(const Slot& slot) const {
    if (mutation::share_a_gpu) return std::find(room_.slots.begin(), room_.slots.end(), &slot) != room_.slots.end();
    return std::any_of(room_.slots.begin(), room_.slots.end(),
                       [&](const Slot* taken) { return taken->info.gpu == slot.info.gpu; });
  }

  Room& room() { return room_; }

 private:
  [[nodiscard]] bool evicted(const Worker& worker) const {
    return std::find(room_.evicted.begin(), room_.evicted.end(), &worker) != room_.evicted.end();
  }
  std::uint32_t given(const Part& owner) { return given_[owner.pool]; }

  /// Where a worker that has to go, although its pool has no more than its share, can live instead.
  const Slot* spare_for(const Part& owner, const Slot& from) {
    for (const Slot* slot : round_.slots) {
      if (slot == &from || round_.reserved.contains(slot) || spares_.contains(slot)) continue;
      if (std::find(room_.slots.begin(), room_.slots.end(), slot) != room_.slots.end()) continue;
      if (!suits(*owner.pool, *slot, round_.now)) continue;
      const Worker* worker = slot->occupant;
      if (!worker || on_its_way_out(*worker)) return slot;
      const Part* other = worker->pool ? round_.part_of(worker->pool) : nullptr;
      if (other && other != &owner && other->pool != needy_.pool &&
          other->owned >= other->target + worker->width() + given(*other))
        return slot;
    }
    return nullptr;
  }

  const Part& needy_;
  Round& round_;
  std::set<const Part*>* immovable_;
  Room room_;
  std::map<const Pool*, std::uint32_t> given_;  ///< slots that a pool above its target gives up for this room
  std::set<const Slot*> spares_;                ///< where the moved ones go
};

/// The cheapest room of which this is the worker's own slot. `node`: the slots of its node.
std::optional<Room> room_at(Slot& own, std::span<Slot* const> node, const Part& needy, Round& round,
                            std::set<const Part*>* immovable) {
  if (!suits(*needy.pool, own, round.now)) return {};
  Search search(needy, round, immovable);
  if (!search.add(own)) return {};
  if (needy.step() == 1) return std::move(search.room());
  std::vector<std::pair<int, Slot*>> others;
  for (Slot* slot : node) {
    if (slot == &own) continue;
    if (const auto price = search.price(*slot)) others.emplace_back(*price, slot);
  }
  std::stable_sort(others.begin(), others.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [price, slot] : others) {
    if (search.room().slots.size() == needy.step()) break;
    if (!search.has_gpu_of(*slot)) search.add(*slot);
  }
  if (search.room().slots.size() < needy.step()) return {};
  return std::move(search.room());
}

/// Finds one room after the other. What is taken makes rooms elsewhere dearer, never cheaper: so the best known one of
/// a node is looked at again only when it comes first, and a round over thousands of slots stays short.
class Rooms {
 public:
  Rooms(const Part& needy, Round& round, bool moving) : needy_(needy), round_(round), moving_(moving) {
    const std::span<Slot* const> slots = round.slots;
    for (std::size_t first = 0, last = 0; first < slots.size(); first = last) {
      while (last < slots.size() && slots[last]->node == slots[first]->node) ++last;
      look(nodes_.emplace_back(Place{slots.subspan(first, last - first), {}}));
    }
  }

  /// The cheapest room of all, of equal ones that of the first node. It is assumed to be taken.
  std::optional<Room> next() {
    if (last_) look(*last_);
    for (;;) {
      last_ = nullptr;
      for (Place& place : nodes_) {
        if (place.room && (!last_ || better(*place.room, *last_->room))) last_ = &place;
      }
      if (!last_) return {};
      const Room known = *last_->room;
      look(*last_);
      if (last_->room && !better(known, *last_->room)) return last_->room;
    }
  }

 private:
  struct Place {
    std::span<Slot* const> slots;  ///< of one node
    std::optional<Room> room;      ///< the best one there, as of the last look
  };

  void look(Place& place) {
    place.room.reset();
    for (Slot* own : place.slots) {
      auto room = room_at(*own, place.slots, needy_, round_, moving_ ? &immovable_ : nullptr);
      if (!room || (place.room && !better(*room, *place.room))) continue;
      place.room = std::move(room);
      if (place.room->price == 0) return;
    }
  }

  const Part& needy_;
  Round& round_;
  const bool moving_;
  std::set<const Part*> immovable_;
  std::vector<Place> nodes_;
  Place* last_ = nullptr;  ///< whose room was given last
};

}  // namespace

Part* Round::part_of(const Pool* pool) {
  const auto found = std::find_if(parts.begin(), parts.end(), [&](const Part& part) { return part.pool == pool; });
  return found == parts.end() ? nullptr : &*found;
}

/// Starts workers, or has slots vacated and kept, until the pool has its target or no more can be had. Nobody falls
/// below its own target for that, unless it finds another slot at once.
void Scheduler::State::make_room(Part& needy, Round& round, Commands& out) {
  for (const bool moving : {false, true}) {
    if (!needy.below_target()) return;
    Rooms rooms(needy, round, moving);
    while (needy.below_target()) {
      const std::optional<Room> room = rooms.next();
      if (!room) break;
      for (Worker* worker : room->evicted) {
        round.part_of(worker->pool)->owned -= worker->width();
        round.starting.erase(worker) > 0 ? take_start_back(*worker, out) : make_leave(*worker, out);
      }
      if (std::all_of(room->slots.begin(), room->slots.end(), [](const Slot* slot) { return !slot->occupant; }))
        round.starting.insert(&start_worker(room->slots, *needy.pool, out));
      else
        round.reserved.insert(room->slots.begin(), room->slots.end());
      needy.owned += needy.step();
    }
  }
}

}  // namespace dc::scheduler

// See device_book.hpp.
#include "node/device_book.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "core/limits.hpp"

namespace dc::node {
namespace {

constexpr int looks_until_missed = 2;
constexpr std::size_t holders_named_max = 3;

/// Memory that comes and goes with the driver's own needs.
std::uint64_t slack_mib(const gpu::Device& device) { return std::max<std::uint64_t>(device.memory_mib / 50, 64); }

std::uint64_t less(std::uint64_t from, std::uint64_t amount) { return from - std::min(from, amount); }

std::uint64_t used_mib(const gpu::Device& device) { return less(device.memory_mib, device.memory_free_mib); }

/// Whether the process is of one of these groups. One that was just reaped has no group any more, but its number.
template <class Groups>
bool is_of(const gpu::Holder& holder, const Groups& groups) {
  return groups.contains(holder.group) || groups.contains(holder.pid);
}

/// The text without its numbers: what it is about.
std::string gist(std::string text) {
  std::erase_if(text, [](unsigned char letter) { return std::isdigit(letter) != 0; });
  return text;
}

}  // namespace

DeviceBook::DeviceBook(const std::vector<gpu::Device>& devices) {
  for (const gpu::Device& device : devices) {
    Card& card = cards_[device.uuid];
    card.device = device;
    card.lost = device.lost;
    settle(card, false);
  }
}

DeviceBook::Card* DeviceBook::find(const std::string& uuid) {
  const auto found = cards_.find(uuid);
  return found == cards_.end() ? nullptr : &found->second;
}
const DeviceBook::Card* DeviceBook::find(const std::string& uuid) const {
  const auto found = cards_.find(uuid);
  return found == cards_.end() ? nullptr : &found->second;
}

// --- Memory -----------------------------------------------------------------------------------------------------

/// What processes that are surely not ours hold, as far as the driver tells.
std::uint64_t DeviceBook::listed_strangers(const Card& card) {
  std::uint64_t sum = 0;
  for (const gpu::Holder& holder : card.device.holders) {
    const bool ours = is_of(holder, card.tenants) || is_of(holder, card.ended);
    if (!ours && holder.group != 0) sum += holder.memory_mib.value_or(0);
  }
  return sum;
}

/// What strangers hold. A process that cannot be seen may be ours, when we live in a container: it counts as a stranger
/// only where we have nobody, and there all that is used is theirs.
std::uint64_t DeviceBook::held_by_strangers(const Card& card) {
  return card.tenants.empty() && card.ended.empty() ? used_mib(card.device) : listed_strangers(card);
}

std::uint64_t DeviceBook::free_when_idle(const Card& card) {
  return std::min(less(card.idle_free_mib + card.idle_strangers_mib, listed_strangers(card)), card.device.memory_mib);
}

/// Of the memory that was free before our workers came.
std::uint64_t DeviceBook::not_yet_back(const Card& card) {
  std::uint64_t held = 0;
  for (const gpu::Holder& holder : card.device.holders) {
    if (is_of(holder, card.ended)) held += holder.memory_mib.value_or(1);
  }
  if (held > 0 || !card.tenants.empty()) return held;
  const std::uint64_t missing = less(free_when_idle(card), card.device.memory_free_mib);
  return missing > slack_mib(card.device) ? missing : 0;
}

/// Ended workers are forgotten once their memory is back; what is free on a card without workers of ours is noted.
void DeviceBook::settle(Card& card, bool patience_is_over) {
  if (!card.ended.empty()) {
    const bool seen_since = std::all_of(card.ended.begin(), card.ended.end(),
                                        [&](const auto& entry) { return entry.second <= card.seen_at; });
    if (!patience_is_over && (!seen_since || not_yet_back(card) > 0)) return;
    card.ended.clear();
    card.awaited_since = never;
  }
  if (!card.tenants.empty()) return;
  card.idle_free_mib = card.device.memory_free_mib;
  card.idle_strangers_mib = listed_strangers(card);
}

std::string DeviceBook::who_holds(const Card& card) {
  if (card.device.memory_mib == 0 || 2 * held_by_strangers(card) <= card.device.memory_mib) return {};
  std::vector<gpu::Holder> strangers = card.device.holders;
  std::erase_if(strangers, [&](const gpu::Holder& holder) { return is_of(holder, card.tenants); });
  std::uint64_t told = 0;
  for (const gpu::Holder& holder : strangers) told += holder.memory_mib.value_or(card.device.memory_mib);
  if (2 * told <= card.device.memory_mib) {
    return fmt::format("{} of its {} MiB are held by processes that cannot be seen from here", used_mib(card.device),
                       card.device.memory_mib);
  }
  std::sort(strangers.begin(), strangers.end(),
            [](const gpu::Holder& a, const gpu::Holder& b) { return a.memory_mib > b.memory_mib; });
  std::vector<std::string> names;
  for (const gpu::Holder& holder : strangers) {
    if (names.size() == holders_named_max) break;
    names.push_back(gpu::text_of(holder));
  }
  if (strangers.size() > names.size()) names.push_back(fmt::format("{} more", strangers.size() - names.size()));
  return fmt::format("held by {}", fmt::join(names, ", "));
}

// --- Looks ------------------------------------------------------------------------------------------------------

DeviceBook::Uuids DeviceBook::seen(const gpu::Inventory& inventory, TimePoint now) {
  Uuids newly_lost;
  if (!inventory.answered) return newly_lost;
  for (auto& [uuid, card] : cards_) {
    const auto device = std::find_if(inventory.devices.begin(), inventory.devices.end(),
                                     [&, &id = uuid](const gpu::Device& other) { return other.uuid == id; });
    const bool there = device != inventory.devices.end();
    card.missed = there ? 0 : card.missed + 1;
    const bool was_lost = !card.lost.empty();
    if (there) card.lost = device->lost;
    if (card.missed >= looks_until_missed) card.lost = "it does not answer any more";
    if (!card.lost.empty() && !was_lost) newly_lost.push_back(uuid);
    if (!there || !card.lost.empty()) continue;
    card.device = *device;
    card.seen_at = inventory.taken_at;
    for (auto& [group, tenant] : card.tenants) {
      std::uint64_t held = 0;
      for (const gpu::Holder& holder : card.device.holders) {
        if (holder.group == group || holder.pid == group) held += holder.memory_mib.value_or(0);
      }
      if (held > 0) tenant.held_mib = held;
    }
    settle(card, false);
  }
  tick(now);
  return newly_lost;
}

void DeviceBook::tick(TimePoint now) {
  for (auto& [uuid, card] : cards_) {
    if (card.awaited_since != never && card.awaited_since + limits::memory_back_patience <= now) settle(card, true);
  }
}

bool DeviceBook::awaits_a_look() const {
  return std::any_of(cards_.begin(), cards_.end(), [](const auto& entry) {
    return !entry.second.ended.empty() || (entry.second.missed > 0 && entry.second.lost.empty());
  });
}

// --- Workers ----------------------------------------------------------------------------------------------------

void DeviceBook::worker_started(const Uuids& devices, pid_t group) {
  for (const std::string& uuid : devices) {
    if (Card* card = find(uuid)) card->tenants[group].faults_before = card->device.faults;
  }
}

void DeviceBook::worker_ended(const Uuids& devices, pid_t group, TimePoint at) {
  for (const std::string& uuid : devices) {
    Card* card = find(uuid);
    if (!card || card->tenants.erase(group) == 0) continue;
    card->ended[group] = at;
    card->awaited_since = at;
    settle(*card, false);
  }
}

void DeviceBook::constructed(const Uuids& devices, PoolId pool) {
  for (const std::string& uuid : devices) {
    Card* card = find(uuid);
    if (!card) continue;
    card->failures.clear();
    card->proven_failures = card->proven_pools = 0;
    built_[pool].insert(uuid);
  }
  for (auto& [uuid, card] : cards_) judge(card);
}

void DeviceBook::constructor_failed(const Uuids& devices, PoolId pool) {
  for (const std::string& uuid : devices) {
    Card* card = find(uuid);
    if (!card) continue;
    ++card->failures[pool];
    judge(*card);
  }
}

void DeviceBook::pool_closed(PoolId pool) {
  for (auto& [uuid, card] : cards_) {
    const auto failed = card.failures.find(pool);
    if (failed == card.failures.end()) continue;
    if (built_elsewhere(pool, uuid)) {
      card.proven_failures += failed->second;
      ++card.proven_pools;
    }
    card.failures.erase(failed);
  }
  built_.erase(pool);
}

bool DeviceBook::built_elsewhere(PoolId pool, const std::string& uuid) const {
  const auto built = built_.find(pool);
  return built != built_.end() && (built->second.size() > 1 || !built->second.contains(uuid));
}

/// A class that fails here and works on the node's other cards is the card's fault, if it is not this class alone: that
/// may need more memory than this card has. (The head sets a slot aside for one pool by itself.)
void DeviceBook::judge(Card& card) {
  int failures = card.proven_failures, pools = card.proven_pools;
  for (const auto& [pool, count] : card.failures) {
    if (!built_elsewhere(pool, card.device.uuid)) continue;
    failures += count;
    ++pools;
  }
  if (failures < static_cast<int>(limits::init_attempts_max) || pools < 2) return;
  card.set_aside = fmt::format(
      "set aside: the last {} constructors failed on it, of {} pools whose classes work on other GPUs of this node; a "
      "new start of the node tries it again",
      failures, pools);
}

// --- What is told -----------------------------------------------------------------------------------------------

std::string DeviceBook::trouble(const std::string& uuid, TimePoint now) const {
  const Card* card = find(uuid);
  if (!card) return {};
  if (!card->lost.empty()) return fmt::format("lost: {}", card->lost);
  if (!card->set_aside.empty()) return card->set_aside;
  if (!card->ended.empty()) {
    if (now < card->awaited_since + limits::memory_back_unsaid) return {};
    return fmt::format("{} MiB not yet back after the end of a worker", not_yet_back(*card));
  }
  return who_holds(*card);
}

bool DeviceBook::blocked(const Uuids& devices, TimePoint now) const {
  return std::any_of(devices.begin(), devices.end(), [&](const std::string& uuid) {
    const Card* card = find(uuid);
    return card && (!card->ended.empty() || !trouble(uuid, now).empty());
  });
}

std::vector<SlotInfo> DeviceBook::changes(std::vector<SlotInfo>& slots, TimePoint now, TimePoint& wake) {
  std::vector<SlotInfo> changed;
  for (SlotInfo& slot : slots) {
    const Card* card = find(slot.gpu);
    if (!card) continue;
    SlotInfo latest = slot;
    latest.trouble = trouble(slot.gpu, now);
    latest.gpu_memory_free_mib = free_when_idle(*card);
    if (latest == slot) continue;
    const auto before = static_cast<std::int64_t>(slot.gpu_memory_free_mib);
    const auto after = static_cast<std::int64_t>(latest.gpu_memory_free_mib);
    const bool much = 20 * std::abs(after - before) >= static_cast<std::int64_t>(slot.gpu_memory_mib);
    const TimePoint next = card->told_at + limits::small_change_pause;
    if (!much && gist(latest.trouble) == gist(slot.trouble) && now < next) {
      wake = std::min(wake, next);
      continue;
    }
    slot = latest;
    changed.push_back(std::move(latest));
  }
  for (const SlotInfo& slot : changed) find(slot.gpu)->told_at = now;
  return changed;
}

std::string DeviceBook::state_of(const std::string& uuid) const {
  const Card* card = find(uuid);
  if (!card) return {};
  const gpu::Device& device = card->device;
  std::string text = fmt::format("{} ({})", device.name, device.uuid);
  if (const std::string readings = gpu::readings_of(device); !readings.empty()) text += ", " + readings;
  if (!device.faults.empty()) text += fmt::format(", {}", device.faults);
  return text;
}

std::string DeviceBook::scene_of_death(const Uuids& devices, pid_t group) const {
  std::vector<std::string> scenes;
  for (const std::string& uuid : devices) {
    const Card* card = find(uuid);
    if (!card) continue;
    std::string text = fmt::format("{} ({})", card->device.name, uuid);
    const auto tenant = card->tenants.find(group);
    if (tenant != card->tenants.end() && tenant->second.held_mib > 0)
      text += fmt::format(", where it held {} of {} MiB", tenant->second.held_mib, card->device.memory_mib);
    const std::string& faults = card->device.faults;
    if (tenant != card->tenants.end() && faults != tenant->second.faults_before)
      text += fmt::format(", of which the driver reported {}", faults);
    scenes.push_back(std::move(text));
  }
  return fmt::format("{}", fmt::join(scenes, "; "));
}

}  // namespace dc::node

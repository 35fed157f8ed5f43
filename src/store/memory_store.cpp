// See memory_store.hpp.
#include "store/memory_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/held_by.hpp"

namespace dc::store {

Result<std::uint64_t> MemoryStore::acquire(const Owner& owner) {
  const std::lock_guard lock(disk_->mutex);
  if (disk_->holder != 0 && disk_->holder != term_) return held_by("the store in memory", disk_->owner);
  disk_->owner = owner;
  return disk_->holder = term_ = ++disk_->term;
}

Result<void> MemoryStore::check_hold() {
  const std::lock_guard lock(disk_->mutex);
  return check_held();
}

void MemoryStore::release() {
  const std::lock_guard lock(disk_->mutex);
  if (disk_->holder == term_) disk_->holder = 0;
  term_ = 0;
}

Result<void> MemoryStore::check_held() const {
  if (term_ == 0 || disk_->holder != term_) return held_by("the store in memory", disk_->owner);
  return boost::outcome_v2::success();
}

/// There is always room for changes that leave no more than was there.
Result<void> MemoryStore::check_room(std::span<const Change> changes) const {
  if (disk_->bytes_max == SIZE_MAX) return boost::outcome_v2::success();
  std::map<std::pair<LogId, EntryNumber>, std::size_t> changed;
  for (const Change& change : changes) changed[{change.log, change.number}] = change.entry ? size_of(*change.entry) : 0;
  std::size_t before = 0;
  std::size_t after = 0;
  for (const auto& [place, bytes] : changed) after += bytes;
  for (const auto& [id, entries] : disk_->logs) {
    for (const auto& [number, entry] : entries) {
      before += size_of(entry);
      if (!changed.contains({id, number})) after += size_of(entry);
    }
  }
  if (after <= std::max(before, disk_->bytes_max)) return boost::outcome_v2::success();
  return fail(ErrorCode::full, "the store in memory is full: finish some named pools");
}

Result<std::vector<LogId>> MemoryStore::logs() {
  const std::lock_guard lock(disk_->mutex);
  BOOST_OUTCOME_TRYV(check_held());
  std::vector<LogId> ids;
  for (const auto& [id, entries] : disk_->logs) ids.push_back(id);
  return ids;
}

std::map<LogId, std::uint64_t> MemoryStore::sizes() {
  const std::lock_guard lock(disk_->mutex);
  std::map<LogId, std::uint64_t> sizes;
  for (const auto& [id, entries] : disk_->logs) sizes[id] = entries.size();
  return sizes;
}

Result<void> MemoryStore::write(std::span<Change> changes) {
  const std::lock_guard lock(disk_->mutex);
  BOOST_OUTCOME_TRYV(check_held());
  BOOST_OUTCOME_TRYV(check_room(changes));
  for (const Change& change : changes) {
    auto& entries = disk_->logs[change.log];
    if (change.entry) {
      entries.insert_or_assign(change.number, *change.entry);
    } else {
      entries.erase(change.number);
    }
    if (entries.empty()) disk_->logs.erase(change.log);
  }
  return boost::outcome_v2::success();
}

Result<bool> MemoryStore::read(LogId log, Position& position, Attachments /*all are here*/,
                               const std::function<void(EntryNumber, Entry&&)>& each) {
  constexpr std::size_t page = 1024;
  std::vector<std::pair<EntryNumber, Entry>> entries;
  {
    const std::lock_guard lock(disk_->mutex);
    BOOST_OUTCOME_TRYV(check_held());
    const auto found = disk_->logs.find(log);
    if (found == disk_->logs.end()) return false;
    for (auto next = found->second.upper_bound(position.behind); next != found->second.end(); ++next) {
      if (entries.size() == page) break;
      entries.emplace_back(*next);
    }
  }
  for (auto& [number, entry] : entries) {
    position.behind = number;
    each(number, std::move(entry));
  }
  return !entries.empty();
}

Result<void> MemoryStore::replace(LogId log, std::span<const Entry> entries) {
  const std::lock_guard lock(disk_->mutex);
  BOOST_OUTCOME_TRYV(check_held());
  disk_->logs.erase(log);
  EntryNumber number = 0;
  for (const Entry& entry : entries) disk_->logs[log].emplace(++number, entry);
  return boost::outcome_v2::success();
}

Result<void> MemoryStore::remove(LogId log) { return replace(log, {}); }

}  // namespace dc::store

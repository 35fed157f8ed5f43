// See memory_store.hpp.
#include "store/memory_store.hpp"

#include <fmt/format.h>

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

Result<void> MemoryStore::check_room(std::size_t more) const {
  for (const auto& [id, entries] : disk_->logs) {
    for (const Entry& entry : entries) more += size_of(entry);
  }
  if (disk_->bytes_max == SIZE_MAX || more <= disk_->bytes_max) return boost::outcome_v2::success();
  return fail(ErrorCode::full, "the store in memory is full: finish some named pools");
}

Result<std::vector<LogId>> MemoryStore::logs() {
  const std::lock_guard lock(disk_->mutex);
  BOOST_OUTCOME_TRYV(check_held());
  std::vector<LogId> ids;
  for (const auto& [id, entries] : disk_->logs) ids.push_back(id);
  return ids;
}

Result<void> MemoryStore::append(std::span<Addressed> batch) {
  const std::lock_guard lock(disk_->mutex);
  BOOST_OUTCOME_TRYV(check_held());
  if (disk_->bytes_max != SIZE_MAX) {
    std::size_t more = 0;
    for (const Addressed& addressed : batch) more += size_of(addressed.entry);
    BOOST_OUTCOME_TRYV(check_room(more));
  }
  for (const Addressed& addressed : batch) disk_->logs[addressed.log].push_back(addressed.entry);
  return boost::outcome_v2::success();
}

Result<bool> MemoryStore::read(LogId log, Position& position, Attachments /*all are here*/,
                               const std::function<void(Entry&&)>& each) {
  constexpr std::size_t page = 1024;
  std::vector<Entry> entries;
  {
    const std::lock_guard lock(disk_->mutex);
    BOOST_OUTCOME_TRYV(check_held());
    const auto found = disk_->logs.find(log);
    if (found == disk_->logs.end()) return false;
    const std::vector<Entry>& all = found->second;
    while (position.entries < all.size() && entries.size() < page) entries.push_back(all[position.entries++]);
  }
  for (Entry& entry : entries) each(std::move(entry));
  return !entries.empty();
}

Result<void> MemoryStore::replace(LogId log, std::span<const Entry> entries) {
  const std::lock_guard lock(disk_->mutex);
  BOOST_OUTCOME_TRYV(check_held());
  disk_->logs.erase(log);
  if (!entries.empty()) disk_->logs[log].assign(entries.begin(), entries.end());
  return boost::outcome_v2::success();
}

Result<void> MemoryStore::remove(LogId log) {
  const std::lock_guard lock(disk_->mutex);
  BOOST_OUTCOME_TRYV(check_held());
  disk_->logs.erase(log);
  return boost::outcome_v2::success();
}

}  // namespace dc::store

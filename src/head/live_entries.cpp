// See live_entries.hpp.
#include "head/live_entries.hpp"

#include <algorithm>
#include <utility>

#include "core/check.hpp"
#include "core/limits.hpp"
#include "core/mutation.hpp"

namespace dc::head {

void LiveEntries::add(store::EntryNumber entry, std::size_t bytes, std::uint32_t reasons) {
  seen(entry);
  if (reasons == 0) return dies(entry, bytes);
  entries_[entry] = {bytes, reasons};
}

void LiveEntries::add_note(store::EntryNumber note, std::size_t bytes, std::vector<store::EntryNumber>&& about) {
  std::sort(about.begin(), about.end());
  about.erase(std::unique(about.begin(), about.end()), about.end());
  std::uint32_t reasons = 0;
  for (const store::EntryNumber entry : about) {
    const auto found = entries_.find(entry);
    if (found == entries_.end() || mutation::drop_notes) continue;
    found->second.notes.push_back(note);
    ++reasons;
  }
  add(note, bytes, reasons);
}

void LiveEntries::release(store::EntryNumber entry) {
  const auto found = entries_.find(entry);
  if (found == entries_.end()) return;
  DC_CHECK(found->second.reasons > 0);
  if (--found->second.reasons > 0) return;
  const LiveEntry gone = std::move(found->second);
  entries_.erase(found);
  dies(entry, gone.bytes);
  for (const store::EntryNumber note : gone.notes) release(note);
}

void LiveEntries::outdate(store::EntryNumber entry, std::size_t bytes) {
  if (entry != 0) dies(entry, bytes);
}

void LiveEntries::dies(store::EntryNumber entry, std::uint64_t bytes) {
  dead_.push_back(entry);
  dead_bytes_ += bytes;
}

bool LiveEntries::worth_erasing(std::size_t at) const {
  return dead_.size() >= at || dead_bytes_ >= limits::dead_entry_bytes_max;
}

std::vector<store::EntryNumber> LiveEntries::take_dead() {
  dead_bytes_ = 0;
  return std::exchange(dead_, {});
}

}  // namespace dc::head

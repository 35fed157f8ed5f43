// See live_entries.hpp.
#include "head/live_entries.hpp"

#include <algorithm>
#include <utility>

#include "core/check.hpp"
#include "core/limits.hpp"
#include "core/mutation.hpp"

namespace dc::head {

void LiveEntries::add(const KeptEntry& entry, std::uint32_t reasons) {
  seen(entry.number);
  if (reasons == 0) return dies(entry);
  entries_[entry.number] = {entry.bytes, reasons};
}

void LiveEntries::add_note(const KeptEntry& note, std::vector<store::EntryNumber>&& about,
                           const std::vector<store::EntryNumber>& over) {
  std::sort(about.begin(), about.end());
  about.erase(std::unique(about.begin(), about.end()), about.end());
  std::uint32_t reasons = 0;
  for (const store::EntryNumber entry : about) {
    const auto found = entries_.find(entry);
    if (found == entries_.end() || mutation::drop_notes) continue;
    found->second.notes.push_back(note.number);
    ++reasons;
  }
  add(note, reasons);
  for (const store::EntryNumber entry : over) release(entry);
}

void LiveEntries::release(store::EntryNumber entry) {
  const auto found = entries_.find(entry);
  if (found == entries_.end()) return;
  DC_CHECK(found->second.reasons > 0);
  if (--found->second.reasons > 0) return;
  const LiveEntry gone = std::move(found->second);
  entries_.erase(found);
  dies({entry, gone.bytes});
  for (const store::EntryNumber note : gone.notes) release(note);
}

void LiveEntries::outdate(const KeptEntry& entry) {
  if (entry.number != 0) dies(entry);
}

void LiveEntries::dies(const KeptEntry& entry) {
  dead_.push_back(entry.number);
  dead_bytes_ += entry.bytes;
}

bool LiveEntries::worth_erasing(std::size_t at) const {
  return dead_.size() >= at || dead_bytes_ >= limits::dead_entry_bytes_max;
}

std::vector<store::EntryNumber> LiveEntries::take_dead() {
  dead_bytes_ = 0;
  return std::exchange(dead_, {});
}

}  // namespace dc::head

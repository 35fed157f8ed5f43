// Which entries of a named pool's journal still tell something that is needed. Entries stand until then, and are erased
// in the same write as the Summary that tells what is left of them: so there is nothing to shorten.
//
// An entry of jobs is needed for each job without an outcome in an entry of its own, one of outcomes for each that
// nobody has taken and each that is the value of a key. A *note* (Delivered, KeysDropped, KeysTimed) speaks of what
// stands in others, and is needed as long as one of those stands.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "store/store.hpp"

namespace dc::head {

struct KeptEntry {
  store::EntryNumber number = 0;  ///< 0: none
  std::size_t bytes = 0;          ///< in the store
};

class LiveEntries {
 public:
  /// The number for a new entry.
  store::EntryNumber next() { return ++last_; }

  /// An entry stands, or is on its way, and is needed for so many reasons. No reason: it can go.
  void add(const KeptEntry& entry, std::uint32_t reasons);
  /// A note stands that speaks of these entries; those that are gone do not count, nor those that are there twice. It
  /// says that something is over in each of those `over`, one reason less each time.
  void add_note(const KeptEntry& note, std::vector<store::EntryNumber>&& about,
                const std::vector<store::EntryNumber>& over = {});
  /// There is one reason more for this one, which is known.
  void need(store::EntryNumber entry) { ++entries_.at(entry).reasons; }
  /// There is one reason less for this one. 0, and one that is gone: nothing happens.
  void release(store::EntryNumber entry);
  /// Another has taken its place, if there is one.
  void outdate(const KeptEntry& entry);
  /// It does not stand after all: it was refused.
  void drop(store::EntryNumber entry) { entries_.erase(entry); }

  /// Whether those that can go are worth a write. `at`: from so many on; fewer, if they are large.
  [[nodiscard]] bool worth_erasing(std::size_t at) const;
  /// Those that can go, in one write with a Summary.
  std::vector<store::EntryNumber> take_dead();

  /// Where payloads of an entry are in the store: one place of it is known, or none.
  [[nodiscard]] const std::shared_ptr<const void>& place(store::EntryNumber entry) const {
    return entries_.at(entry).place;
  }
  void set_place(store::EntryNumber entry, const std::shared_ptr<const void>& place) {
    entries_.at(entry).place = place;
  }

  /// Highest number so far.
  [[nodiscard]] store::EntryNumber last() const { return last_; }
  /// There is an entry with this number.
  void seen(store::EntryNumber entry) { last_ = std::max(last_, entry); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct LiveEntry {
    std::size_t bytes = 0;
    std::uint32_t reasons = 0;
    std::vector<store::EntryNumber> notes = {};  ///< that speak of it
    std::shared_ptr<const void> place = {};
  };
  void dies(const KeptEntry& entry);

  std::unordered_map<store::EntryNumber, LiveEntry> entries_;  ///< those that are needed
  std::vector<store::EntryNumber> dead_;
  std::size_t dead_bytes_ = 0;
  store::EntryNumber last_ = 0;
};

}  // namespace dc::head

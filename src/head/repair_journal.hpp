// Cuts a broken journal before the first entry that is damaged, missing or senseless.
#pragma once

#include <cstdint>
#include <memory>

#include "core/result.hpp"
#include "head/journal.hpp"
#include "store/store.hpp"

namespace dc::head {

struct RepairedJournal {
  std::unique_ptr<JournalState> state;  ///< what was kept; null: nothing, and the log is gone
  std::uint64_t jobs_lost = 0;          ///< that were accepted and whose outcome nobody had
  bool or_more = false;                 ///< what could not be read may have held more of them
  std::uint64_t jobs_again = 0;         ///< that had ended, and do not know it any more
};

/// On the journal's thread. `invalid`: it is of another version, and left alone. An error changes nothing.
Result<RepairedJournal> repair_journal(store::Store& store, store::LogId log);

}  // namespace dc::head

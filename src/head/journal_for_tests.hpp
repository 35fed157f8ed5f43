// For the tests: a journal is read as it is written, one entry behind the other.
#pragma once

#include <utility>

#include "head/journal.hpp"

namespace dc::head {

inline void add(JournalState& state, store::Entry entry) { state.add(state.entries.last() + 1, std::move(entry)); }

}  // namespace dc::head

// The sentence for the head that comes second.
#pragma once

#include <fmt/format.h>

#include <string_view>

#include "store/store.hpp"

namespace dc::store {

/// The end of that sentence. A standby, which waits, tells the rest.
inline constexpr std::string_view held_by_advice = ": stop that one first, or name another store with --store";

inline Error held_by(std::string_view store, const Owner& owner) {
  return fail(ErrorCode::fenced, fmt::format("{} belongs to the head with process id {} on {}{}", store, owner.pid,
                                             owner.host, held_by_advice));
}

}  // namespace dc::store

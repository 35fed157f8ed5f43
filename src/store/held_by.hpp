// The sentence for the head that comes second.
#pragma once

#include <fmt/format.h>

#include <string_view>

#include "store/store.hpp"

namespace dc::store {

inline Error held_by(std::string_view store, const Owner& owner) {
  return fail(ErrorCode::fenced,
              fmt::format("{} belongs to the head with process id {} on {}: stop that one first, or name another store "
                          "with --store",
                          store, owner.pid, owner.host));
}

}  // namespace dc::store

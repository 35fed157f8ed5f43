// How much named pools may keep, and for how long.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "core/limits.hpp"

namespace dc::head {

/// Of each head, as it was started. 0: no bound.
struct PoolBounds {
  /// What one pool may keep in the store: bytes of arguments of jobs without an outcome, of outcomes that nobody has
  /// taken, and of values of keys.
  std::uint64_t bytes_max = 0;
  std::uint64_t pools_max = 0;      ///< so many named pools at once
  std::chrono::seconds key_ttl{0};  ///< so long after it came the value of a key is forgotten
  /// No bound: entries of a journal that tell nothing any more are erased when they are so many, or large.
  std::size_t dead_entries_max = limits::dead_entries_max;
};

}  // namespace dc::head

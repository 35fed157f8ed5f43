// What a result takes of the windows that keep results for a slow client from piling up; see
// limits::result_window_bytes. Head and node count alike.
#pragma once

#include <cstdint>

#include "core/job.hpp"
#include "core/limits.hpp"

namespace dc {

/// Texts count as bytes of the pool.
inline std::uint64_t result_cost(const Outcome& outcome) {
  std::uint64_t cost = limits::result_overhead_bytes + outcome.payload.size();
  if (outcome.error) cost += outcome.error->message.size() + outcome.error->traceback.size();
  return cost;
}

}  // namespace dc

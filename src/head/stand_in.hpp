// Small payloads of jobs and outcomes beside the entry that tells them: which lie there, and what stands for them when
// the store has it.
#pragma once

#include <cstdint>

#include "core/limits.hpp"
#include "core/payload.hpp"
#include "head/head_pool.hpp"

namespace dc::head {

/// It need not stay in memory, and lies beside its entry with its neighbours.
inline bool lies_beside(const Payload& payload) {
  return payload.size() > limits::payload_in_memory_max && payload.size() <= limits::inline_payload_max &&
         !payload.is_elsewhere();
}

/// What stands for a payload, which is one of an entry's, now that this is in the store.
inline Payload stand_in_for(const Payload& payload, std::size_t index, const Pending& kept) {
  if (!kept.offsets.empty()) {
    const std::int64_t offset = kept.offsets[index];
    return offset < 0 ? payload.compact() : kept.stored.back().slice(static_cast<std::size_t>(offset), payload.size());
  }
  const bool alone = payload.size() > limits::inline_payload_max && !kept.stored.empty();
  return alone ? kept.stored.front() : payload;
}

}  // namespace dc::head

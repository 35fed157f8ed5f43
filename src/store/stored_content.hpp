// What stands for a payload that is in the store: its hash and its size. So a log is read and written anew without the
// contents beside it, and whoever needs one of them has it loaded (Store::load).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/payload.hpp"
#include "store/store.hpp"

namespace dc::store {

/// Whose bytes stand in the store under this hash. `size`: theirs, in bytes.
inline Payload stored_content(std::string hash, std::size_t size) {
  return Payload::elsewhere(std::make_shared<const std::string>(std::move(hash)), size);
}

/// The hash, if it is one of these or a part of one, else null.
inline const std::string* stored_hash(const Payload& payload) {
  return payload.is_elsewhere() ? static_cast<const std::string*>(payload.owner().get()) : nullptr;
}

/// Puts what stands for them in the place of the attachments that the store has now; `hashes`: of all, in their order.
inline void stand_in_for_attachments(std::span<Change> changes, std::vector<std::string>&& hashes) {
  auto hash = hashes.begin();
  for (Change& change : changes) {
    if (!change.entry) continue;
    for (Payload& attachment : change.entry->attachments) {
      if (!attachment.is_elsewhere()) attachment = stored_content(std::move(*hash), attachment.size());
      ++hash;
    }
  }
}

}  // namespace dc::store

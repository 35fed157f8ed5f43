// What stands for a payload that is in the store: its hash and its size. So a log is read and written anew without the
// contents beside it, and whoever needs one of them has it loaded (Store::load).
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/payload.hpp"

namespace dc::store {

/// Whose bytes stand in the store under this hash. `size`: theirs, in bytes.
inline Payload stored_content(std::string hash, std::size_t size) {
  return Payload::elsewhere(std::make_shared<const std::string>(std::move(hash)), size);
}

/// The hash, if it is one of these or a part of one, else null.
inline const std::string* stored_hash(const Payload& payload) {
  return payload.is_elsewhere() ? static_cast<const std::string*>(payload.owner().get()) : nullptr;
}

}  // namespace dc::store

// A payload that is in the store already, stood for by its hash: so a log can be read and written anew without the
// contents beside it.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "core/limits.hpp"
#include "core/payload.hpp"

namespace dc::store {

struct StoredContentDeleter {
  void operator()(const std::string* hash) const { delete hash; }
};

/// Has the size of a payload that stands beside its entry, whatever it stands for; nobody may look at its bytes.
inline Payload stored_content(std::string hash) {
  static constexpr std::array<std::byte, limits::inline_payload_max + 1> nothing{};
  return Payload(std::shared_ptr<const std::string>(new std::string(std::move(hash)), StoredContentDeleter{}), nothing);
}

/// The hash, if it is one of these, else null.
inline const std::string* stored_hash(const Payload& payload) {
  if (!std::get_deleter<StoredContentDeleter>(payload.owner())) return nullptr;
  return static_cast<const std::string*>(payload.owner().get());
}

}  // namespace dc::store

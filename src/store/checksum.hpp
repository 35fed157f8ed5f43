// What tells a broken entry from a sound one. Not against malice: the store is trusted.
#pragma once

#include <cstdint>
#include <string_view>

namespace dc::store {

/// FNV-1a over 64 bits.
inline std::uint64_t checksum(std::string_view bytes) {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (const char byte : bytes) sum = (sum ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return sum;
}

}  // namespace dc::store

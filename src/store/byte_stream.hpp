// A connection to a store on the network, below the protocol: a socket here, TLS in net/.
#pragma once

#include <cstddef>
#include <span>

#include "core/result.hpp"

namespace dc::store {

/// Blocks; every call fails with `unreachable` when nothing moves for limits::store_call_timeout.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Writes all of it.
  virtual Result<void> write(std::span<const char> bytes) = 0;
  /// Reads at least one byte.
  virtual Result<std::size_t> read(std::span<char> into) = 0;
};

}  // namespace dc::store

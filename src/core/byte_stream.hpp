// A blocking connection, below any protocol. The store speaks to Redis over it: a plain socket is store/'s, TLS is
// net/'s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/clock.hpp"
#include "core/result.hpp"

namespace dc {

/// Both calls fail with `unreachable` when the connection breaks, or when nothing moves for the timeout that it was
/// made with.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Writes all of it.
  virtual Result<void> write(std::span<const char> bytes) = 0;
  /// Reads at least one byte.
  virtual Result<std::size_t> read(std::span<char> into) = 0;
};

/// Where to make a TLS connection, and whom to believe.
struct TlsTarget {
  std::string host;
  std::uint16_t port{};
  Duration timeout{};     ///< for each step: connecting, the handshake, and every later call
  std::string ca_file;    ///< PEM; empty: the authorities that this machine trusts
  bool insecure = false;  ///< believe anybody
};

/// Implemented by net/, which has OpenSSL. `rejected`: the certificate is not good for this host.
using DialTls = std::function<Result<std::unique_ptr<ByteStream>>(const TlsTarget& target)>;

}  // namespace dc

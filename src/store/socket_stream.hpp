// A plain connection over TCP or a Unix socket.
#pragma once

#include <memory>
#include <string>

#include "core/byte_stream.hpp"

namespace dc::store {

Result<std::unique_ptr<ByteStream>> dial_tcp(const std::string& host, std::uint16_t port, Duration timeout);
Result<std::unique_ptr<ByteStream>> dial_unix(const std::string& path, Duration timeout);

}  // namespace dc::store

// A plain connection over TCP or a Unix socket.
#pragma once

#include <memory>
#include <string>

#include "core/byte_stream.hpp"

namespace dc::store {

Result<std::unique_ptr<ByteStream>> dial_tcp(const std::string& host, std::uint16_t port, Duration timeout);
/// `of_same_user`: a listener of another user is refused (`rejected`) before anything is sent.
Result<std::unique_ptr<ByteStream>> dial_unix(const std::string& path, Duration timeout, bool of_same_user = false);

}  // namespace dc::store

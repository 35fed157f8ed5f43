// A blocking TLS connection to a server with a certificate: for stores, which are not ours. Heads are known by their
// key instead (tls.hpp).
#pragma once

#include "core/byte_stream.hpp"

namespace dc::net {

/// TLS 1.2 or later. The certificate must be good for the host's name or address, unless the target says otherwise.
Result<std::unique_ptr<ByteStream>> dial_tls_stream(const TlsTarget& target);

}  // namespace dc::net

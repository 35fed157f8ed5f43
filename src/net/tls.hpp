// TLS 1.3 by OpenSSL: the head's key, the contexts of both sides, and the fingerprint by which a head is known.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <string>

#include "core/result.hpp"
#include "net/asio.hpp"

namespace boost::asio::ssl {
class context;
}

namespace dc::net {

using TlsContext = std::shared_ptr<asio::ssl::context>;

/// A head's side: its key and self-signed certificate.
struct TlsIdentity {
  TlsContext context;
  std::string fingerprint;
};

/// Reads key and certificate from `file` (PEM), or makes them there with mode 0600 when there is no such file. Fails
/// when others may read the file, or when it cannot be read or written.
Result<TlsIdentity> head_identity(const std::string& file);

/// The connecting side's. It trusts no authority: a head's key is checked by its fingerprint, and its password proof.
TlsContext connecting_context();

/// "sha256:" and 43 characters: the SHA-256 of the peer's public key (SubjectPublicKeyInfo, as RFC 7469 pins it) in
/// base64url.
std::string peer_fingerprint(SSL* ssl);

/// What a password proof on this connection is tied to: the TLS exporter of RFC 9266, 32 bytes.
std::string exporter_binding(SSL* ssl);

}  // namespace dc::net

// A TLS connection of OpenSSL's that frees itself.
#pragma once

#include <openssl/ssl.h>

#include <memory>

namespace dc::net {

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using Ssl = std::unique_ptr<SSL, FreeSsl>;

}  // namespace dc::net

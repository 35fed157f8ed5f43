// See tls_stream.hpp.
#include "net/tls_stream.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <climits>

#include "core/blocking_socket.hpp"
#include "core/check.hpp"
#include "net/ssl.hpp"

namespace dc::net {
namespace {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

std::string reason_of_openssl() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return reason ? reason : "it closed the connection";
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> ignored{};
  return ::inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

Result<Context> make_context(const TlsTarget& target) {
  Context context(SSL_CTX_new(TLS_client_method()));
  DC_CHECK(context);
  DC_CHECK(SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context.get(), target.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (target.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else if (SSL_CTX_load_verify_locations(context.get(), target.ca_file.c_str(), nullptr) != 1) {
    return fail(ErrorCode::invalid,
                fmt::format("cannot read certificates from {} ({})", target.ca_file, reason_of_openssl()));
  }
  return context;
}

class TlsStream : public ByteStream {
 public:
  TlsStream(BlockingSocket socket, Context context, Duration timeout)
      : socket_(std::move(socket)), context_(std::move(context)), ssl_(SSL_new(context_.get())), timeout_(timeout) {
    DC_CHECK(ssl_ && SSL_set_fd(ssl_.get(), socket_.fd()) == 1);
  }

  Result<void> shake_hands(const TlsTarget& target) {
    if (is_address(target.host)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), target.host.c_str());
    } else {
      SSL_set_tlsext_host_name(ssl_.get(), target.host.c_str());
      SSL_set1_host(ssl_.get(), target.host.c_str());
    }
    Result<int> shaken = go_on([&] { return SSL_connect(ssl_.get()); });
    const long verdict = SSL_get_verify_result(ssl_.get());
    if (!target.insecure && verdict != X509_V_OK) {
      return fail(ErrorCode::rejected, fmt::format("its certificate is not believed: {}; for an authority of yours add "
                                                   "?ca=/path/to/ca.pem",
                                                   X509_verify_cert_error_string(verdict)));
    }
    if (!shaken) return shaken.error();
    return boost::outcome_v2::success();
  }

  Result<void> write(std::span<const char> bytes) override {
    while (!bytes.empty()) {
      const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
      BOOST_OUTCOME_TRY(sent, go_on([&] { return SSL_write(ssl_.get(), bytes.data(), size); }));
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    return boost::outcome_v2::success();
  }

  Result<std::size_t> read(std::span<char> into) override {
    const int size = static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX));
    BOOST_OUTCOME_TRY(received, go_on([&] { return SSL_read(ssl_.get(), into.data(), size); }));
    return static_cast<std::size_t>(received);
  }

 private:
  /// Repeats a step of OpenSSL until it is through, waiting for the socket between.
  template <class Step>
  Result<int> go_on(Step step) {
    while (true) {
      ERR_clear_error();
      const int done = step();
      if (done > 0) return done;
      const int error = SSL_get_error(ssl_.get(), done);
      if (error == SSL_ERROR_WANT_READ) {
        BOOST_OUTCOME_TRYV(socket_.wait_readable(timeout_));
      } else if (error == SSL_ERROR_WANT_WRITE) {
        BOOST_OUTCOME_TRYV(socket_.wait_writable(timeout_));
      } else {
        return fail(ErrorCode::unreachable, reason_of_openssl());
      }
    }
  }

  BlockingSocket socket_;
  Context context_;
  Ssl ssl_;
  Duration timeout_;
};

}  // namespace

Result<std::unique_ptr<ByteStream>> dial_tls_stream(const TlsTarget& target) {
  BOOST_OUTCOME_TRY(context, make_context(target));
  BOOST_OUTCOME_TRY(socket, BlockingSocket::connect_tcp(target.host, target.port, target.timeout));
  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(context), target.timeout);
  BOOST_OUTCOME_TRYV(stream->shake_hands(target));
  return stream;
}

}  // namespace dc::net

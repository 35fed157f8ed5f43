// See tls.hpp.
#include "net/tls.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "core/check.hpp"
#include "core/paths.hpp"
#include "net/session.hpp"

namespace dc::net {
namespace {

namespace ssl = asio::ssl;

constexpr const char* cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
/// A stranger chooses among them: of OpenSSL's others ffdhe8192 takes 15 ms of the head's time, these 0.1.
constexpr const char* key_groups = "X25519:P-256";
constexpr const char* fips_key_groups = "P-256";  ///< a machine in that mode knows no other
constexpr std::size_t binding_bytes = 32;         // RFC 9266, section 2
constexpr std::string_view binding_label = "EXPORTER-Channel-Binding";

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;

std::string openssl_says() {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

std::string base64url(std::span<const unsigned char> bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

std::string fingerprint_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  DC_CHECK(size > 0);
  std::array<unsigned char, 32> digest{};
  DC_CHECK(EVP_Digest(der, static_cast<std::size_t>(size), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  OPENSSL_free(der);
  return "sha256:" + base64url(digest);
}

TlsContext make_context(ssl::context::method method) {
  auto context = std::make_shared<ssl::context>(method);
  SSL_CTX* raw = context->native_handle();
  DC_CHECK(SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) == 1);
  DC_CHECK(SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) == 1);
  DC_CHECK(SSL_CTX_set_ciphersuites(raw, cipher_suites) == 1);
  DC_CHECK(SSL_CTX_set1_groups_list(raw, key_groups) == 1 || SSL_CTX_set1_groups_list(raw, fips_key_groups) == 1);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(raw, 0);                  // each connection proves itself anew
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);  // idle connections are to cost little
  return context;
}

// --- The head's key ---------------------------------------------------------------------------------------------

Certificate self_signed(EVP_PKEY* key) {
  Certificate certificate(X509_new());
  X509* x509 = certificate.get();
  std::uint64_t serial = random_id() >> 1;
  DC_CHECK(X509_set_version(x509, X509_VERSION_3) == 1);
  DC_CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), serial) == 1);
  // Nobody looks at the dates: the key is known by its fingerprint. RFC 5280, 4.1.2.5: "no well-defined expiration".
  DC_CHECK(ASN1_TIME_set_string(X509_getm_notBefore(x509), "20200101000000Z") == 1);
  DC_CHECK(ASN1_TIME_set_string(X509_getm_notAfter(x509), "99991231235959Z") == 1);
  X509_NAME* name = X509_get_subject_name(x509);
  const auto* text = reinterpret_cast<const unsigned char*>("distributed-computing head");
  DC_CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1);
  DC_CHECK(X509_set_issuer_name(x509, name) == 1);
  DC_CHECK(X509_set_pubkey(x509, key) == 1);
  DC_CHECK(X509_sign(x509, key, EVP_sha256()) > 0);
  return certificate;
}

Error cannot(const char* what, const std::string& file) {
  return fail(ErrorCode::io, fmt::format("cannot {} the head's key {} ({})", what, file, std::strerror(errno)));
}

/// Written under another name and then renamed: a reader finds all of it or nothing.
Result<void> make_key_file(const std::string& file) {
  const Key key(EVP_EC_gen("P-256"));
  DC_CHECK(key != nullptr);
  const Certificate certificate = self_signed(key.get());
  const Bio memory(BIO_new(BIO_s_mem()));
  DC_CHECK(PEM_write_bio_PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  DC_CHECK(PEM_write_bio_X509(memory.get(), certificate.get()) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);

  const std::string problem = paths::make_private_dir(std::filesystem::path(file).parent_path());
  if (!problem.empty()) return fail(ErrorCode::io, problem);
  const std::string fresh = fmt::format("{}.{}", file, ::getpid());
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return cannot("write", file);
  const bool written = ::write(fd, text, static_cast<std::size_t>(size)) == size && ::fsync(fd) == 0;
  const bool closed = ::close(fd) == 0;
  if (!written || !closed || ::rename(fresh.c_str(), file.c_str()) != 0) {
    const Error error = cannot("write", file);
    ::unlink(fresh.c_str());
    return error;
  }
  return boost::outcome_v2::success();
}

Result<void> check_mode(const std::string& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return cannot("read", file);
  if (status.st_uid == ::geteuid() && (status.st_mode & 077) == 0) return boost::outcome_v2::success();
  return fail(ErrorCode::io,
              fmt::format("the head's key {} is not yours alone: run 'chmod 600 {}', and if others may have "
                          "read it, remove it, so that a new one is made",
                          file, file));
}

}  // namespace

Result<TlsIdentity> head_identity(const std::string& file) {
  if (::access(file.c_str(), F_OK) != 0 && errno == ENOENT) {
    BOOST_OUTCOME_TRYV(make_key_file(file));
  }
  BOOST_OUTCOME_TRYV(check_mode(file));
  auto context = make_context(ssl::context::tlsv13_server);
  SSL_CTX* raw = context->native_handle();
  ERR_clear_error();
  if (SSL_CTX_use_PrivateKey_file(raw, file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_certificate_file(raw, file.c_str(), SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(raw) != 1) {
    return fail(ErrorCode::io,
                fmt::format("the head's key {} cannot be used ({}): remove it, so that a new one is made", file,
                            openssl_says()));
  }
  std::string fingerprint = fingerprint_of(SSL_CTX_get0_certificate(raw));
  return TlsIdentity{std::move(context), std::move(fingerprint)};
}

TlsContext connecting_context() {
  static const TlsContext context = [] {
    auto made = make_context(ssl::context::tlsv13_client);
    made->set_verify_mode(ssl::verify_none);
    return made;
  }();
  return context;
}

std::string peer_fingerprint(SSL* ssl) {
  const Certificate certificate(SSL_get1_peer_certificate(ssl));
  return certificate ? fingerprint_of(certificate.get()) : "";
}

std::string exporter_binding(SSL* ssl) {
  std::string binding(binding_bytes, '\0');
  DC_CHECK(SSL_export_keying_material(ssl, reinterpret_cast<unsigned char*>(binding.data()), binding.size(),
                                      binding_label.data(), binding_label.size(), nullptr, 0, 1) == 1);
  return binding;
}

}  // namespace dc::net

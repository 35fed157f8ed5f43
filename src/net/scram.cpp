// SCRAM-SHA-256(-PLUS) by libgsasl; key derivation by OpenSSL.
#include "net/scram.hpp"

#include <fmt/format.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/check.hpp"

namespace dc::net {
namespace {

// SCRAM wants a user name; there is one password and no users.
constexpr const char* user_name = "dc";
constexpr std::size_t key_bytes = GSASL_HASH_SHA256_SIZE;

std::string hexadecimal(std::string_view bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", static_cast<unsigned char>(byte));
  return text;
}

struct Free {
  void operator()(char* text) const { gsasl_free(text); }
};

std::string base64(std::string_view bytes) {
  char* text = nullptr;
  std::size_t size = 0;
  DC_CHECK(gsasl_base64_to(bytes.data(), bytes.size(), &text, &size) == GSASL_OK);
  const std::unique_ptr<char, Free> owner(text);
  return {text, size};
}

std::string from_base64(std::string_view text) {
  char* bytes = nullptr;
  std::size_t size = 0;
  if (gsasl_base64_from(text.data(), text.size(), &bytes, &size) != GSASL_OK) return "";
  const std::unique_ptr<char, Free> owner(bytes);
  return {bytes, size};
}

/// SCRAM's Hi(), which is PBKDF2 with HMAC-SHA-256, on the password's bytes as they are. libgsasl's own would pass
/// them through SASLprep first, which refuses some and makes others equal.
std::string salted_password(std::string_view password, std::string_view salt, unsigned iterations) {
  std::string salted(key_bytes, '\0');
  DC_CHECK(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()),
                             reinterpret_cast<const unsigned char*>(salt.data()), static_cast<int>(salt.size()),
                             static_cast<int>(iterations), EVP_sha256(), static_cast<int>(salted.size()),
                             reinterpret_cast<unsigned char*>(salted.data())) == 1);
  return salted;
}

/// A libgsasl context with one session in it. Contexts are cheap, and one each needs no lock and no global.
class GsaslSession {
 public:
  GsaslSession(bool client, const std::string& channel_binding) {
    DC_CHECK(gsasl_init(&context_) == GSASL_OK);
    const char* mechanism = channel_binding.empty() ? "SCRAM-SHA-256" : "SCRAM-SHA-256-PLUS";
    const int made = client ? gsasl_client_start(context_, mechanism, &session_)
                            : gsasl_server_start(context_, mechanism, &session_);
    DC_CHECK(made == GSASL_OK);
    if (!channel_binding.empty()) set(GSASL_CB_TLS_EXPORTER, base64(channel_binding));
  }
  ~GsaslSession() {
    gsasl_finish(session_);
    gsasl_done(context_);
  }
  GsaslSession(const GsaslSession&) = delete;
  GsaslSession& operator=(const GsaslSession&) = delete;

  void set(Gsasl_property property, const std::string& value) {
    DC_CHECK(gsasl_property_set(session_, property, value.c_str()) == GSASL_OK);
  }
  [[nodiscard]] std::string get(Gsasl_property property) const {
    const char* value = gsasl_property_fast(session_, property);
    return value ? value : "";
  }
  void on_property(Gsasl_callback_function callback, void* hook) {
    gsasl_session_hook_set(session_, hook);
    gsasl_callback_set(context_, callback);
  }

  /// libgsasl's own code, and its text in `out`.
  int step(std::string_view in, std::string& out) {
    if (in.size() > scram::text_bytes_max || in.find('\0') != in.npos) return GSASL_MECHANISM_PARSE_ERROR;
    char* text = nullptr;
    std::size_t size = 0;
    const int code = gsasl_step(session_, in.data(), in.size(), &text, &size);
    const std::unique_ptr<char, Free> owner(text);
    if (code == GSASL_OK || code == GSASL_NEEDS_MORE) out.assign(text ? text : "", text ? size : 0);
    return code;
  }

 private:
  Gsasl* context_ = nullptr;
  Gsasl_session* session_ = nullptr;
};

Error malformed(int code) {
  return fail(ErrorCode::protocol, fmt::format("the password proof is malformed ({})", gsasl_strerror(code)));
}

}  // namespace

std::string scram::random_salt() {
  std::string salt(salt_bytes, '\0');
  DC_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(salt.data()), static_cast<int>(salt.size())) == 1);
  return salt;
}

std::string password_problem(std::string_view password) {
  if (password.empty()) return "the password is empty: give one";
  if (password.size() > scram::password_bytes_max) {
    return fmt::format("the password is longer than {} bytes", scram::password_bytes_max);
  }
  if (password.find('\0') != password.npos) return "the password holds a NUL byte: choose one without";
  return "";
}

ScramVerifier ScramVerifier::of(std::string_view password, std::string salt, unsigned iterations) {
  const std::string salted = salted_password(password, salt, iterations);
  std::array<char, key_bytes> client_key{};
  std::array<char, key_bytes> server_key{};
  std::array<char, key_bytes> stored_key{};
  DC_CHECK(gsasl_scram_secrets_from_salted_password(GSASL_HASH_SHA256, salted.data(), client_key.data(),
                                                    server_key.data(), stored_key.data()) == GSASL_OK);
  return {iterations, std::move(salt), base64({server_key.data(), key_bytes}), base64({stored_key.data(), key_bytes})};
}

std::string SaltedPasswords::get(std::string_view password, std::string_view salt, unsigned iterations) {
  for (const Entry& entry : entries_) {
    if (entry.password == password && entry.salt == salt && entry.iterations == iterations) return entry.salted;
  }
  ++computed_;
  if (entries_.size() == entries_max) entries_.erase(entries_.begin());
  entries_.push_back(
      {std::string(password), std::string(salt), iterations, hexadecimal(salted_password(password, salt, iterations))});
  return entries_.back().salted;
}

// --- Client -----------------------------------------------------------------------------------------------------

struct ScramClient::Impl {
  Impl(std::string password_, SaltedPasswords& cache_, const std::string& channel_binding)
      : password(std::move(password_)), cache(cache_), gsasl(true, channel_binding) {}

  /// libgsasl asks for the salted password once it has read salt and iterations from the head.
  static int property(Gsasl*, Gsasl_session* session, Gsasl_property wanted) {
    if (wanted != GSASL_SCRAM_SALTED_PASSWORD) return GSASL_NO_CALLBACK;
    auto& self = *static_cast<Impl*>(gsasl_session_hook_get(session));
    const std::string iterations_text = self.gsasl.get(GSASL_SCRAM_ITER);
    const std::string salt = from_base64(self.gsasl.get(GSASL_SCRAM_SALT));
    const unsigned long iterations = std::strtoul(iterations_text.c_str(), nullptr, 10);
    if (iterations < scram::iterations_min || iterations > scram::iterations_max || salt.size() < 8) {
      self.bad_parameters = true;
      return GSASL_NO_CALLBACK;
    }
    self.gsasl.set(GSASL_SCRAM_SALTED_PASSWORD, self.cache.get(self.password, salt, static_cast<unsigned>(iterations)));
    return GSASL_OK;
  }

  std::string password;
  SaltedPasswords& cache;
  bool bad_parameters = false;
  GsaslSession gsasl;
};

ScramClient::ScramClient(std::string password, std::string identity, SaltedPasswords& cache,
                         std::string channel_binding)
    : impl_(std::make_unique<Impl>(std::move(password), cache, channel_binding)) {
  impl_->gsasl.set(GSASL_AUTHID, user_name);
  impl_->gsasl.set(GSASL_AUTHZID, identity);
  impl_->gsasl.on_property(Impl::property, impl_.get());
}
ScramClient::~ScramClient() = default;
ScramClient::ScramClient(ScramClient&&) noexcept = default;

Result<std::string> ScramClient::first() {
  std::string out;
  const int code = impl_->gsasl.step("", out);
  if (code != GSASL_NEEDS_MORE) return malformed(code);
  return out;
}

Result<std::string> ScramClient::answer(std::string_view server_first) {
  std::string out;
  const int code = impl_->gsasl.step(server_first, out);
  if (impl_->bad_parameters) {
    return fail(ErrorCode::protocol, "the head asks for a password proof with unsound parameters");
  }
  if (code != GSASL_NEEDS_MORE) return malformed(code);
  return out;
}

Result<void> ScramClient::finish(std::string_view server_final) {
  std::string out;
  if (impl_->gsasl.step(server_final, out) != GSASL_OK) {
    return fail(ErrorCode::rejected, "the head could not prove that it knows the password: it may be an impostor");
  }
  return boost::outcome_v2::success();
}

// --- Server -----------------------------------------------------------------------------------------------------

struct ScramServer::Impl {
  explicit Impl(const std::string& channel_binding) : gsasl(false, channel_binding) {}
  GsaslSession gsasl;
};

ScramServer::ScramServer(const ScramVerifier& verifier, std::string channel_binding)
    : impl_(std::make_unique<Impl>(channel_binding)) {
  impl_->gsasl.set(GSASL_SCRAM_ITER, std::to_string(verifier.iterations));
  impl_->gsasl.set(GSASL_SCRAM_SALT, base64(verifier.salt));
  impl_->gsasl.set(GSASL_SCRAM_SERVERKEY, verifier.server_key);
  impl_->gsasl.set(GSASL_SCRAM_STOREDKEY, verifier.stored_key);
}
ScramServer::~ScramServer() = default;
ScramServer::ScramServer(ScramServer&&) noexcept = default;

Result<std::string> ScramServer::answer(std::string_view client_first) {
  if (client_first.empty()) return malformed(GSASL_MECHANISM_PARSE_ERROR);  // libgsasl would ask again
  std::string out;
  const int code = impl_->gsasl.step(client_first, out);
  if (code != GSASL_NEEDS_MORE) return malformed(code);
  return out;
}

Result<std::string> ScramServer::finish(std::string_view client_final) {
  std::string out;
  const int code = impl_->gsasl.step(client_final, out);
  if (code == GSASL_OK) return out;
  if (code == GSASL_MECHANISM_PARSE_ERROR) return malformed(code);
  return fail(ErrorCode::rejected, "the password is wrong: use the one that the head was started with");
}

std::string ScramServer::identity() const { return impl_->gsasl.get(GSASL_AUTHZID); }

}  // namespace dc::net

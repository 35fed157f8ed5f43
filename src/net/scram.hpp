// The password proof: SCRAM-SHA-256 (RFC 5802, 7677) by libgsasl. Both sides prove that they know the password, which
// never travels. Pure: texts in, texts out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace dc::net {

namespace scram {
inline constexpr unsigned iterations = 100'000;
/// All heads ask for as many. One that asks for fewer wants to make guessing cheap, one that asks for more to keep us
/// busy.
inline constexpr unsigned iterations_min = iterations;
inline constexpr unsigned iterations_max = 1'000'000;
inline constexpr std::size_t password_bytes_max = 64 << 10;
inline constexpr std::size_t salt_bytes = 16;
std::string random_salt();
/// One step's text. Ours are below 300 bytes.
inline constexpr std::size_t text_bytes_max = 4 << 10;
}  // namespace scram

/// A sentence about why `password` cannot serve, or an empty string. Any bytes do, exactly as they are and without
/// normalisation, except none at all, more than the limit, and NUL (which the key derivation cannot tell from its
/// padding).
std::string password_problem(std::string_view password);

/// What the head keeps instead of the password.
struct ScramVerifier {
  unsigned iterations = 0;
  std::string salt;        ///< raw bytes
  std::string server_key;  ///< base64, as libgsasl reads it (its manual says hexadecimal)
  std::string stored_key;  ///< base64
  static ScramVerifier of(std::string_view password, std::string salt, unsigned iterations = scram::iterations);
};

/// Salted passwords that were computed before: ~30 ms each. Kept by whoever connects again and again.
class SaltedPasswords {
 public:
  /// In hexadecimal.
  std::string get(std::string_view password, std::string_view salt, unsigned iterations);
  /// How many were computed rather than remembered.
  [[nodiscard]] std::size_t computed() const { return computed_; }

 private:
  struct Entry {
    std::string password, salt;
    unsigned iterations = 0;
    std::string salted;
  };
  static constexpr std::size_t entries_max = 4;  // a head could send a new salt every time
  std::vector<Entry> entries_;
  std::size_t computed_ = 0;
};

/// With `channel_binding` (the TLS exporter value, raw bytes) the proof is SCRAM-SHA-256-PLUS and holds only on that
/// very TLS connection; empty: no binding. Both sides must do the same.
class ScramClient {
 public:
  /// `identity` is proved along with the password (SCRAM's authorisation identity). `cache` outlives this object.
  ScramClient(std::string password, std::string identity, SaltedPasswords& cache, std::string channel_binding = {});
  ~ScramClient();
  ScramClient(ScramClient&&) noexcept;

  Result<std::string> first();
  Result<std::string> answer(std::string_view server_first);
  /// Succeeds when the head has proved that it knows the password.
  Result<void> finish(std::string_view server_final);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class ScramServer {
 public:
  explicit ScramServer(const ScramVerifier& verifier, std::string channel_binding = {});
  ~ScramServer();
  ScramServer(ScramServer&&) noexcept;

  Result<std::string> answer(std::string_view client_first);
  /// The server's final text when the client has proved the password; ErrorCode::rejected when it has not.
  Result<std::string> finish(std::string_view client_final);
  /// What the client claims to be; proved once finish() succeeded.
  [[nodiscard]] std::string identity() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dc::net

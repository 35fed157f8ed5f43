// Hashes and random numbers, from OpenSSL.
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "core/check.hpp"
#include "net/session.hpp"

namespace dc::net {

std::string content_hash(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  DC_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * size);
  for (unsigned int i = 0; i < size; ++i) {
    text.push_back(digits[digest[i] >> 4]);
    text.push_back(digits[digest[i] & 15]);
  }
  return text;
}

std::uint64_t pool_id(std::string_view name) {
  constexpr std::size_t digits_of_id = 16;
  const std::string digest = content_hash(std::as_bytes(std::span(name)));
  return std::stoull(digest.substr(0, digits_of_id), nullptr, 16);
}

std::uint64_t random_id() {
  std::uint64_t id = 0;
  while (id == 0) DC_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&id), sizeof id) == 1);
  return id;
}

}  // namespace dc::net

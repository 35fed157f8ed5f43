// Hashes and random numbers, from OpenSSL.
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.hpp"
#include "core/fd.hpp"
#include "net/session.hpp"

namespace dc::net {
namespace {

std::string hex_digits(std::span<const unsigned char> digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.size());
  for (const unsigned char byte : digest) {
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 15]);
  }
  return text;
}

}  // namespace

std::string content_hash(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  DC_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
  return hex_digits({digest.data(), size});
}

std::string content_hash_of_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0) return {};
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  DC_CHECK(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1);
  std::vector<unsigned char> buffer(std::size_t{1} << 20);
  ssize_t size = 0;
  while ((size = ::read(file.get(), buffer.data(), buffer.size())) != 0) {
    if (size < 0 && errno != EINTR) return {};
    if (size > 0) DC_CHECK(EVP_DigestUpdate(context.get(), buffer.data(), static_cast<std::size_t>(size)) == 1);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  DC_CHECK(EVP_DigestFinal_ex(context.get(), digest.data(), &length) == 1);
  return hex_digits({digest.data(), length});
}

std::uint64_t log_of_pool(std::string_view name) {
  constexpr std::size_t digits_of_log = 16;
  const std::string digest = content_hash(std::as_bytes(std::span(name)));
  return std::stoull(digest.substr(0, digits_of_log), nullptr, 16);
}

std::uint64_t random_id() {
  std::uint64_t id = 0;
  while (id == 0) DC_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&id), sizeof id) == 1);
  return id;
}

}  // namespace dc::net

// How the fuzz targets read an input: pieces one after the other, each with its length in front (two bytes, little
// endian; what is missing at the end is left out).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace dc::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::size_t number() {
    const std::size_t low = byte();
    return low | static_cast<std::size_t>(byte()) << 8;
  }
  std::string_view piece() {
    const std::size_t size = number();
    const std::string_view piece = rest_.substr(0, size);
    rest_.remove_prefix(piece.size());
    return piece;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

/// What Input::piece() reads.
inline std::string piece_of(std::string_view text) {
  return std::string{static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)} + std::string(text);
}

/// Bytes in memory of their own, so that reading beyond their end is noticed.
struct Owned {
  explicit Owned(std::string_view text) : memory(new std::byte[text.size()]), size(text.size()) {
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), size, memory.get());
  }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {memory.get(), size}; }
  std::shared_ptr<std::byte[]> memory;
  std::size_t size;
};

/// A promise is broken: the fuzzer keeps the input.
[[noreturn]] inline void broken(std::string_view promise) {
  std::fprintf(stderr, "broken: %.*s\n", static_cast<int>(promise.size()), promise.data());
  std::abort();
}

}  // namespace dc::fuzz

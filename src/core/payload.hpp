// Payload bytes: a reference-counted, immutable slice. Moved and shared from socket to socket, never copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.hpp"
#include "core/limits.hpp"

namespace dc {

/// Bytes that several holders share. A slice may pin a larger buffer (the frame that it arrived in): holders that
/// keep one for long call compact().
class Payload {
 public:
  Payload() = default;

  /// Takes over `text` without copying its bytes.
  explicit Payload(std::string text) {
    auto owner = std::make_shared<std::string>(std::move(text));
    bytes_ = {reinterpret_cast<const std::byte*>(owner->data()), owner->size()};
    owner_ = std::move(owner);
  }

  /// Shares `bytes`, which live as long as `owner` does.
  Payload(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}

  /// A copy of `bytes` in a buffer of its own.
  static Payload copy(std::span<const std::byte> bytes) {
    return Payload(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  static Payload copy(std::string_view text) { return Payload(std::string(text)); }

  /// The whole of a memory file, mapped at `bytes`; `fd` stays open as long as `owner` lives.
  static Payload in_memory_file(std::shared_ptr<const void> owner, std::span<const std::byte> bytes, int fd) {
    Payload payload(std::move(owner), bytes);
    payload.memory_file_ = fd;
    return payload;
  }

  /// Stands for `size` bytes that are elsewhere; `place` says where, to whoever made it (store/stored_content.hpp), and
  /// they begin so many bytes behind that.
  static Payload elsewhere(std::shared_ptr<const void> place, std::size_t size, std::uint32_t offset = 0) {
    Payload payload;
    payload.offset_ = offset;
    payload.owner_ = std::move(place);
    payload.bytes_ = {static_cast<const std::byte*>(nullptr), size};
    payload.memory_file_ = elsewhere_mark;
    return payload;
  }

  /// `size` bytes of these from `offset` on, which must be here or there. One that is elsewhere is so with its place,
  /// and with an offset below 4 GiB.
  [[nodiscard]] Payload slice(std::size_t offset, std::size_t size) const {
    DC_CHECK(offset <= bytes_.size() && size <= bytes_.size() - offset);
    if (!is_elsewhere()) return Payload(owner_, bytes_.subspan(offset, size));
    DC_CHECK(offset_ + offset <= UINT32_MAX);
    return elsewhere(owner_, size, static_cast<std::uint32_t>(offset_ + offset));
  }

  /// Not of one whose bytes are elsewhere.
  [[nodiscard]] std::span<const std::byte> bytes() const {
    DC_CHECK(!is_elsewhere());
    return bytes_;
  }
  [[nodiscard]] const char* data() const { return reinterpret_cast<const char*>(bytes().data()); }
  /// Its bytes have to be brought here before anybody looks at them; all else is known of it.
  [[nodiscard]] bool is_elsewhere() const { return memory_file_ == elsewhere_mark; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::string_view view() const { return {data(), size()}; }
  /// Of one that is elsewhere: it begins so many bytes behind its place.
  [[nodiscard]] std::size_t offset() const { return offset_; }
  /// Keeps the bytes alive, or knows where they are.
  [[nodiscard]] const std::shared_ptr<const void>& owner() const { return owner_; }
  /// File descriptor of the memory file that these bytes are the whole of, or -1.
  [[nodiscard]] int memory_file() const { return is_elsewhere() ? -1 : memory_file_; }

  /// The same bytes in a buffer that holds nothing else, for whoever keeps them for long. Only a small payload is
  /// copied: a large one never stood in a message, so that its buffer is its own already.
  [[nodiscard]] Payload compact() const {
    return is_elsewhere() || size() > limits::inline_payload_max ? *this : copy(bytes_);
  }

  friend bool operator==(const Payload& a, const Payload& b) { return a.view() == b.view(); }

 private:
  static constexpr int elsewhere_mark = -2;  ///< in the place of a descriptor

  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
  int memory_file_ = -1;
  std::uint32_t offset_ = 0;
};
static_assert(sizeof(Payload) == 40, "there may be millions");

/// An update whose payload begins like this is none of the user's: it defines classes and functions of the client's
/// script on the workers. Later clients of a named pool may ask for it (wire::SeeDefinitions).
inline constexpr std::string_view definitions_mark("\0DCDEF1", 8);

}  // namespace dc

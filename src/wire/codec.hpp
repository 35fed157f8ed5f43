// MessagePack to variants and back, for both message lists: session messages and worker messages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "wire/adaptors.hpp"

namespace dc::wire {

/// A std::string that msgpack can write to.
struct StringSink {
  std::string& out;
  void write(const char* data, std::size_t size) { out.append(data, size); }
};

/// Sets a thread-local scope for the life of this object.
template <class Scope>
class Scoped {
 public:
  explicit Scoped(Scope scope) : scope_(std::move(scope)), before_(Scope::current) { Scope::current = &scope_; }
  ~Scoped() { Scope::current = before_; }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;

 private:
  Scope scope_;
  const Scope* before_;
};

/// Appends [type, field, field, ...]; payloads over limits::inline_payload_max go to `external`.
template <class Variant>
void encode_message(const Variant& message, std::string& out, std::vector<Payload>& external) {
  const Scoped<EncodeScope> scope(EncodeScope{&external});
  StringSink sink{out};
  msgpack::packer<StringSink> packer(sink);
  std::visit(
      [&](const auto& body) {
        packer.pack_array(2);
        packer.pack_uint8(std::decay_t<decltype(body)>::type);
        packer.pack(body);
      },
      message);
}

/// The alternative whose type number stands first in `object`. Throws msgpack errors and std::runtime_error.
template <class... Alternatives>
void decode_message(const msgpack::object& object, std::variant<Alternatives...>& out) {
  if (object.type != msgpack::type::ARRAY || object.via.array.size != 2) throw msgpack::type_error();
  const auto type = object.via.array.ptr[0].as<std::uint8_t>();
  const msgpack::object& body = object.via.array.ptr[1];
  const bool known =
      ((type == Alternatives::type && (body.convert(out.template emplace<Alternatives>()), true)) || ...);
  if (!known) throw std::runtime_error("unknown message type " + std::to_string(type));
}

/// Whether a receiver takes the arrays in these messages.
inline bool all_arrays_fit(std::string_view text) {
  struct Walk : msgpack::null_visitor {
    bool fit = true;
    bool start_array(std::uint32_t elements) { return fit &= elements <= limits::array_size_max; }
  } walk;
  std::size_t offset = 0;
  return msgpack::parse(text.data(), text.size(), offset, walk) && walk.fit;
}

/// Reads MessagePack objects one after the other out of a buffer, without copying strings and binaries.
class ObjectReader {
 public:
  /// Arrays of more than `array_max` elements, or of more than the buffer has room for, are refused before memory is
  /// taken for them.
  ObjectReader(const char* data, std::size_t size, std::size_t array_max = limits::array_size_max)
      : data_(data), size_(size), array_max_(std::min(array_max, size)) {}
  [[nodiscard]] bool at_end() const { return offset_ == size_; }
  [[nodiscard]] std::size_t offset() const { return offset_; }
  /// The next object; it lives until the following call. Throws msgpack errors.
  const msgpack::object& next() {
    zone_.clear();
    object_ = msgpack::unpack(
        zone_, data_, size_, offset_, [](msgpack::type::object_type, std::size_t, void*) { return true; }, nullptr,
        unpack_limit());
    return object_;
  }

 private:
  [[nodiscard]] msgpack::unpack_limit unpack_limit() const {
    // No message has maps, or nests deeper than eight. Texts and extensions (adaptors.hpp) lie in the buffer.
    return {array_max_, 0, size_, size_, size_, 8};
  }
  const char* data_;
  std::size_t size_;
  std::size_t array_max_;
  std::size_t offset_ = 0;
  msgpack::zone zone_{8192};
  msgpack::object object_;
};

}  // namespace dc::wire

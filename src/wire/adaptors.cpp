// The scopes that carry payloads past msgpack's convert() and pack(), which have no room for an argument.
#include "wire/adaptors.hpp"

#include <algorithm>

namespace dc::wire {
namespace {

constexpr std::size_t slice_body_bytes = 9;

std::string slice_body(std::uint8_t index, std::size_t offset, std::size_t size) {
  std::string body(1, static_cast<char>(index));
  for (const std::size_t number : {offset, size}) {
    for (int shift = 24; shift >= 0; shift -= 8) body.push_back(static_cast<char>(number >> shift));
  }
  return body;
}

std::size_t number_at(std::string_view body, std::size_t at) {
  std::size_t number = 0;
  for (const char byte : body.substr(at, 4)) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

/// Of a part of what is elsewhere: several of one place are told by one index.
std::uint8_t index_of_place(std::vector<Payload>& external, const Payload& payload) {
  const auto known = std::find_if(external.begin(), external.end(), [&](const Payload& other) {
    return other.is_elsewhere() && other.owner() == payload.owner();
  });
  const auto index = static_cast<std::uint8_t>(known - external.begin());
  if (known == external.end()) external.push_back(payload);
  return index;
}

}  // namespace

thread_local const DecodeScope* DecodeScope::current = nullptr;
thread_local const EncodeScope* EncodeScope::current = nullptr;

std::optional<Outside> put_outside(const EncodeScope& scope, const Payload& payload) {
  if (scope.bundle) scope.bundle->offsets.push_back(-1);
  if (payload.size() > limits::inline_payload_max) {
    const auto index = static_cast<char>(scope.external->size());
    scope.external->push_back(payload);
    return Outside{external_payload_type, std::string(1, index)};
  }
  if (payload.is_elsewhere()) {
    return Outside{slice_type, slice_body(index_of_place(*scope.external, payload), payload.offset(), payload.size())};
  }
  if (!scope.bundle || payload.size() <= limits::payload_in_memory_max) return std::nullopt;
  const std::size_t offset = scope.bundle->bytes.size();
  scope.bundle->bytes += payload.view();
  scope.bundle->offsets.back() = static_cast<std::int64_t>(offset);
  return Outside{slice_type, slice_body(bundle_index, offset, payload.size())};
}

std::optional<Payload> from_outside(const DecodeScope& scope, std::int8_t type, std::string_view body) {
  if (!scope.external || scope.external->empty() || body.empty()) return std::nullopt;
  const std::vector<Payload>& external = *scope.external;
  const auto index = static_cast<std::uint8_t>(body[0]);
  if (type == external_payload_type && body.size() == 1 && index < external.size()) return external[index];
  if (!scope.slices || type != slice_type || body.size() != slice_body_bytes) return std::nullopt;
  if (index != bundle_index && index >= external.size()) return std::nullopt;
  const Payload& whole = index == bundle_index ? external.back() : external[index];
  const std::size_t offset = number_at(body, 1), size = number_at(body, 5);
  if (offset > whole.size() || size > whole.size() - offset) return std::nullopt;
  return whole.slice(offset, size);
}

}  // namespace dc::wire

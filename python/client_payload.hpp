// Payload bytes from Python objects to the client, with one copy; and its waits, without the interpreter's lock.
#pragma once

#include <nanobind/nanobind.h>

#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "payload.hpp"

namespace dc::python {

/// The interpreter's lock is released for as long as this lives. Counted, because a thread that comes back for the lock
/// after the interpreter has ended is torn down in the middle of C++ code: whoever ends the interpreter waits for zero.
class Unlocked {
 public:
  Unlocked() { ++count; }
  ~Unlocked() {
    released_.reset();
    --count;
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  static inline int count = 0;  ///< guarded by the lock

 private:
  std::optional<nb::gil_scoped_release> released_{std::in_place};
};

inline constexpr std::size_t copy_unlocked_min = std::size_t{1} << 20;  ///< copies from here on release the lock

/// `fill(memory)` writes the payload.
template <class Fill>
Payload filled(std::size_t size, const Fill& fill) {
  const Memory memory(size);
  std::optional<Unlocked> unlocked;
  if (size >= copy_unlocked_min) unlocked.emplace();
  fill(memory.bytes.get());
  return memory.payload();
}

inline Payload copied(std::span<const std::byte> bytes) {
  return filled(bytes.size(), [&](std::byte* memory) {
    if (!bytes.empty()) std::memcpy(memory, bytes.data(), bytes.size());
  });
}

/// The layout of _payload.py: a bare pickle for one part, unless there is a `mark` of its own.
inline Payload payload_of_parts(nb::handle list, std::string_view mark = magic) {
  const Parts parts(list, mark);
  if (parts.views().size() == 1 && mark == magic) return copied(parts.views()[0].bytes());
  return filled(parts.size(), [&](std::byte* memory) {
    std::size_t end = 0;
    parts.write_with([&](std::size_t offset, std::span<const std::byte> bytes) {
      std::memset(memory + end, 0, offset - end);  // the gap for alignment
      if (!bytes.empty()) std::memcpy(memory + offset, bytes.data(), bytes.size());
      end = offset + bytes.size();
    });
  });
}

inline Payload payload_of(nb::handle item) {
  if (!PyBytes_CheckExact(item.ptr())) return payload_of_parts(item);
  const auto bytes = bytes_of(item);
  return bytes.size() < copy_unlocked_min ? Payload::copy(bytes) : copied(bytes);
}

}  // namespace dc::python

// Payload bytes between Python objects and the client: one copy in, none out.
#pragma once

#include <nanobind/nanobind.h>

#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/limits.hpp"
#include "core/payload.hpp"

namespace dc::python {

namespace nb = nanobind;

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

/// Results below this size become `bytes`; larger ones are handed out without a copy of their own.
inline constexpr std::size_t bytes_object_max = 4096;
inline constexpr std::size_t copy_unlocked_min = std::size_t{1} << 20;  ///< copies from here on release the lock

/// Memory for payloads whose parts stand on multiples of `alignment`.
inline constexpr std::size_t alignment = 64;

struct Memory {
  std::shared_ptr<std::byte> bytes;
  std::size_t size;
  explicit Memory(std::size_t size)
      : bytes(static_cast<std::byte*>(::operator new (size, std::align_val_t{alignment})),
              [](std::byte* memory) { ::operator delete (memory, std::align_val_t{alignment}); }),
        size(size) {}
  [[nodiscard]] Payload payload() const { return Payload(bytes, {bytes.get(), size}); }
};

/// A contiguous view of a Python object's bytes.
class View {
 public:
  explicit View(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
  }
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View() { PyBuffer_Release(&view_); }
  [[nodiscard]] const char* data() const { return static_cast<const char*>(view_.buf); }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(view_.len); }

 private:
  Py_buffer view_{};
};

struct Copy {
  std::size_t offset;
  const char* data;
  std::size_t size;
};

inline Payload copy_all(const std::vector<Copy>& copies, std::size_t size) {
  const Memory memory(size);
  const auto copy = [&] {
    std::size_t end = 0;
    for (const Copy& one : copies) {
      std::memset(memory.bytes.get() + end, 0, one.offset - end);  // the gap for alignment
      if (one.size != 0) std::memcpy(memory.bytes.get() + one.offset, one.data, one.size);
      end = one.offset + one.size;
    }
  };
  if (size < copy_unlocked_min) {
    copy();
  } else {
    const Unlocked unlocked;
    copy();
  }
  return memory.payload();
}

/// The layout of _payload.py: a bare pickle for one part, else magic, count, sizes, and the parts at multiples of 64.
inline constexpr char magic[] = "\0DCPY01";  // eight bytes with the closing zero

/// `mark`: the first eight bytes; with another one than `magic` a single part has this layout too.
inline Payload payload_of_parts(nb::handle parts, std::string_view mark = {magic, sizeof magic}) {
  std::deque<View> views;
  for (nb::handle part : nb::cast<nb::list>(parts)) views.emplace_back(part);
  if (views.size() == 1 && mark == std::string_view(magic, sizeof magic))
    return copy_all({{0, views[0].data(), views[0].size()}}, views[0].size());
  std::string header(mark);
  const auto append = [&header](std::uint64_t number) { header.append(reinterpret_cast<const char*>(&number), 8); };
  append(views.size());
  for (const View& view : views) append(view.size());
  std::vector<Copy> copies{{0, header.data(), header.size()}};
  std::size_t end = header.size();
  for (const View& view : views) {
    const std::size_t start = (end + alignment - 1) / alignment * alignment;
    copies.push_back({start, view.data(), view.size()});
    end = start + view.size();
  }
  return copy_all(copies, end);
}

inline Payload payload_of(nb::handle item) {
  if (PyBytes_CheckExact(item.ptr())) {
    const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(item.ptr()));
    const char* data = PyBytes_AS_STRING(item.ptr());
    if (size < copy_unlocked_min) return Payload(std::string(data, size));
    return copy_all({{0, data, size}}, size);
  }
  return payload_of_parts(item);
}

/// A result's bytes as an object with the buffer protocol.
struct Buffer {
  Payload payload;
};

inline int buffer_get(PyObject* self, Py_buffer* view, int flags) {
  const Payload& payload = nb::inst_ptr<Buffer>(nb::handle(self))->payload;
  // The bytes belong to this object alone: nobody else holds a payload that was delivered.
  void* data = const_cast<char*>(payload.data());
  return PyBuffer_FillInfo(view, self, data, static_cast<Py_ssize_t>(payload.size()), 0, flags);
}

inline PyType_Slot buffer_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(buffer_get)}, {0, nullptr}};

inline nb::object object_of(Payload&& payload) {
  if (payload.size() < bytes_object_max) return nb::bytes(payload.data(), payload.size());
  if (payload.size() <= dc::limits::inline_payload_max) {  // a slice of a frame, which it would pin
    payload = copy_all({{0, payload.data(), payload.size()}}, payload.size());
  }
  return nb::cast(Buffer{std::move(payload)});
}

}  // namespace dc::python

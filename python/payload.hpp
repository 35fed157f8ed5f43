// Payload bytes and Python objects, for both modules: the layout of _payload.py, and buffers without a copy.
#pragma once

#include <nanobind/nanobind.h>

#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/limits.hpp"
#include "core/payload.hpp"

namespace dc::python {

namespace nb = nanobind;

/// Payloads below this size become `bytes`; larger ones are handed out without a copy of their own.
inline constexpr std::size_t bytes_object_max = 4096;
/// Parts of a payload stand on multiples of this.
inline constexpr std::size_t alignment = 64;
/// With which a payload of several parts begins.
inline constexpr std::string_view magic("\0DCPY01", 8);

/// Memory for payloads whose parts stand on multiples of `alignment`.
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
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

/// The parts that _payload.dumps() returned, and where they will stand: mark, count, sizes, then each at the next
/// multiple of `alignment`.
class Parts {
 public:
  explicit Parts(nb::handle list, std::string_view mark = magic) : header_(mark) {
    for (nb::handle part : nb::cast<nb::list>(list)) views_.emplace_back(part);
    append(views_.size());
    for (const View& view : views_) append(view.bytes().size());
    size_ = header_.size();
    for (const View& view : views_) {
      offsets_.push_back((size_ + alignment - 1) / alignment * alignment);
      size_ = offsets_.back() + view.bytes().size();
    }
  }
  [[nodiscard]] std::size_t size() const { return size_; }  ///< of the whole payload
  [[nodiscard]] const std::deque<View>& views() const { return views_; }
  /// Calls write(offset, bytes) for the header and each part, in order; needs no lock of the interpreter.
  template <class Write>
  void write_with(const Write& write) const {
    write(0, std::as_bytes(std::span(header_)));
    for (std::size_t i = 0; i < views_.size(); ++i) write(offsets_[i], views_[i].bytes());
  }

 private:
  void append(std::uint64_t number) { header_.append(reinterpret_cast<const char*>(&number), sizeof number); }
  std::string header_;
  std::deque<View> views_;
  std::vector<std::size_t> offsets_;
  std::size_t size_{};
};

/// The bytes of a `bytes` object.
inline std::span<const std::byte> bytes_of(nb::handle object) {
  return std::as_bytes(
      std::span(PyBytes_AS_STRING(object.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(object.ptr()))));
}

/// A payload as a Python object with the buffer protocol; the memory lives as long as somebody looks at it.
struct Buffer {
  Payload payload;
};

inline int buffer_get(PyObject* self, Py_buffer* view, int flags) {
  const Payload& payload = nb::inst_ptr<Buffer>(nb::handle(self))->payload;
  // Writable: nobody else holds a payload that was delivered; a memory file is mapped privately.
  void* data = const_cast<char*>(payload.data());
  return PyBuffer_FillInfo(view, self, data, static_cast<Py_ssize_t>(payload.size()), 0, flags);
}

inline PyType_Slot buffer_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(buffer_get)}, {0, nullptr}};

inline void define_payloads(nb::module_& module) {
  nb::class_<Buffer>(module, "Buffer", nb::type_slots(buffer_slots), "Bytes of a payload, shared without a copy.")
      .def("__len__", [](const Buffer& buffer) { return buffer.payload.size(); });
  const auto bytes = [](std::string_view mark) { return nb::bytes(mark.data(), mark.size()); };
  module.attr("PAYLOAD_LAYOUT") = nb::make_tuple(bytes(magic), bytes(definitions_mark), alignment);
}

inline nb::object object_of(const Payload& payload) {
  if (payload.size() < bytes_object_max) return nb::bytes(payload.data(), payload.size());
  // A large one is alone in its memory; a small one would keep the whole frame or packet that it came in.
  if (payload.size() > limits::inline_payload_max) return nb::cast(Buffer{payload});
  const Memory memory(payload.size());
  std::memcpy(memory.bytes.get(), payload.data(), payload.size());
  return nb::cast(Buffer{memory.payload()});
}

}  // namespace dc::python

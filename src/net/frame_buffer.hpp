// Where one incoming frame is put together: a dynamic buffer as Beast wants it, which ends in one allocation of the
// frame's very size. Beast asks for a first piece before it knows the size, then for all the rest at once.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>

#include "core/limits.hpp"
#include "net/asio.hpp"
#include "net/event_loop.hpp"

namespace dc::net {

class FrameBuffer {
 public:
  using const_buffers_type = asio::const_buffer;
  using mutable_buffers_type = asio::mutable_buffer;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t max_size() const { return limits::frame_bytes_max; }
  [[nodiscard]] std::size_t capacity() const { return large_ ? large_bytes_ : first_.size(); }
  [[nodiscard]] const_buffers_type data() const { return {memory(), size_}; }

  mutable_buffers_type prepare(std::size_t more) {
    if (size_ + more > max_size()) throw std::length_error("frame too large");
    if (size_ + more > capacity()) grow(size_ + more);
    return {memory() + size_, more};
  }
  void commit(std::size_t bytes) {
    size_ += bytes;
    if (bytes > 0) last_heard_ = EventLoop::now();
  }
  void consume(std::size_t) { size_ = 0; }  // only ever whole

  /// When bytes last arrived; a long frame over a slow line is no silence.
  [[nodiscard]] TimePoint last_heard() const { return last_heard_; }
  void heard() { last_heard_ = EventLoop::now(); }

  struct Frame {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> bytes;
  };
  /// Takes the frame out and is empty again.
  Frame take() {
    if (!large_) grow(size_);
    Frame frame{large_, {large_.get(), size_}};
    large_.reset();
    large_bytes_ = 0;
    size_ = 0;
    return frame;
  }

 private:
  [[nodiscard]] const std::byte* memory() const { return large_ ? large_.get() : first_.data(); }
  std::byte* memory() { return large_ ? large_.get() : first_.data(); }

  void grow(std::size_t bytes) {
    auto larger = std::make_shared_for_overwrite<std::byte[]>(bytes);
    if (size_ > 0) std::memcpy(larger.get(), memory(), size_);
    large_ = std::move(larger);
    large_bytes_ = bytes;
  }

  std::array<std::byte, 1536> first_;  // the size of Beast's first piece
  std::shared_ptr<std::byte[]> large_;
  std::size_t large_bytes_ = 0;
  std::size_t size_ = 0;
  TimePoint last_heard_ = EventLoop::now();
};

}  // namespace dc::net

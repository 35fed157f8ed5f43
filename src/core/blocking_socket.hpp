// A connected socket for code that waits: every wait has a limit.
#pragma once

#include <cstdint>
#include <string>

#include "core/clock.hpp"
#include "core/result.hpp"

namespace dc {

/// Owns the descriptor, which never blocks; close() drops what was not yet sent.
class BlockingSocket {
 public:
  /// Tries the host's addresses one after the other. The errors (`unreachable`) are a bare reason: "Connection
  /// refused".
  static Result<BlockingSocket> connect_tcp(const std::string& host, std::uint16_t port, Duration timeout);
  static Result<BlockingSocket> connect_unix(const std::string& path, Duration timeout);

  BlockingSocket(BlockingSocket&& other) noexcept;
  BlockingSocket& operator=(BlockingSocket&&) = delete;
  ~BlockingSocket();

  [[nodiscard]] int fd() const { return fd_; }
  /// Whether the kernel says that the listener at the other end of this Unix socket runs as our own user.
  [[nodiscard]] bool of_same_user() const;
  [[nodiscard]] Result<void> wait_readable(Duration timeout) const;
  [[nodiscard]] Result<void> wait_writable(Duration timeout) const;

 private:
  explicit BlockingSocket(int fd) : fd_(fd) {}
  Result<void> connect(const void* address, unsigned size, Duration timeout);
  int fd_ = -1;
};

}  // namespace dc

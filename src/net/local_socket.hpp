// The Unix socket by which this user's programs reach a head on this machine.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "core/fd.hpp"
#include "core/result.hpp"

namespace dc::net {

/// Listens; its file goes with it, unless another head has put its own there since.
class LocalSocket {
 public:
  LocalSocket() = default;
  LocalSocket(LocalSocket&& other) noexcept { *this = std::move(other); }
  LocalSocket& operator=(LocalSocket&& other) noexcept;
  ~LocalSocket() { remove_file(); }

  /// Makes the file, which only this user can open; one that a dead head left behind is replaced. Any thread.
  static Result<LocalSocket> open(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  /// The descriptor, for the caller to close; the file stays this object's.
  int release_fd() { return fd_.release(); }
  /// Somebody who cleans up may have removed the file.
  [[nodiscard]] bool file_is_there() const;
  void remove_file();

 private:
  Fd fd_;
  std::string path_;  ///< empty: no file
  dev_t device_{};
  ino_t inode_{};
};

}  // namespace dc::net

// A file that names a running process and is locked by it for as long as it lives.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace dc {

/// Holds an exclusive flock on a file; the file is removed at the end. The lock ends with the process, however it ends.
class LockFile {
 public:
  LockFile() = default;
  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&& other) noexcept;
  ~LockFile();

  struct Taken;
  /// Never waits. Makes the directory (0700) when needed.
  static Taken take(const std::string& path);
  /// Content of the file if some process holds it now.
  static std::optional<std::string> read_owner(const std::string& path);

  /// Replaces the content. Returns a sentence about what is wrong (disk full), or an empty string.
  std::string write(const std::string& content);
  [[nodiscard]] bool held() const { return fd_ >= 0; }
  /// The lock of this object is another process's business now (after fork).
  void leave_to_parent();

 private:
  int fd_ = -1;
  std::string path_;
};

struct LockFile::Taken {
  LockFile lock;        ///< holds when `owner` and `problem` are empty
  std::string owner;    ///< content of the file, when another process holds it
  std::string problem;  ///< a sentence: the file cannot be made
};

}  // namespace dc

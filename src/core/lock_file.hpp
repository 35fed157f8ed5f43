// A file that names a running process and is locked by it for as long as it lives.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace dc {

/// Holds an exclusive flock on a file; the file is removed at the end, if it is still this one. The lock ends with the
/// process, however it ends.
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
  /// Puts the file back, with its content and locked, where a cleaner has removed it or the path is a new one; keeps
  /// one that stands there young, for those who remove by age. False when another process has it now, or it cannot be
  /// made.
  bool keep_at(const std::string& path);
  [[nodiscard]] bool held() const { return fd_ >= 0; }
  /// The lock of this object is another process's business now (after fork).
  void leave_to_parent();

 private:
  [[nodiscard]] bool stands_at(const std::string& path) const;

  int fd_ = -1;
  std::string path_, content_;
};

struct LockFile::Taken {
  LockFile lock;        ///< holds when `owner` and `problem` are empty
  std::string owner;    ///< content of the file, when another process holds it
  std::string problem;  ///< a sentence: the file cannot be made
};

}  // namespace dc

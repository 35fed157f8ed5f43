// See lock_file.hpp.
#include "core/lock_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/paths.hpp"

namespace dc {
namespace {

std::string read_all(int fd) {
  std::array<char, 4096> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

}  // namespace

LockFile::LockFile(LockFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

LockFile& LockFile::operator=(LockFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

LockFile::~LockFile() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
}

void LockFile::leave_to_parent() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

LockFile::Taken LockFile::take(const std::string& path) {
  Taken taken;
  taken.problem = paths::make_private_dir(std::filesystem::path(path).parent_path().string());
  if (!taken.problem.empty()) return taken;
  while (true) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
      taken.problem = fmt::format(
          "cannot make {} ({}): free some space there, or set DISTRIBUTED_COMPUTING_HOME to "
          "another directory",
          path, std::strerror(errno));
      return taken;
    }
    // Somebody who only looks (read_owner) holds the lock for a moment.
    int attempts = 5;
    while (::flock(fd, LOCK_EX | LOCK_NB) != 0 && --attempts > 0) ::usleep(10'000);
    if (attempts == 0) {
      taken.owner = read_all(fd);
      if (taken.owner.empty()) taken.owner = "{}";
      ::close(fd);
      return taken;
    }
    // The owner before us may have removed the file between our open and our lock.
    struct stat ours {
    }, there{};
    if (::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino) {
      taken.lock.fd_ = fd;
      taken.lock.path_ = path;
      return taken;
    }
    ::close(fd);
  }
}

std::optional<std::string> LockFile::read_owner(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  const bool free = ::flock(fd, LOCK_SH | LOCK_NB) == 0;
  std::string content = read_all(fd);
  ::close(fd);
  if (free) return std::nullopt;
  return content;
}

std::string LockFile::write(const std::string& content) {
  if (::ftruncate(fd_, 0) == 0 &&
      ::pwrite(fd_, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size())) {
    return {};
  }
  return fmt::format(
      "cannot write {} ({}): free some space there, or set DISTRIBUTED_COMPUTING_HOME to another directory", path_,
      std::strerror(errno));
}

}  // namespace dc

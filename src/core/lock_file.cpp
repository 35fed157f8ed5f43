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
#include <ctime>
#include <filesystem>
#include <utility>

#include "core/paths.hpp"

namespace dc {
namespace {

constexpr time_t touch_after_s = 3600;

std::string read_all(int fd) {
  std::array<char, 4096> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

}  // namespace

LockFile::LockFile(LockFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), content_(std::move(other.content_)) {}

LockFile& LockFile::operator=(LockFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(content_, other.content_);
  return *this;
}

LockFile::~LockFile() {
  if (fd_ < 0) return;
  if (stands_at(path_)) ::unlink(path_.c_str());  // and not what another process has put there since
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
    bool locked = false;
    while (!(locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0) && errno == EWOULDBLOCK && --attempts > 0) ::usleep(10'000);
    if (!locked && attempts > 0) {
      taken.problem = fmt::format("cannot lock {} ({})", path, std::strerror(errno));
      ::close(fd);
      return taken;
    }
    if (!locked) {
      taken.owner = read_all(fd);
      if (taken.owner.empty()) taken.owner = "{}";
      ::close(fd);
      return taken;
    }
    taken.lock.fd_ = fd;
    taken.lock.path_ = path;
    // The owner before us may have removed the file between our open and our lock.
    if (taken.lock.stands_at(path)) return taken;
    taken.lock = LockFile();
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

bool LockFile::stands_at(const std::string& path) const {
  struct stat ours {
  }, there{};
  return ::fstat(fd_, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev;
}

bool LockFile::keep_at(const std::string& path) {
  if (stands_at(path)) {
    struct stat ours {};
    if (::fstat(fd_, &ours) == 0 && ::time(nullptr) - ours.st_mtime > touch_after_s) ::futimens(fd_, nullptr);
    return true;
  }
  Taken again = take(path);
  if (!again.lock.held() || !again.lock.write(content_).empty()) return false;
  *this = std::move(again.lock);
  return true;
}

std::string LockFile::write(const std::string& content) {
  content_ = content;
  if (::ftruncate(fd_, 0) == 0 &&
      ::pwrite(fd_, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size())) {
    return {};
  }
  return fmt::format(
      "cannot write {} ({}): free some space there, or set DISTRIBUTED_COMPUTING_HOME to another directory", path_,
      std::strerror(errno));
}

}  // namespace dc

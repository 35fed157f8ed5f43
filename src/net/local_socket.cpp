// See local_socket.hpp.
#include "net/local_socket.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "core/paths.hpp"

namespace dc::net {
namespace {

constexpr int local_backlog = 4096;

/// The address of a Unix socket, or nothing when the path does not fit.
std::optional<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) return std::nullopt;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool somebody_answers(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return true;  // cannot know: leave the file alone
  const int connected = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::close(fd);
  return connected == 0 || error == EAGAIN;  // EAGAIN: its queue is full
}

}  // namespace

LocalSocket& LocalSocket::operator=(LocalSocket&& other) noexcept {
  if (this == &other) return *this;
  remove_file();
  fd_ = std::move(other.fd_);
  path_ = std::exchange(other.path_, {});
  device_ = other.device_;
  inode_ = other.inode_;
  return *this;
}

bool LocalSocket::file_is_there() const {
  struct stat file {};
  return !path_.empty() && ::stat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_;
}

void LocalSocket::remove_file() {
  if (file_is_there()) ::unlink(path_.c_str());
  path_.clear();
}

Result<LocalSocket> LocalSocket::open(const std::string& path) {
  const auto address = unix_address(path);
  if (!address) {
    return fail(ErrorCode::invalid, fmt::format("the path {} is too long for a socket: set DISTRIBUTED_COMPUTING_HOME "
                                                "to a shorter directory",
                                                path));
  }
  const std::string problem = paths::make_private_dir(std::filesystem::path(path).parent_path());
  if (!problem.empty()) return fail(ErrorCode::io, problem);
  LocalSocket made;
  made.fd_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto bind_it = [&] {
    return ::bind(made.fd_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0;
  };
  bool bound = bind_it();
  if (!bound && errno == EADDRINUSE) {
    if (somebody_answers(*address)) {
      return fail(ErrorCode::io, fmt::format("a head already serves the socket {}: stop it, or choose another port "
                                             "with --port",
                                             path));
    }
    ::unlink(path.c_str());
    bound = bind_it();
  }
  struct stat file {};
  // Nobody can connect before listen(), so there is no moment with too wide a mode.
  if (!bound || ::chmod(path.c_str(), 0600) != 0 || ::stat(path.c_str(), &file) != 0 ||
      ::listen(made.fd_.get(), local_backlog) != 0) {
    return fail(ErrorCode::io, fmt::format("cannot listen on the socket {} ({})", path, std::strerror(errno)));
  }
  made.path_ = path;
  made.device_ = file.st_dev;
  made.inode_ = file.st_ino;
  return made;
}

}  // namespace dc::net

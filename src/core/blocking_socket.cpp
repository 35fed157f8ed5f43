// See blocking_socket.hpp.
#include "core/blocking_socket.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/name_lookup.hpp"

namespace dc {
namespace {

Result<void> wait_for(int fd, short events, Duration timeout) {
  const TimePoint end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd watched{fd, events, 0};
    const int ready = ::poll(&watched, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
    if (ready > 0) return boost::outcome_v2::success();
    if (ready < 0 && errno != EINTR) return fail(ErrorCode::unreachable, std::strerror(errno));
    if (ready == 0) {
      return fail(ErrorCode::unreachable,
                  fmt::format("no answer for {:.1f} s", std::chrono::duration<double>(timeout).count()));
    }
  }
}

}  // namespace

BlockingSocket::BlockingSocket(BlockingSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

BlockingSocket::~BlockingSocket() {
  if (fd_ < 0) return;
  const linger none{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  ::close(fd_);
}

bool BlockingSocket::of_same_user() const {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == ::geteuid();
}

Result<void> BlockingSocket::wait_readable(Duration timeout) const { return wait_for(fd_, POLLIN, timeout); }
Result<void> BlockingSocket::wait_writable(Duration timeout) const { return wait_for(fd_, POLLOUT, timeout); }

Result<void> BlockingSocket::connect(const void* address, unsigned size, Duration timeout) {
  if (fd_ < 0) return fail(ErrorCode::unreachable, std::strerror(errno));
  if (::connect(fd_, static_cast<const sockaddr*>(address), size) == 0) return boost::outcome_v2::success();
  // A Unix socket whose listener is not accepting answers EAGAIN.
  if (errno != EINPROGRESS) return fail(ErrorCode::unreachable, std::strerror(errno));
  BOOST_OUTCOME_TRYV(wait_writable(timeout));
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return fail(ErrorCode::unreachable, std::strerror(error));
  return boost::outcome_v2::success();
}

Result<BlockingSocket> BlockingSocket::connect_tcp(const std::string& host, std::uint16_t port, Duration timeout) {
  BOOST_OUTCOME_TRY(addresses, look_up(host, port, timeout));
  Error last = fail(ErrorCode::unreachable, "the host has no address");
  for (const SocketAddress& one : addresses) {
    BlockingSocket socket(::socket(one.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const Result<void> connected = socket.connect(one.get(), one.size, timeout);
    if (!connected) {
      last = connected.error();
      continue;
    }
    const int on = 1;
    ::setsockopt(socket.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(socket.fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    return socket;
  }
  return last;
}

Result<BlockingSocket> BlockingSocket::connect_unix(const std::string& path, Duration timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(ErrorCode::unreachable, "the path of the socket is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  BlockingSocket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  BOOST_OUTCOME_TRYV(socket.connect(&address, sizeof address, timeout));
  return socket;
}

}  // namespace dc

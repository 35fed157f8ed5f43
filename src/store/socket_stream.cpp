// See socket_stream.hpp.
#include "store/socket_stream.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "core/blocking_socket.hpp"

namespace dc::store {
namespace {

class SocketStream : public ByteStream {
 public:
  SocketStream(BlockingSocket socket, Duration timeout) : socket_(std::move(socket)), timeout_(timeout) {}

  Result<void> write(std::span<const char> bytes) override {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN) {
        BOOST_OUTCOME_TRYV(socket_.wait_writable(timeout_));
      } else if (errno != EINTR) {
        return fail(ErrorCode::unreachable, std::strerror(errno));
      }
    }
    return boost::outcome_v2::success();
  }

  Result<std::size_t> read(std::span<char> into) override {
    while (true) {
      const ssize_t received = ::recv(socket_.fd(), into.data(), into.size(), 0);
      if (received > 0) return static_cast<std::size_t>(received);
      if (received == 0) return fail(ErrorCode::unreachable, "it closed the connection");
      if (errno == EAGAIN) {
        BOOST_OUTCOME_TRYV(socket_.wait_readable(timeout_));
      } else if (errno != EINTR) {
        return fail(ErrorCode::unreachable, std::strerror(errno));
      }
    }
  }

 private:
  BlockingSocket socket_;
  Duration timeout_;
};

}  // namespace

Result<std::unique_ptr<ByteStream>> dial_tcp(const std::string& host, std::uint16_t port, Duration timeout) {
  BOOST_OUTCOME_TRY(socket, BlockingSocket::connect_tcp(host, port, timeout));
  return std::make_unique<SocketStream>(std::move(socket), timeout);
}

Result<std::unique_ptr<ByteStream>> dial_unix(const std::string& path, Duration timeout, bool of_same_user) {
  BOOST_OUTCOME_TRY(socket, BlockingSocket::connect_unix(path, timeout));
  if (of_same_user && !socket.of_same_user()) return fail(ErrorCode::rejected, "another user's program listens there");
  return std::make_unique<SocketStream>(std::move(socket), timeout);
}

}  // namespace dc::store

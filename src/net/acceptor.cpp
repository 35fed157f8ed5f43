// Opening sockets that listen; see acceptor.hpp.
#include "net/acceptor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <utility>

namespace dc::net {
namespace {

using Protocol = asio::generic::stream_protocol;
using Endpoint = Protocol::endpoint;
using asio::ip::tcp;

constexpr int backlog = 4096;
constexpr int unsent_bytes_max = 256 << 10;
constexpr int free_port_attempts = 20;

Result<tcp::endpoint> endpoint_of(const std::string& address, std::uint16_t port) {
  ErrorNumber error;
  const auto parsed = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, error);
  if (error) {
    return fail(ErrorCode::invalid, fmt::format("cannot listen on '{}': it is not an IP address", address));
  }
  return tcp::endpoint(parsed, port);
}

/// Every step of opening a listening socket; the first error is the result.
ErrorNumber open(Acceptor& acceptor, const tcp::endpoint& endpoint) {
  ErrorNumber error;
  const bool v6 = endpoint.address().is_v6();
  acceptor.open(Protocol(v6 ? AF_INET6 : AF_INET, IPPROTO_TCP), error);
  if (!error) close_on_exec(acceptor.native_handle());
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error && v6) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(Endpoint(endpoint.data(), endpoint.size()), error);
  if (!error) acceptor.listen(backlog, error);
  if (!error) acceptor.native_non_blocking(true, error);
  return error;
}

std::uint16_t port_of(const Acceptor& acceptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(const_cast<Acceptor&>(acceptor).native_handle(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

bool no_ipv6(const tcp::endpoint& endpoint, const ErrorNumber& error) {
  return endpoint.address().is_v6() &&
         (error == asio::error::address_family_not_supported || error.value() == EADDRNOTAVAIL);
}

Error cannot_listen(const std::string& address, std::uint16_t port, const ErrorNumber& error) {
  const std::string where = host_port(address, port);
  if (error == asio::error::address_in_use) {
    return fail(ErrorCode::io, fmt::format("cannot listen on {}: the port is in use. Is a head already running here? "
                                           "Stop it, or choose another port with --port",
                                           where));
  }
  if (error == asio::error::access_denied) {
    return fail(ErrorCode::io, fmt::format("cannot listen on {}: ports below 1024 are for the administrator, choose "
                                           "another one with --port",
                                           where));
  }
  return fail(ErrorCode::io, fmt::format("cannot listen on {} ({})", where, error.message()));
}

struct Listening {
  std::vector<Acceptor> acceptors;
  std::optional<Error> failure;
  bool in_use = false;
};

Listening try_listen(asio::io_context& context, const std::vector<std::string>& addresses,
                     const std::vector<tcp::endpoint>& endpoints, std::uint16_t& port) {
  Listening listening;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    tcp::endpoint endpoint = endpoints[i];
    endpoint.port(port);
    Acceptor acceptor(context.get_executor());
    const ErrorNumber error = open(acceptor, endpoint);
    if (error && no_ipv6(endpoint, error) && endpoints.size() > 1) continue;
    if (error) {
      listening.failure = cannot_listen(addresses[i], port, error);
      listening.in_use = error == asio::error::address_in_use;
      return listening;
    }
    if (port == 0) port = port_of(acceptor);
    listening.acceptors.push_back(std::move(acceptor));
  }
  return listening;
}

}  // namespace

std::string host_port(const std::string& address, std::uint16_t port) {
  return address.find(':') == address.npos ? fmt::format("{}:{}", address, port)
                                           : fmt::format("[{}]:{}", address, port);
}

Result<std::vector<Acceptor>> listen_tcp(asio::io_context& context, const std::vector<std::string>& addresses,
                                         std::uint16_t& port) {
  std::vector<tcp::endpoint> endpoints;
  for (const std::string& address : addresses) {
    BOOST_OUTCOME_TRY(endpoint, endpoint_of(address, port));
    endpoints.push_back(endpoint);
  }
  const std::uint16_t wanted = port;
  for (int i = 1;; ++i) {
    port = wanted;
    Listening listening = try_listen(context, addresses, endpoints, port);
    if (!listening.failure) return std::move(listening.acceptors);
    // The port that was free on the first address may be taken on the second.
    if (wanted != 0 || !listening.in_use || i == free_port_attempts) return *listening.failure;
  }
}

Acceptor acceptor_of(asio::io_context& context, LocalSocket& socket) {
  return {context.get_executor(), Protocol(AF_UNIX, 0), socket.release_fd()};
}

Accepted accept_one(Acceptor& acceptor) {
  const auto failed = [](int number) { return ErrorNumber(number, boost::system::system_category()); };
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  Fd fd;
  do {
    fd = Fd(
        ::accept4(acceptor.native_handle(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  } while (fd.get() < 0 && errno == EINTR);
  if (fd.get() < 0) return failed(errno);
  Socket socket(acceptor.get_executor());
  ErrorNumber error;
  socket.assign(Protocol(from.ss_family, from.ss_family == AF_UNIX ? 0 : IPPROTO_TCP), fd.get(), error);
  if (error) return error;
  (void)fd.release();
  return socket;
}

bool no_descriptors(const ErrorNumber& error) {
  for (const int number : {EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC}) {
    if (error.value() == number) return true;
  }
  return false;
}

Fd open_spare() { return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

bool same_user(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

// Asio 1.74 does not ask the kernel for close-on-exec itself.
void close_on_exec(int fd) { fcntl(fd, F_SETFD, FD_CLOEXEC); }

void prepare_tcp(int fd) {
  close_on_exec(fd);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // What the kernel has taken from us can no longer be overtaken: a heartbeat or a small message would wait for it.
  const int unsent_max = unsent_bytes_max;
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
}

std::string peer_address(const Socket& socket) {
  ErrorNumber error;
  const Endpoint endpoint = socket.remote_endpoint(error);
  const int family = error ? AF_UNSPEC : endpoint.data()->sa_family;
  if (family == AF_UNIX) return "unix";
  if (family != AF_INET && family != AF_INET6) return "unknown";
  tcp::endpoint address;
  address.resize(endpoint.size());
  std::memcpy(address.data(), endpoint.data(), endpoint.size());
  return host_port(address.address().to_string(), address.port());
}

}  // namespace dc::net

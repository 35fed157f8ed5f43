// See free_port.hpp.
#include "net/free_port.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "net/asio.hpp"

namespace dc::net {
namespace {

constexpr int attempts_max = 20;

/// Bound, but not listening: whoever names the port and sets SO_REUSEADDR, as a head does, may still have it.
int bind_to(Fd& socket, asio::ip::tcp::endpoint& endpoint) {
  const int on = 1;
  const bool v6 = endpoint.address().is_v6();
  socket = Fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return errno;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (v6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0) return errno;
  socklen_t size = static_cast<socklen_t>(endpoint.capacity());
  return ::getsockname(socket.get(), endpoint.data(), &size) == 0 ? 0 : errno;
}

}  // namespace

Result<FreePort> FreePort::find(const std::vector<std::string>& addresses) {
  int error = 0;
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    FreePort found;
    error = 0;
    for (const std::string& text : addresses) {
      ErrorNumber unreadable;
      const auto address = asio::ip::make_address(text == "localhost" ? "127.0.0.1" : text, unreadable);
      if (unreadable)
        return fail(ErrorCode::invalid, fmt::format("cannot listen on '{}': it is not an IP address", text));
      asio::ip::tcp::endpoint endpoint(address, found.port_);
      Fd socket;
      error = bind_to(socket, endpoint);
      if (address.is_v6() && (error == EAFNOSUPPORT || error == EADDRNOTAVAIL) && addresses.size() > 1) {
        error = 0;
        continue;
      }
      if (error != 0) break;
      found.port_ = endpoint.port();
      found.sockets_.push_back(std::move(socket));
    }
    if (error == 0) return found;
    if (error != EADDRINUSE) break;
  }
  return fail(ErrorCode::io, fmt::format("no free port can be had ({})", std::strerror(error)));
}

}  // namespace dc::net

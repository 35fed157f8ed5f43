// Sockets that listen: how they come about, and what is said when they cannot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "net/asio.hpp"
#include "net/local_socket.hpp"

namespace dc::net {

using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, Executor>;

/// Listens on all the addresses with one port; 0 chooses one that is free on all. `port` is set to it.
Result<std::vector<Acceptor>> listen_tcp(asio::io_context& context, const std::vector<std::string>& addresses,
                                         std::uint16_t& port);

/// Listens on the Unix socket, whose file stays with `socket`.
Acceptor acceptor_of(asio::io_context& context, LocalSocket& socket);

/// True when the process at the other end of the connected Unix socket runs as our own user.
bool same_user(int fd);

/// Connections are not for the processes that we start.
void close_on_exec(int fd);
/// The options of every TCP connection of ours, close_on_exec() among them.
void prepare_tcp(int fd);

/// "10.0.0.5:8899" or "[::1]:8899".
std::string host_port(const std::string& address, std::uint16_t port);

/// "127.0.0.1:40312", "[::1]:40312" or "unix", of the peer of a connected socket.
std::string peer_address(const Socket& socket);

}  // namespace dc::net

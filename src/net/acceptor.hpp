// Sockets that listen: how they come about, and what is said when they cannot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/fd.hpp"
#include "core/result.hpp"
#include "net/asio.hpp"
#include "net/local_socket.hpp"

namespace dc::net {

using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, Executor>;

using Accepted = boost::outcome_v2::basic_result<Socket, ErrorNumber, boost::outcome_v2::policy::terminate>;

/// Listens on all the addresses with one port; 0 chooses one that is free on all. `port` is set to it.
Result<std::vector<Acceptor>> listen_tcp(asio::io_context& context, const std::vector<std::string>& addresses,
                                         std::uint16_t& port);

/// Listens on the Unix socket, whose file stays with `socket`.
Acceptor acceptor_of(asio::io_context& context, LocalSocket& socket);

/// A connection that waits at the door, ours alone and not for the processes that we start. Fails with would_block when
/// there is none; with another error for one that is gone already, or for want of a descriptor.
Accepted accept_one(Acceptor& acceptor);
/// Whether nothing but a descriptor (or the memory for one) was missing.
bool no_descriptors(const ErrorNumber& error);
/// A descriptor to hold in reserve.
Fd open_spare();

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

// What a host's name means, in bounded time: the C library's look-up can hang for as long as the name server does.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"

namespace dc {

/// For connect().
struct SocketAddress {
  sockaddr_storage bytes{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
  [[nodiscard]] int family() const { return bytes.ss_family; }
};

using LookUp = std::function<Result<std::vector<SocketAddress>>(const std::string& host, std::uint16_t port)>;

/// Asks another thread, and waits for it no longer than `timeout`. What the name meant the last time serves when no
/// answer comes: a server that has not moved is reached although the name server is away. `unreachable`: a bare reason.
/// `ask` is for tests.
Result<std::vector<SocketAddress>> look_up(const std::string& host, std::uint16_t port, Duration timeout,
                                           const LookUp& ask = {});

}  // namespace dc

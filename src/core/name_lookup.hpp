// What a host's name means. A name server that does not answer holds up those who ask for that name, and nobody else.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
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

struct Found {
  std::vector<SocketAddress> addresses;  ///< with port 0; none: `problem` says why
  std::string problem;                   ///< in the system's words
};

/// Where answers come from: the C library, except in tests.
using NameServer = std::function<Found(const std::string& name)>;

using OnFound = std::function<void(const Found&)>;

/// A question under way. Destroying it ends the interest in its answer, though the answer may just be on its way.
using NameQuestion = std::shared_ptr<const OnFound>;

/// Asks on a thread of that name's own: whoever asks for one that hangs already waits with the others, so that there
/// are never more threads than names. Calls back once, on that thread, or here where no thread can be had.
[[nodiscard]] NameQuestion ask_for_name(const std::string& name, OnFound on_found, const NameServer& server = {});

/// The same, and waits for the answer no longer than `timeout`. What the name meant the last time serves when none
/// comes: a server that has not moved is reached although the name server is away. `unreachable`: a bare reason.
Result<std::vector<SocketAddress>> look_up(const std::string& host, std::uint16_t port, Duration timeout,
                                           const NameServer& server = {});

}  // namespace dc

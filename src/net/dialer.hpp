// From an address to a connected socket: one attempt.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/result.hpp"
#include "net/asio.hpp"
#include "net/event_loop.hpp"

namespace dc::net {

struct DialTarget {
  std::string address;
  std::uint16_t port{};
  std::string unix_path;  ///< tried first when the address is this machine's own; may be empty
};

struct Dialed {
  Socket socket;
  std::string address;  ///< "127.0.0.1:8899" or "unix"
};

/// Resolves the name and tries all its addresses, one after the other. Calls back once, from the loop; destroying it
/// ends the attempt. It has no deadline of its own.
class Dialer {
 public:
  virtual ~Dialer() = default;
};
std::unique_ptr<Dialer> dial(EventLoop& loop, DialTarget target, std::function<void(Result<Dialed>)> on_done);

}  // namespace dc::net

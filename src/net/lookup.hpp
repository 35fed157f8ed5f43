// From names to addresses. A name server that does not answer holds up those who ask for that name, and nobody else.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/asio.hpp"
#include "net/event_loop.hpp"

namespace dc::net {

struct Found {
  std::vector<asio::ip::tcp::endpoint> endpoints;  ///< without a port; empty: the problem says why
  std::string problem;                             ///< in the system's words
};

/// A question under way. Destroying it ends the interest in its answer.
struct Lookup;

/// Asks the system for the name, on a thread of that name's own: whoever asks for one that hangs already waits with the
/// others, so that there are never more threads than names. Calls back once, on the loop.
std::shared_ptr<Lookup> look_up(EventLoop& loop, const std::string& name, std::function<void(const Found&)> on_found);

}  // namespace dc::net

// From names to addresses for who has an event loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/name_lookup.hpp"
#include "net/event_loop.hpp"

namespace dc::net {

/// A question under way. Destroying it ends the interest in its answer.
struct Lookup;

/// As ask_for_name. Calls back once, on the loop.
std::shared_ptr<Lookup> look_up(EventLoop& loop, const std::string& name, std::function<void(const Found&)> on_found);

}  // namespace dc::net

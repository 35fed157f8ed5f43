// `start_node --drain`: the node of this machine is told to leave in order.
#pragma once

#include <chrono>
#include <optional>

namespace dc::cli {

/// Sends SIGTERM to the node that holds the lock on paths::node_file() and waits until it is gone; with `patience` a
/// second signal ends it at once after that time. No node: says so. Returns the exit code.
int drain(std::optional<std::chrono::seconds> patience);

}  // namespace dc::cli

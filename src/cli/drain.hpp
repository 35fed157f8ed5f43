// `start_node --drain`: the node of this machine is told to leave in order.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace dc::cli {

struct Allocation;

/// The node that a process of a batch job means when it names none: the one of its own place, else the only one of the
/// job on this machine, whichever command of the job has started it.
std::string node_to_drain(const Allocation& batch);

/// Sends SIGTERM to the node of this name and waits until it is gone; with `patience` a second signal ends it at once
/// after that time. No such node: says so, and which others there are. Returns the exit code.
int drain(const std::string& name, std::optional<std::chrono::seconds> patience);

}  // namespace dc::cli

// The node as a process: event loop, connector, worker processes, and the machine between them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/session.hpp"
#include "node/devices.hpp"

namespace dc::node {

struct NodeOptions {
  std::string address = "localhost";  ///< of the head, or several, see net::ConnectOptions
  std::uint16_t port = limits::default_port;
  std::string fingerprint;  ///< of the head's key, or several with commas; empty: the one that was seen first
  net::Secret secret;
  /// The password and what else no worker is to find in its environment: a variable with one of them in it is left out.
  std::vector<std::string> kept_from_workers;
  std::string python;                      ///< interpreter of Python workers; empty: none was found
  std::chrono::seconds drain_timeout{60};  ///< how long running jobs may go on after SIGTERM
  /// How long it waits for another head when its own has ended in order; nothing: for ever.
  std::optional<std::chrono::seconds> head_timeout;
  std::string name = {};      ///< beside other nodes on this machine; or empty
  bool prefix_output = true;  ///< show the workers' output on stdout, each line with host and slot
};

/// Runs until it has left in order: 0; the head refused it: 3; anything else,
/// such as a second signal: 1. SIGTERM: running jobs are finished first. SIGINT, SIGHUP: they are aborted and run
/// elsewhere. A second signal, later than limits::signals_are_one after the first: at once. To be called on the main
/// thread; the caller holds the NodeLock, and may hold_signals().
int run_node(NodeOptions options, std::unique_ptr<Devices> devices);

}  // namespace dc::node

// The head as a process: event loop, listener, and the machine between them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "net/session.hpp"

namespace dc::head {

struct HeadOptions {
  std::vector<std::string> addresses = {"0.0.0.0", "::"};  ///< to listen on
  std::uint16_t port = limits::default_port;
  net::Secret secret;
  std::string shown_address;  ///< for `status`
  /// The port is bound, and the key has this fingerprint: print the banner, start the node.
  std::function<void(const std::string& fingerprint)> on_listening;
  std::function<void()> on_stop;       ///< a signal asked the head to end
  int child_pidfd = -1;                ///< a process that goes with the head; -1: none
  std::function<void()> on_child_end;  ///< that process is gone; the head goes on
};

/// Exit codes of the commands.
enum ExitCode : int { exit_fine = 0, exit_error = 1, exit_usage = 2, exit_rejected = 3, exit_port_in_use = 4 };

/// Runs until SIGTERM, SIGINT or SIGHUP. Returns an ExitCode; what was wrong is on stderr.
int run_head(HeadOptions options);

}  // namespace dc::head

// What a head is started with, and how it ends.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "head/pool_bounds.hpp"
#include "net/session.hpp"
#include "store/store.hpp"

namespace dc::head {

struct HeadOptions {
  std::vector<std::string> addresses = {"0.0.0.0", "::"};  ///< to listen on
  std::uint16_t port = limits::default_port;
  net::Secret secret;
  std::string shown_address;  ///< for `status`
  std::string store;          ///< where named pools are kept: see store::StoreOptions::url
  store::Durability durability = store::Durability::always;
  PoolBounds bounds = {.pools_max = limits::pools_max_default};  ///< of named pools
  bool standby = false;                                          ///< waits until the head that has the store is gone
  /// The port is bound, the key has this fingerprint, and named pools are kept there: print the banner, start the node.
  std::function<void(const std::string& fingerprint, const std::string& store)> on_listening;
  std::function<void()> on_stop;       ///< a signal asked the head to end
  int child_pidfd = -1;                ///< a process that goes with the head; -1: none
  std::function<void()> on_child_end;  ///< that process is gone; the head goes on
};

/// Exit codes of the commands. Fenced: another head has the store.
enum ExitCode : int {
  exit_fine = 0,
  exit_error = 1,
  exit_usage = 2,
  exit_rejected = 3,
  exit_port_in_use = 4,
  exit_fenced = 5,
  exit_node_runs = 6,  ///< a node of this name is there already, and that is not what was meant
};

}  // namespace dc::head

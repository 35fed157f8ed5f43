// Which store a head uses when `--store` names none: a Redis of this user on this machine, else SQLite.
//
// Such a Redis is spoken to only through a Unix socket in the private state directory, and only after the kernel has
// said that its listener runs as this user. No port is ever asked: who listens on one is anybody.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dc::store {

struct ChoiceOptions {
  std::string redis_dir;       ///< of start_redis(), whose server takes the cluster's password
  std::string head_redis_dir;  ///< of the server that was started for this head; its password lies beside the socket
  std::string password;        ///< of the cluster
  std::uint16_t head_port{};   ///< heads of one machine share a Redis, under names of their own
};

struct Choice {
  std::string url;                 ///< for StoreOptions::url
  std::string password;            ///< for StoreOptions::password
  bool of_same_user = false;       ///< for StoreOptions::of_same_user
  std::vector<std::string> notes;  ///< sentences: why a Redis of this machine is not used
};

/// Waits for limits::store_call_timeout at most for each of a few steps. A Redis that does not take its password is
/// passed over.
Choice choose_store(const ChoiceOptions& options);

/// What of a head's keys comes first in a Redis that it shares with other heads of its machine.
std::string shared_prefix(std::uint16_t head_port);

/// In the directory of a server.
std::string socket_in(const std::string& redis_dir);
std::string secret_in(const std::string& redis_dir);

/// The user whose program listens on `port` of the loopback address, from the text of /proc/net/tcp (or tcp6).
std::optional<uid_t> listener_of(std::string_view table, std::uint16_t port);
/// The same on this machine, now. Nobody is connected to.
std::optional<uid_t> listener_on(std::uint16_t port);

}  // namespace dc::store

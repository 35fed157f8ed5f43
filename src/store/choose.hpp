// Which store a head uses when `--store` names none: a Redis of this machine that takes the cluster's password, else
// SQLite.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dc::store {

struct ChoiceOptions {
  std::string url;            ///< of --store; empty: choose
  std::string password;       ///< of the cluster
  std::uint16_t head_port{};  ///< heads of one machine share a Redis, under names of their own
  std::uint16_t redis_port = 6379;
};

struct Choice {
  std::string url;       ///< for StoreOptions::url
  std::string password;  ///< for StoreOptions::password
  std::string note;      ///< for the banner, why what listens on the port is not used; else empty
};

/// Waits for limits::store_call_timeout at most for each of a few steps. A Redis that does not take the password is
/// passed over. The password is shown to no program of another user.
Choice choose_store(const ChoiceOptions& options);

/// The user whose program listens on `port` of the loopback address, from the text of /proc/net/tcp (or tcp6).
std::optional<uid_t> listener_of(std::string_view table, std::uint16_t port);

}  // namespace dc::store

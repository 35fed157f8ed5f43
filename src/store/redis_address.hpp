// redis://[user:password@]host[:port][/db], rediss://… (TLS), redis+unix:///path/to/socket[?db=n]
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.hpp"

namespace dc::store {

struct RedisAddress {
  std::string unix_path;      ///< empty: host and port
  bool of_same_user = false;  ///< nothing is sent before the kernel has said that the socket's listener is this user's
  std::string host = "localhost";
  std::uint16_t port = 6379;
  std::string user;      ///< empty: Redis' default user
  std::string password;  ///< empty: none is sent
  unsigned db = 0;
  bool tls = false;
  std::string ca_file;    ///< ?ca=/path: the certificate is believed when this authority signed it
  bool insecure = false;  ///< ?insecure=1: any certificate is believed
  /// ?prefix=name: first part of the names of all keys, so that several clusters can share a Redis.
  std::string prefix = "distributed-computing";

  /// "Redis at host:6379": for banners and messages, without the password.
  [[nodiscard]] std::string name() const;
  bool operator==(const RedisAddress&) const = default;
};

/// Percent signs in user, password and path are decoded. `invalid`: the message says what is wrong, and shows nothing
/// of the URL but its kind: where the password begins and ends in a wrong one, nobody can tell.
Result<RedisAddress> parse_redis_url(const std::string& url);
bool is_redis_url(const std::string& url);

/// The URL of a Unix socket, whose path may have any letters. `query`: what comes after the '?'.
std::string redis_socket_url(const std::string& path, const std::string& query);

/// The secrets in what --store names, as they stand there and decoded; none in a URL without a password.
std::vector<std::string> secrets_of(const std::string& url);

}  // namespace dc::store

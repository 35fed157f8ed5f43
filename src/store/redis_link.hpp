// A way to a Redis server that is made anew when it broke.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/redis_connection.hpp"
#include "store/store.hpp"

namespace dc::store {

struct RedisOptions {
  RedisAddress address;
  Durability durability = Durability::always;
  ContentHash content_hash = {};
  DialTls dial_tls = {};
};

class RedisLink {
 public:
  /// `on_progress` is called whenever bytes went either way. `options` outlive this object.
  explicit RedisLink(const RedisOptions& options, std::function<void()> on_progress = {})
      : options_(options), on_progress_(std::move(on_progress)) {}

  /// True: there was no connection, and there is one now.
  Result<bool> connect();
  void close() { connection_.reset(); }

  /// Answers, of which some may be errors of the server. After `unreachable` it is unknown what was carried out. One
  /// that says that the server only reads ends the connection.
  Result<std::vector<RedisReply>> exchange(const std::vector<RedisCommand>& commands);
  /// Answers that are no errors: the first one fails it.
  Result<std::vector<RedisReply>> ask(const std::vector<RedisCommand>& commands);
  Result<RedisReply> ask(const RedisCommand& command);

  /// Name of a key of ours.
  [[nodiscard]] std::string key(const std::string& name) const;
  [[nodiscard]] std::string name() const { return options_.address.name(); }

 private:
  const RedisOptions& options_;
  std::function<void()> on_progress_;
  std::unique_ptr<RedisConnection> connection_;
};

/// The value of "name:value" in the answer to INFO.
std::string info_value(std::string_view text, std::string_view name);

/// Why a server with these settings (the answer to INFO) may throw away what is stored there; empty: it does not.
std::string throws_away(const std::string& name, std::string_view info);

}  // namespace dc::store

// What the files of a store that is not in use tell of the logs in it, read without any server and without changing
// anything: so that a head can say which named pools it does not serve.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dc::store {

struct EarlierLogs {
  std::vector<std::string> first_entries;  ///< of each log, its bytes
  bool more = false;  ///< there are others, which cannot be read like this (a snapshot of Redis, or too much)

  [[nodiscard]] bool empty() const { return first_entries.empty() && !more; }
};

/// Of the directory of a Redis with an append-only file, the logs below `prefix` (see RedisAddress::prefix).
EarlierLogs earlier_redis_logs(const std::string& directory, std::string_view prefix);

/// Of a SQLite file; none where it is missing or cannot be read.
EarlierLogs earlier_sqlite_logs(const std::string& path);

}  // namespace dc::store

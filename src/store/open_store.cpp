// From the URL of `--store` to the store that it names.
#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "core/check.hpp"
#include "store/memory_store.hpp"
#include "store/redis_store.hpp"
#include "store/sqlite_store.hpp"
#include "store/store.hpp"

namespace dc::store {
namespace {

constexpr std::string_view known =
    "sqlite, sqlite:///path/to/file.db, redis://[user:password@]host[:port][/db], rediss://… (TLS), "
    "redis+unix:///path/to/socket[?db=n], memory or none";

Result<std::unique_ptr<Store>> open_redis(const StoreOptions& options) {
  BOOST_OUTCOME_TRY(address, parse_redis_url(options.url));
  if (address.tls && !options.dial_tls) {
    return fail(ErrorCode::invalid, "--store rediss://…: this program cannot make TLS connections: use redis://");
  }
  if (address.password.empty()) address.password = options.password;
  address.of_same_user = options.of_same_user;
  return std::make_unique<RedisStore>(RedisOptions{.address = std::move(address),
                                                   .durability = options.durability,
                                                   .content_hash = options.content_hash,
                                                   .dial_tls = options.dial_tls});
}

/// Null: the URL names another kind of store.
Result<std::unique_ptr<SqliteStore>> open_sqlite(const StoreOptions& options) {
  constexpr std::string_view sqlite = "sqlite://";
  const std::string& url = options.url;
  std::string path = options.default_path;
  if (url.starts_with(sqlite)) {
    path = url.substr(sqlite.size());
    if (!path.starts_with('/') || path.ends_with('/')) {
      return fail(ErrorCode::invalid, fmt::format("--store {}: after sqlite:// comes the whole path of a file, as in "
                                                  "sqlite:///home/me/head.db",
                                                  url));
    }
  } else if (!url.empty() && url != "sqlite") {
    return std::unique_ptr<SqliteStore>();
  }
  return std::make_unique<SqliteStore>(
      SqliteOptions{.path = std::move(path), .durability = options.durability, .content_hash = options.content_hash});
}

}  // namespace

Result<std::unique_ptr<Store>> open_store(const StoreOptions& options) {
  DC_CHECK(options.content_hash);
  BOOST_OUTCOME_TRY(sqlite, open_sqlite(options));
  if (sqlite) return std::unique_ptr<Store>(std::move(sqlite));
  const std::string& url = options.url;
  if (url == "none") return std::unique_ptr<Store>();
  if (url == "memory") return std::make_unique<MemoryStore>();
  if (is_redis_url(url)) return open_redis(options);
  // What follows the first letters may be a password, mistyped around.
  const std::size_t letters = url.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
  return fail(ErrorCode::invalid, fmt::format("--store {}{}: not a store; these are: {}", url.substr(0, letters),
                                              letters == url.npos ? "" : "…", known));
}

Result<std::unique_ptr<Store>> open_snapshot(const StoreOptions& options) {
  DC_CHECK(options.content_hash);
  BOOST_OUTCOME_TRY(sqlite, open_sqlite(options));
  if (sqlite) {
    BOOST_OUTCOME_TRYV(sqlite->take_snapshot());
  }
  return std::unique_ptr<Store>(std::move(sqlite));
}

}  // namespace dc::store

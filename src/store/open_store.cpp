// From the URL of `--store` to the store that it names.
#include <fmt/format.h>

#include <string_view>

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

}  // namespace

Result<std::unique_ptr<Store>> open_store(const StoreOptions& options) {
  DC_CHECK(options.content_hash);
  constexpr std::string_view sqlite = "sqlite://";
  const std::string& url = options.url;
  if (url == "none") return std::unique_ptr<Store>();
  if (url == "memory") return std::make_unique<MemoryStore>();
  if (url.empty() || url == "sqlite") {
    return std::make_unique<SqliteStore>(SqliteOptions{
        .path = options.default_path, .durability = options.durability, .content_hash = options.content_hash});
  }
  if (url.starts_with(sqlite)) {
    const std::string path = url.substr(sqlite.size());
    if (!path.starts_with('/') || path.ends_with('/')) {
      return fail(ErrorCode::invalid, fmt::format("--store {}: after sqlite:// comes the whole path of a file, as in "
                                                  "sqlite:///home/me/head.db",
                                                  url));
    }
    return std::make_unique<SqliteStore>(
        SqliteOptions{.path = path, .durability = options.durability, .content_hash = options.content_hash});
  }
  if (is_redis_url(url)) return open_redis(options);
  // What follows the first letters may be a password, mistyped around.
  const std::size_t letters = url.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
  return fail(ErrorCode::invalid, fmt::format("--store {}{}: not a store; these are: {}", url.substr(0, letters),
                                              letters == url.npos ? "" : "…", known));
}

}  // namespace dc::store

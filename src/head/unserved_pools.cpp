// See unserved_pools.hpp. Earlier versions used a Redis on port 6379 of this machine that took the cluster's password,
// most often the one of start_redis(); where none was, SQLite. A head that Python starts may have a Redis that ends
// with the program.
#include "head/unserved_pools.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "core/paths.hpp"
#include "head/journal.hpp"
#include "store/choose.hpp"
#include "store/earlier_logs.hpp"
#include "store/redis_address.hpp"

namespace dc::head {
namespace {

/// Users below are of the system (root, redis), not people: an earlier version used their Redis too.
constexpr uid_t first_person = 1000;
constexpr std::size_t names_shown = 10;

std::string names_of(const store::EarlierLogs& logs) {
  std::vector<std::string> names;
  for (const std::string& entry : logs.first_entries) {
    if (std::string name = name_in(entry); !name.empty()) names.push_back(fmt::format("'{}'", name));
  }
  std::sort(names.begin(), names.end());
  const bool all = !logs.more && names.size() <= names_shown;
  names.resize(std::min(names.size(), names_shown));
  if (names.empty()) return "named pools";
  return fmt::format("the named pools {}{}", fmt::join(names, ", "), all ? "" : " and others");
}

std::string port_url(std::uint16_t head_port) {
  return fmt::format("'redis://:PASSWORD@127.0.0.1:{}?prefix={}'", seed_redis_port, store::shared_prefix(head_port));
}

bool uses(const std::string& chosen, const std::string& directory) {
  return chosen.starts_with(store::redis_socket_url(store::socket_in(directory), ""));
}

/// What lies in the directory of a Redis; empty when nothing of this head does.
std::string lies_in_redis(const std::string& directory, std::uint16_t head_port) {
  const auto logs = store::earlier_redis_logs(directory, store::shared_prefix(head_port));
  if (logs.empty()) return {};
  return fmt::format("{} of this head lie in {}, and are not served now", names_of(logs), directory);
}

/// Of the directory of the server that ran for a head that Python started.
std::string in_head_redis(const std::string& directory, bool beside_another, std::uint16_t head_port) {
  const std::string what = lies_in_redis(directory, head_port);
  if (what.empty()) return {};
  return fmt::format(
      "{}. To serve them, start this head with start_server or start_head_node in Python{}, which start that Redis "
      "again; the head uses --store '{}&password=SECRET' by itself then (the secret is in {})",
      what, beside_another ? ", while the Redis of start_redis() does not run" : "",
      store::redis_socket_url(store::socket_in(directory), "prefix=" + store::shared_prefix(head_port)),
      store::secret_in(directory));
}

/// Of the directory that start_redis() used and uses.
std::string in_redis(const std::string& directory, const std::optional<uid_t>& listener, std::uint16_t head_port) {
  const std::string what = lies_in_redis(directory, head_port);
  if (what.empty()) return {};
  if (listener && *listener == ::geteuid()) {
    return fmt::format("{}. If the Redis on port {} is yours and has them, serve them with --store {}", what,
                       seed_redis_port, port_url(head_port));
  }
  return fmt::format(
      "{}. To serve them, call start_redis(PASSWORD) in Python with the cluster's password, and start this head anew: "
      "it "
      "uses --store '{}&password=PASSWORD' by itself then{}",
      what, store::redis_socket_url(store::socket_in(directory), "prefix=" + store::shared_prefix(head_port)),
      listener ? fmt::format(" (another user's program holds port {} now: start_redis needs it free)", seed_redis_port)
               : "");
}

}  // namespace

std::vector<std::string> unserved_pools(const std::string& chosen, std::uint16_t head_port) {
  std::vector<std::string> notes;
  const std::string directory = paths::redis_dir(seed_redis_port), file = paths::head_store(head_port);
  const std::string head_directory = paths::head_redis_dir(head_port);
  const bool of_start_redis = uses(chosen, directory);
  const auto listener = store::listener_on(seed_redis_port);
  std::error_code ignored;
  if (!of_start_redis) {
    if (std::string note = in_redis(directory, listener, head_port); !note.empty()) notes.push_back(std::move(note));
  }
  if (!uses(chosen, head_directory)) {
    std::string note = in_head_redis(head_directory, of_start_redis, head_port);
    if (!note.empty()) notes.push_back(std::move(note));
  }
  if (chosen != "sqlite") {
    const auto logs = store::earlier_sqlite_logs(file);
    if (!logs.empty()) {
      notes.push_back(
          fmt::format("{} of this head lie in {}, and are not served now. To serve them, start it with "
                      "--store sqlite",
                      names_of(logs), file));
    }
  }
  // At the first start of this version beside a Redis of which nothing can be known without a password.
  const bool used_before = listener && (*listener == ::geteuid() || *listener < first_person);
  if (notes.empty() && used_before && !of_start_redis && !std::filesystem::exists(file, ignored)) {
    notes.push_back(
        fmt::format("something listens on port {} of this machine. Earlier versions kept named pools there if it was a "
                    "Redis that took the cluster's password, which is sent to no port any more. If it is yours and has "
                    "such pools, serve them with --store {}",
                    seed_redis_port, port_url(head_port)));
  }
  return notes;
}

}  // namespace dc::head

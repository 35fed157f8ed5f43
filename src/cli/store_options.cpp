// See store_options.hpp.
#include "cli/store_options.hpp"

#include <chrono>
#include <map>

namespace dc::cli {
namespace {

constexpr std::uint32_t pools_max_max = 1'000'000;
constexpr std::size_t key_ttl_digits_max = 10;  // 300 years, and no more than can be added to a time

std::string key_ttl_check(const std::string& seconds) {
  if (seconds.size() <= key_ttl_digits_max) return {};
  return "nobody waits so long: leave --key-ttl out for values that stay";
}

void declare_bounds(CLI::App& app, StoreArguments& arguments, CLI::Option* head) {
  app.add_option("--pool-bytes-max", arguments.bounds.bytes_max,
                 "What one named pool may keep in the store, such as 512M or 20G (units of 1024): arguments of jobs "
                 "without an outcome, outcomes that nobody has taken, values of keys. Jobs beyond that end in "
                 "NotStored (default: 0, no limit)")
      ->transform(CLI::AsSizeValue(false))
      ->needs(head);
  app.add_option("--pools-max", arguments.bounds.pools_max, "So many named pools at once; 0: no limit")
      ->capture_default_str()
      ->check(CLI::Range(0U, pools_max_max))
      ->needs(head);
  app.add_option("--key-ttl", arguments.key_ttl,
                 "So long after it came the value of a key is forgotten, such as 90s, 15m, 12h or 7d (without a unit: "
                 "seconds), by the clock on the wall (default: 0, never)")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, std::uint64_t>{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 24 * 3600}}))
      ->check(key_ttl_check)
      ->needs(head);
}

}  // namespace

void declare_store(CLI::App& app, StoreArguments& arguments, CLI::Option* head) {
  app.add_option("--store", arguments.store,
                 "Where the head keeps named pools (default: the Redis that start_redis() runs for this user on this "
                 "machine, else sqlite): sqlite (a file in the state directory), sqlite:///path/to/file.db, "
                 "redis://[user:password@]host[:port][/db], rediss://… (TLS), redis+unix:///path/to/socket, none");
  app.add_option("--durability", arguments.durability,
                 "always: what was accepted survives the loss of power; interval: it survives the end of the head, and "
                 "the loss of power takes at most the last second")
      ->transform(CLI::CheckedTransformer(std::map<std::string, store::Durability>{
          {"always", store::Durability::always}, {"interval", store::Durability::interval}}));
  app.add_flag("--standby", arguments.standby,
               "With --head: wait until the head that has the store is gone, then take over");
  declare_bounds(app, arguments, head);
}

void take_over(const StoreArguments& arguments, head::HeadOptions& options) {
  options.store = arguments.store;
  options.durability = arguments.durability;
  options.standby = arguments.standby;
  options.bounds = arguments.bounds;
  options.bounds.key_ttl = std::chrono::seconds(arguments.key_ttl);
}

}  // namespace dc::cli

// See copy_pools.hpp.
#include "head/copy_pools.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "head/journal.hpp"
#include "head/message_checks.hpp"
#include "net/session.hpp"

namespace dc::head {
namespace {

struct PoolCopy {
  std::string name;  ///< in the store that it comes from
  store::LogId log{};
  std::string new_name;
  store::LogId new_log{};
  std::optional<store::Entry> first = {};  ///< where it is not the same
};

Error failed(const std::string& pool, const Error& why) {
  if (why.code != ErrorCode::protocol)
    return fail(why.code, fmt::format("pool '{}' was not copied, nor any other: {}", pool, why.message));
  return fail(why.code,
              fmt::format("pool '{}' is damaged, and nothing was copied: {}. To copy the others, name them; `pools "
                          "repair` makes the best of it where a head has it",
                          pool, why.message));
}

/// Of the first entry of a pool's log.
Result<PoolBorn> born_in(store::Store& store, store::LogId log) {
  BOOST_OUTCOME_TRY(entry, store::first_entry(store, log));
  BOOST_OUTCOME_TRY(decoded, decode(std::move(entry)));
  auto* born = std::get_if<PoolBorn>(&decoded);
  if (!born) return fail(ErrorCode::protocol, "its first entry is missing");
  if (net::log_of_pool(born->name) != log) return fail(ErrorCode::protocol, "it is in the place of another pool");
  return std::move(*born);
}

Result<std::vector<PoolCopy>> find_pools(store::Store& from, const std::vector<std::string>& names) {
  BOOST_OUTCOME_TRY(logs, from.logs());
  std::map<store::LogId, std::string> wanted;
  for (const std::string& name : names) {
    const store::LogId log = net::log_of_pool(name);
    if (std::find(logs.begin(), logs.end(), log) == logs.end()) {
      return fail(ErrorCode::not_found, fmt::format("{} has no pool named '{}'", from.description(), name));
    }
    wanted[log] = name;
  }
  if (names.empty()) {
    for (const store::LogId log : logs) wanted[log] = fmt::format("{:016x}", log);
  }
  std::vector<PoolCopy> pools;
  for (const auto& [log, name] : wanted) {
    Result<PoolBorn> born = born_in(from, log);
    if (!born) return failed(name, born.error());
    pools.push_back({born.value().name, log, born.value().name, log});
  }
  std::sort(pools.begin(), pools.end(), [](const PoolCopy& a, const PoolCopy& b) { return a.name < b.name; });
  return pools;
}

Result<void> rename(store::Store& from, std::vector<PoolCopy>& pools, const std::string& as, PoolId new_id) {
  if (pools.size() != 1) {
    return fail(ErrorCode::invalid,
                fmt::format("--as gives one pool another name, and these are {}: name the one", pools.size()));
  }
  if (const std::string problem = problem_of_name(as); !problem.empty())
    return fail(ErrorCode::invalid, fmt::format("--as: {}", problem));
  PoolCopy& pool = pools.front();
  BOOST_OUTCOME_TRY(born, born_in(from, pool.log));
  if (born.version > PoolBorn{}.version) {
    return fail(
        ErrorCode::protocol,
        fmt::format("pool '{}' was written by a later version: copy it under its own name, or with that version",
                    pool.name));
  }
  born.name = pool.new_name = as;
  born.id = new_id;
  pool.new_log = net::log_of_pool(as);
  pool.first = encode(born);
  return boost::outcome_v2::success();
}

/// Those that stand there already, just the same. An error names one that is another.
Result<std::vector<store::LogId>> find_standing(store::Store& from, store::Store& to,
                                                const std::vector<PoolCopy>& pools) {
  BOOST_OUTCOME_TRY(there, to.logs());
  std::vector<store::LogId> standing;
  for (const PoolCopy& pool : pools) {
    if (std::find(there.begin(), there.end(), pool.new_log) == there.end()) continue;
    const Result<bool> same = pool.first ? Result<bool>(false) : store::same_log(from, to, pool.log);
    if (!same) return failed(pool.name, same.error());
    if (!same.value()) {
      return fail(ErrorCode::rejected,
                  fmt::format("{} has another pool named '{}', and nothing was copied: end that one first "
                              "(`distributed-computing pools remove`, or `pools repair` if it is broken, with its "
                              "head), or give this one another name (--as)",
                              to.description(), pool.new_name));
    }
    standing.push_back(pool.new_log);
  }
  return standing;
}

}  // namespace

Result<std::vector<CopiedPool>> copy_pools(store::Store& from, store::Store& to, const PoolsToCopy& wanted,
                                           const store::GoOn& go_on) {
  BOOST_OUTCOME_TRY(pools, find_pools(from, wanted.names));
  if (!wanted.as.empty()) {
    BOOST_OUTCOME_TRYV(rename(from, pools, wanted.as, wanted.new_id));
  }
  BOOST_OUTCOME_TRY(standing, find_standing(from, to, pools));
  std::vector<CopiedPool> done;
  for (PoolCopy& pool : pools) {
    if (std::find(standing.begin(), standing.end(), pool.new_log) != standing.end()) {
      done.push_back({pool.new_name, {}, true});
      continue;
    }
    const auto copied = store::copy_log(from, pool.log, to, pool.new_log, std::move(pool.first), go_on);
    if (copied) {
      done.push_back({pool.new_name, copied.value()});
      continue;
    }
    for (const CopiedPool& other : done) {
      if (!other.stood) (void)to.remove(net::log_of_pool(other.name));
    }
    return failed(pool.name, copied.error());
  }
  return done;
}

}  // namespace dc::head

// See worker_environment.hpp.
#include "node/worker_environment.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "core/environment.hpp"
#include "node/python_worker.hpp"

namespace dc::node {
namespace {

/// A thread pool by the variable that says how many threads it has, and another one that says it too.
struct ThreadPool {
  const char* variable;
  const char* other = nullptr;
  bool wants_both = false;
};
constexpr ThreadPool openmp{"OMP_NUM_THREADS"};
/// Each of these takes what OMP_NUM_THREADS says, unless it has its own variable. NumExpr refuses more threads than its
/// maximum, which is at most 64 where nobody has set it.
constexpr std::array others = {ThreadPool{"MKL_NUM_THREADS"}, ThreadPool{"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS"},
                               ThreadPool{"BLIS_NUM_THREADS"},
                               ThreadPool{"NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", true}};

bool is_set(const ThreadPool& pool, const std::function<bool(const char*)>& set) {
  return set(pool.variable) || (pool.other && set(pool.other));
}

void add(std::vector<std::string>& variables, const ThreadPool& pool, std::uint32_t threads) {
  variables.push_back(fmt::format("{}={}", pool.variable, threads));
  if (pool.wants_both) variables.push_back(fmt::format("{}={}", pool.other, threads));
}

/// Whether these variables have one of this name.
bool holds(const std::vector<std::string>& variables, std::string_view name) {
  return std::any_of(variables.begin(), variables.end(),
                     [&](const std::string& variable) { return name_of_variable(variable) == name; });
}

}  // namespace

std::vector<double> core_shares(const std::vector<std::vector<std::uint32_t>>& cpus_of_slots,
                                const std::vector<std::uint32_t>& usable) {
  std::map<std::uint32_t, double> users;
  const auto cpus_of = [&](std::size_t slot) -> const std::vector<std::uint32_t>& {
    return cpus_of_slots[slot].empty() ? usable : cpus_of_slots[slot];
  };
  for (std::size_t slot = 0; slot < cpus_of_slots.size(); ++slot)
    for (const std::uint32_t cpu : cpus_of(slot)) ++users[cpu];
  std::vector<double> shares;
  for (std::size_t slot = 0; slot < cpus_of_slots.size(); ++slot) {
    double share = 0;
    for (const std::uint32_t cpu : cpus_of(slot)) share += 1 / users[cpu];
    shares.push_back(share);
  }
  return shares;
}

std::vector<std::string> thread_variables(std::uint32_t asked, std::uint32_t share, const SetBy& set) {
  std::vector<std::string> variables;
  const std::uint32_t threads = asked > 0 ? asked : share;
  if (threads == 0) return variables;
  const auto by_user = [&](const char* name) { return set.pool(name) || (asked == 0 && set.node(name)); };
  const bool openmp_is_set = is_set(openmp, by_user);
  if (!openmp_is_set) add(variables, openmp, threads);
  if (openmp_is_set && asked == 0) return variables;
  for (const ThreadPool& pool : others) {
    if (!is_set(pool, by_user)) add(variables, pool, threads);
  }
  return variables;
}

std::string thread_words(const std::function<bool(const char*)>& set_in_node) {
  std::vector<const char*> names;
  if (set_in_node(openmp.variable)) names.push_back(openmp.variable);
  for (const ThreadPool& pool : others) {
    if (set_in_node(pool.variable)) names.push_back(pool.variable);
    if (pool.other && set_in_node(pool.other)) names.push_back(pool.other);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::string> variables_of(const WorkerFacts& facts) {
  return {fmt::format("DISTRIBUTED_COMPUTING_WORKER={}", facts.worker.value),
          fmt::format("DISTRIBUTED_COMPUTING_HOST={}", facts.host),
          fmt::format("DISTRIBUTED_COMPUTING_NODE={}", facts.node.empty() ? facts.host : facts.node),
          fmt::format("DISTRIBUTED_COMPUTING_SLOT={}", facts.slot),
          fmt::format("DISTRIBUTED_COMPUTING_DEVICE={}", facts.device),
          fmt::format("DISTRIBUTED_COMPUTING_POOL={}", facts.pool)};
}

std::vector<std::string> worker_environment(std::vector<std::string> devices, const WorkerFacts& facts,
                                            const PoolOptions& options, std::uint32_t share) {
  std::vector<std::string> all = std::move(devices);
  for (std::string& variable : variables_of(facts)) all.push_back(std::move(variable));
  std::vector<std::string> of_pool;
  for (const std::string& variable : options.environment) {
    const std::string_view name = name_of_variable(variable);
    if (name.size() == variable.size() || is_device_mask(name) || is_our_variable(name)) continue;
    // An empty text would leave the variable to the node's environment.
    std::string kept = without_relative_entries(variable);
    of_pool.push_back(kept.empty() ? std::string(name) + "=" : std::move(kept));
  }
  const SetBy set{[&](const char* name) { return holds(of_pool, name); },
                  [](const char* name) { return std::getenv(name) != nullptr; }};
  std::vector<std::string> threads = thread_variables(options.threads_per_worker, share, set);
  for (auto* more : {&of_pool, &threads}) std::move(more->begin(), more->end(), std::back_inserter(all));
  return all;
}

}  // namespace dc::node

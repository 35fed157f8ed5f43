// See drain.hpp.
#include "cli/drain.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/types.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "cli/allocation.hpp"
#include "cli/options.hpp"
#include "core/node_lock.hpp"
#include "core/paths.hpp"
#include "head/head_options.hpp"

namespace dc::cli {
namespace {

constexpr auto look_interval = std::chrono::milliseconds(50);
constexpr auto dot_interval = std::chrono::seconds(2);

int complain(const std::string& text) {
  fmt::print(stderr, "start_node: {}\n", text);
  return head::exit_error;
}

void say(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

std::string none_runs(const std::string& name) {
  std::vector<std::string> others;
  for (std::string& other : NodeLock::running())
    others.push_back(other.empty() ? "one without a name" : std::move(other));
  if (others.empty()) return "No node is running on this machine.\n";
  return fmt::format("No node {} is running on this machine, but there {} {}: say which with --name.\n",
                     name.empty() ? "without a name" : "named " + name, others.size() == 1 ? "is" : "are",
                     fmt::join(others, ", "));
}

}  // namespace

std::string node_to_drain(const Allocation& batch) {
  if (NodeLock::owner(batch.node)) return batch.node;
  std::vector<std::string> names = NodeLock::running();
  const auto of_job = [&](const std::string& name) { return (name + "-").starts_with(batch.job + "-"); };
  std::erase_if(names, std::not_fn(of_job));
  return names.size() == 1 ? names.front() : batch.node;
}

int drain(const std::string& name, std::optional<std::chrono::seconds> patience) {
  using Clock = std::chrono::steady_clock;
  // Its lock shows that it runs: the pid of a dead one may be somebody else's by now.
  const auto owner = NodeLock::owner(name);
  if (!owner) return say(none_runs(name)), head::exit_fine;
  const pid_t pid = owner_pid(*owner);
  if (pid <= 0) return complain(fmt::format("{} does not name the node that holds it", paths::node_lock(name)));
  if (::kill(pid, SIGTERM) != 0 && errno != ESRCH)
    return complain(fmt::format("the node (pid {}) cannot be signalled ({})", pid, std::strerror(errno)));
  say(fmt::format("The node (pid {}) finishes its jobs and leaves ", pid));
  const auto start = Clock::now();
  auto next_dot = start + dot_interval;
  bool patient = patience.has_value();
  while (NodeLock::owner(name) == owner) {
    std::this_thread::sleep_for(look_interval);
    const auto now = Clock::now();
    if (now >= next_dot) {
      say(".");
      next_dot = now + dot_interval;
    }
    if (patient && now - start >= *patience) {
      say(fmt::format("\nIt has not finished within {} s: its jobs run elsewhere ", patience->count()));
      ::kill(pid, SIGINT);  // which is more, however soon it comes after the other
      patient = false;
    }
  }
  say("\nIt has left.\n");
  return head::exit_fine;
}

}  // namespace dc::cli

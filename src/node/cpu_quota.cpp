// See cpu_quota.hpp.
#include "node/cpu_quota.hpp"

#include <algorithm>
#include <fstream>
#include <string>

namespace dc::node {
namespace {

namespace fs = std::filesystem;

/// "max 100000" or "200000 100000" of version 2.
std::optional<double> quota_of_v2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

std::optional<double> quota_of_v1(const fs::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

/// The group's own and those of all around it. In a container the root may be the group itself, and the path one that
/// only the machine knows.
template <class Quota>
void add_groups(const fs::path& root, fs::path path, Quota quota_of, std::optional<double>& least) {
  while (true) {
    if (const auto quota = quota_of(root / path)) least = std::min(least.value_or(*quota), *quota);
    if (path.empty()) return;
    path = path.parent_path();
  }
}

bool names_cpu(const std::string& controllers) { return ("," + controllers + ",").find(",cpu,") != std::string::npos; }

}  // namespace

std::optional<double> cpu_quota(const fs::path& proc, const fs::path& cgroups) {
  std::optional<double> least;
  std::ifstream groups(proc / "self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "id:controllers:path"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = fs::path(line.substr(second + 1)).relative_path();
    if (controllers.empty()) add_groups(cgroups, path, quota_of_v2, least);
    if (names_cpu(controllers)) add_groups(cgroups / controllers, path, quota_of_v1, least);
    if (names_cpu(controllers) && controllers != "cpu") add_groups(cgroups / "cpu", path, quota_of_v1, least);
  }
  return least;
}

}  // namespace dc::node

// See oom_watch.hpp.
#include "node/oom_watch.hpp"

#include <fstream>
#include <string>
#include <utility>

namespace dc::node {
namespace {

namespace fs = std::filesystem;

/// The file with the counter of the group that /proc/self/cgroup names; each line there is "id:controllers:path".
fs::path find_file(const fs::path& proc, const fs::path& cgroups) {
  std::ifstream groups(proc / "self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = fs::path(line.substr(second + 1)).relative_path();
    fs::path file;
    if (controllers.empty()) file = cgroups / path / "memory.events";
    if (controllers == "memory") file = cgroups / "memory" / path / "memory.oom_control";
    std::error_code ignored;
    if (!file.empty() && fs::exists(file, ignored)) return file;
  }
  return proc / "vmstat";
}

}  // namespace

OomWatch::OomWatch(fs::path proc, fs::path cgroups) : file_(find_file(proc, cgroups)), seen_(count()) {}

std::uint64_t OomWatch::count() const {
  std::ifstream file(file_);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return 0;
}

bool OomWatch::advanced() {
  const std::uint64_t now = count();
  return now > std::exchange(seen_, now);
}

}  // namespace dc::node

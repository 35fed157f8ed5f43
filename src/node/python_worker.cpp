// See python_worker.hpp.
#include "node/python_worker.hpp"

#include <algorithm>
#include <array>

namespace dc::node {
namespace {

/// The interpreter puts an empty entry first on its path, which means the working directory. It is not inherited by
/// what the user's code starts, as PYTHONSAFEPATH would be.
constexpr const char* program = R"(
import os, sys
sys.path[:] = [entry for entry in sys.path if entry.startswith("/")]
try:
    os.chdir(sys.argv.pop())
except OSError:
    pass  # it is no more, or cannot be entered
from distributed_computing.worker_main import main
sys.exit(main())
)";

constexpr std::array list_variables = {"PYTHONPATH", "PYTHONHOME"};
constexpr std::array path_variables = {"PYTHONUSERBASE", "PYTHONPYCACHEPREFIX"};

bool is_one_of(const auto& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_absolute(std::string_view path) { return path.starts_with('/') || path.starts_with('~'); }

}  // namespace

std::vector<std::string> python_worker_command(const std::string& python, const std::string& directory) {
  return {python, "-c", program, directory};
}

std::string without_relative_entries(std::string_view variable) {
  const std::size_t end = std::min(variable.find('='), variable.size());
  const std::string_view name = variable.substr(0, end);
  std::string_view rest = variable.substr(std::min(end + 1, variable.size()));
  if (is_one_of(path_variables, name)) return is_absolute(rest) ? std::string(variable) : std::string();
  if (!is_one_of(list_variables, name)) return std::string(variable);
  std::string kept;
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
    if (!is_absolute(entry)) continue;
    if (!kept.empty()) kept += ':';
    kept += entry;
  }
  return kept.empty() ? std::string() : std::string(name) + "=" + kept;
}

}  // namespace dc::node

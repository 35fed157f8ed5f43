// See python_worker.hpp.
#include "node/python_worker.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

namespace dc::node {
namespace {

/// Of the path nothing relative stays, whoever has put it there.
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

bool is_absolute(std::string_view path) { return path.starts_with('/') || path.starts_with('~'); }

/// The loader's word for the directory of the program.
bool is_absolute_to_loader(std::string_view path) {
  return path.starts_with('/') || path.starts_with("$ORIGIN") || path.starts_with("${ORIGIN}");
}

/// One without a slash is the name of a library, for which the loader searches its path.
bool is_library(std::string_view entry) {
  return !entry.empty() && (is_absolute_to_loader(entry) || entry.find('/') == entry.npos);
}

/// Which entries of a variable stay.
struct Searched {
  std::string_view name;
  std::string_view separators;  ///< of its entries; none: it is one path
  bool (*stays)(std::string_view entry);
};
constexpr std::array searched = {Searched{"PYTHONPATH", ":", is_absolute},
                                 Searched{"PYTHONHOME", ":", is_absolute},
                                 Searched{"PYTHONUSERBASE", "", is_absolute},
                                 Searched{"PYTHONPYCACHEPREFIX", "", is_absolute},
                                 Searched{"LD_LIBRARY_PATH", ":;", is_absolute_to_loader},
                                 Searched{"LD_PRELOAD", ": ", is_library},
                                 Searched{"LD_AUDIT", ":", is_library}};

}  // namespace

std::string working_directory() {
  std::error_code error;
  const auto directory = std::filesystem::current_path(error);
  return error ? python_start_directory : directory.string();
}

/// -P: the interpreter does not put the working directory first on its path. As an option multiprocessing hands it on
/// to the interpreters that it starts (its tracker of resources is one). Nothing else of the user's inherits it, as
/// PYTHONSAFEPATH would be.
std::vector<std::string> python_worker_command(const std::string& python, const std::string& directory) {
  return {python, "-P", "-c", program, directory};
}

std::string without_relative_entries(std::string_view variable) {
  const std::size_t end = std::min(variable.find('='), variable.size());
  const std::string_view name = variable.substr(0, end);
  std::string_view rest = variable.substr(std::min(end + 1, variable.size()));
  const auto rule = std::find_if(searched.begin(), searched.end(), [&](const auto& one) { return one.name == name; });
  if (rule == searched.end()) return std::string(variable);
  std::string kept;
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find_first_of(rule->separators));
    rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
    if (!rule->stays(entry)) continue;
    if (!kept.empty()) kept += ':';
    kept += entry;
  }
  return kept.empty() ? std::string() : std::string(name) + "=" + kept;
}

}  // namespace dc::node

// See allocation.hpp.
#include "cli/allocation.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string_view>

#include "core/limits.hpp"

namespace dc::cli {
namespace {

constexpr std::size_t name_bytes_max = 64;

struct System {
  const char* job;    ///< variable with the number of the job
  const char* step;   ///< of the command in it that has started processes and numbers them anew; null: there is none
  const char* place;  ///< and of the process
};
constexpr System systems[] = {{"SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID"},
                              {"PBS_JOBID", nullptr, "PBS_TASKNUM"},
                              {"LSB_JOBID", nullptr, "LSB_JOBINDEX"}};

bool plain(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.'; }

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value ? value : "";
  std::replace_if(
      text.begin(), text.end(), [](char c) { return !plain(c); }, '-');
  return text.substr(0, name_bytes_max / 3);
}

}  // namespace

std::optional<Allocation> allocation() {
  for (const System& system : systems) {
    const std::string job = variable(system.job);
    if (job.empty()) continue;
    Allocation found{"job-" + job, "job-" + job};
    for (const char* name : {system.step, system.place}) {
      const std::string number = name ? variable(name) : "";
      if (!number.empty()) found.node += "-" + number;
    }
    found.node.resize(std::min(found.node.size(), name_bytes_max));
    return found;
  }
  return std::nullopt;
}

std::optional<std::chrono::seconds> head_timeout(const std::string& text) {
  if (text == "never") return std::nullopt;
  if (!text.empty()) return std::chrono::seconds(std::stoul(text));
  if (allocation()) return limits::batch_head_timeout;
  return std::nullopt;
}

std::string head_timeout_check(const std::string& text) {
  const bool number = !text.empty() && text.size() < 8 && text.find_first_not_of("0123456789") == std::string::npos;
  return number || text == "never" ? "" : "--head-timeout is a number of seconds, or never";
}

std::string name_check(const std::string& text) {
  if (!text.empty() && text.size() <= name_bytes_max && std::all_of(text.begin(), text.end(), plain)) return {};
  return "a node's name is made of letters, digits, '.', '_' and '-', 64 at most";
}

}  // namespace dc::cli

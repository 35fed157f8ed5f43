// See environment.hpp.
#include "core/environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/limits.hpp"
#include "core/printable.hpp"

namespace dc {
namespace {

constexpr std::array<std::string_view, 8> device_masks = {
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",  "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",  "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK",       "ONEAPI_DEVICE_SELECTOR"};

std::string problem_of_variable(std::string_view variable) {
  const std::string_view name = name_of_variable(variable);
  if (name.empty()) return "env has a variable without a name: write env={'NAME': 'value'}";
  if (name.size() == variable.size()) return fmt::format("env: {} has no value", printable(name));
  if (name.find('\0') != name.npos) return fmt::format("env: the name {} has a NUL character in it", printable(name));
  if (variable.find('\0') != variable.npos)
    return fmt::format("env: the value of {} has a NUL character in it, and no variable can hold one", printable(name));
  if (is_device_mask(name))
    return fmt::format(
        "env cannot set {}: a worker's node shows it its own devices. Say device=, gpus_per_worker= or "
        "min_gpu_memory_required= here, or --gpus to start_node",
        name);
  if (is_our_variable(name))
    return fmt::format("env cannot set {}: variables that begin with DISTRIBUTED_COMPUTING_ are this program's own",
                       printable(name));
  return {};
}

}  // namespace

bool is_device_mask(std::string_view name) {
  return std::find(device_masks.begin(), device_masks.end(), name) != device_masks.end();
}

bool is_our_variable(std::string_view name) { return name.starts_with("DISTRIBUTED_COMPUTING_"); }

std::string problem_of_environment(const std::vector<std::string>& variables) {
  if (variables.size() > limits::environment_names_max)
    return fmt::format("env has {} variables: at most {} are allowed", variables.size(), limits::environment_names_max);
  std::size_t bytes = 0;
  std::set<std::string_view> names;
  for (const std::string& variable : variables) {
    if (std::string problem = problem_of_variable(variable); !problem.empty()) return problem;
    if (!names.insert(name_of_variable(variable)).second)
      return fmt::format("env sets {} twice", printable(name_of_variable(variable)));
    bytes += variable.size() + 1;
  }
  if (bytes > limits::environment_bytes_max)
    return fmt::format("env has {} bytes: at most {} are allowed; send large values in init_data", bytes,
                       limits::environment_bytes_max);
  return {};
}

}  // namespace dc

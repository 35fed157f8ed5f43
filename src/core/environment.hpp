// Variables that a pool sets in its workers ("NAME=value"), and those that are not a pool's to set.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dc {

/// The NAME of "NAME=value".
constexpr std::string_view name_of_variable(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

/// By this a worker is shown its devices, which its node decides.
bool is_device_mask(std::string_view name);
/// DISTRIBUTED_COMPUTING_...: what this project itself says to its processes.
bool is_our_variable(std::string_view name);

/// What is wrong with such variables, as a sentence that begins with "env"; or nothing.
std::string problem_of_environment(const std::vector<std::string>& variables);

}  // namespace dc

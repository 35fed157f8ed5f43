// The weight of a pool beside others.
#pragma once

#include <fmt/format.h>

#include <string>

#include "core/limits.hpp"

namespace dc {

/// What is wrong with it, as a sentence; empty: nothing.
inline std::string problem_of_weight(double weight) {
  if (weight >= limits::weight_min && weight <= limits::weight_max) return {};
  return fmt::format("the pool's weight is {}: it must be a number from {} to {}", weight, limits::weight_min,
                     limits::weight_max);
}

}  // namespace dc

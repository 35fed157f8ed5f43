// What a pool may ask of devices.
#pragma once

#include <string>

#include "core/job.hpp"

namespace dc {

/// What is wrong with what the pool asks of devices, as a sentence that begins with the option's name; or nothing.
std::string problem_of_devices(const PoolOptions& options);

}  // namespace dc

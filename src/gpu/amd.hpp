// AMD's devices, from what their kernel driver (amdgpu) shows in sysfs.
#pragma once

#include <filesystem>

#include "gpu/device.hpp"

namespace dc::gpu {

/// Reads class/drm/card*/device below `sysfs`. Processes and temperatures are not told there.
Inventory read_amd(const std::filesystem::path& sysfs);

}  // namespace dc::gpu

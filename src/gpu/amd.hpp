// AMD's devices, from what their kernel driver (amdgpu) shows in sysfs.
#pragma once

#include <filesystem>

#include "gpu/device.hpp"

namespace dc::gpu {

/// Reads class/kfd and bus/pci below `sysfs`: the GPUs that ROCm finds on this machine, counted as ROCm counts them
/// (see libhsakmt's topology.c and the kernel's kfd_topology.c). /dev is looked for beside `sysfs`. Small ones are
/// taken for the graphics inside of a processor, as ollama does it: ROCm lists them, and most programs fail on them.
Inventory read_amd(const std::filesystem::path& sysfs);

}  // namespace dc::gpu

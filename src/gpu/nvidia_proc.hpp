// NVIDIA's devices where NVML is not to be had: what the kernel module says in /proc.
#pragma once

#include <filesystem>

#include "gpu/device.hpp"

namespace dc::gpu {

/// Names and UUIDs, as the kernel module tells them without ever asking the devices; memory is not known.
Inventory read_proc(const std::filesystem::path& proc = "/proc");

}  // namespace dc::gpu

// NVIDIA's devices where NVML is not to be had: what nvidia-smi prints, and what the kernel module says in /proc.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.hpp"

namespace dc::gpu {

/// The fields that nvidia-smi is asked for, in this order.
inline constexpr const char* smi_gpu_fields =
    "uuid,name,pci.bus_id,memory.total,memory.free,utilization.gpu,temperature.gpu,driver_version";
inline constexpr const char* smi_process_fields = "gpu_uuid,pid,process_name,used_memory";

/// Of the output of nvidia-smi with these fields and --format=csv,noheader,nounits; what it does not know it shows in
/// brackets, such as "[N/A]".
Inventory inventory_of_smi(std::string_view gpus, std::string_view processes);

/// What the command printed; nothing when it cannot be run, fails, or takes longer than `patience` (it is killed then).
std::optional<std::string> output_of(const std::vector<std::string>& command, std::chrono::milliseconds patience);

/// Runs nvidia-smi, for 10 s at most. Nothing when there is none on PATH or it does not work.
std::optional<Inventory> ask_smi();

/// Names and UUIDs, as the kernel module tells them without ever asking the devices; memory is not known.
Inventory read_proc(const std::filesystem::path& proc = "/proc");

}  // namespace dc::gpu

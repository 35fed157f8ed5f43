// Small readers for the files in which kernel and drivers tell of devices.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.hpp"

namespace dc::gpu {

/// Where another tree than /sys stands; tests have their own.
inline constexpr const char* sysfs_variable = "DISTRIBUTED_COMPUTING_SYSFS";
std::filesystem::path sysfs();

/// Without blanks at its ends; empty when the file is not there.
std::string first_line(const std::filesystem::path& file);
std::string trimmed(std::string_view text);
std::optional<std::uint64_t> number_in(std::string_view text);
/// "0-3,8" is {0, 1, 2, 3, 8}.
std::vector<std::uint32_t> cpu_list(std::string_view text);
/// PCI addresses of graphics cards and accelerators of these makers, whether there is a driver or not.
inline constexpr std::string_view vendor_nvidia = "0x10de", vendor_amd = "0x1002";
std::vector<std::string> cards_in_slots(const std::vector<std::string_view>& vendors);
/// NUMA node and near cores of the device's PCI address, from sysfs, where they are not known yet.
void add_place(Device& device);

}  // namespace dc::gpu

// See device.hpp.
#include "gpu/device.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace dc::gpu {

std::string text_of(const Holder& holder) {
  const std::string memory = holder.memory_mib ? fmt::format(", {} MiB", *holder.memory_mib) : "";
  return fmt::format("{} (pid {}{})", holder.name.empty() ? "a process" : holder.name.c_str(), holder.pid, memory);
}

std::string memory_of(const Device& device) {
  if (device.memory_mib == 0) return "memory not known";
  return fmt::format("{} of {} MiB free", device.memory_free_mib, device.memory_mib);
}

std::string readings_of(const Device& device) {
  std::vector<std::string> readings;
  if (device.memory_mib > 0) readings.push_back(memory_of(device));
  if (device.utilisation_percent) readings.push_back(fmt::format("{} % busy", *device.utilisation_percent));
  if (device.temperature_c) readings.push_back(fmt::format("{} °C", *device.temperature_c));
  return fmt::format("{}", fmt::join(readings, ", "));
}

void number_devices(std::vector<Device>& devices) {
  std::sort(devices.begin(), devices.end(), [](const Device& a, const Device& b) { return a.pci < b.pci; });
  std::uint32_t index = 0;
  for (Device& device : devices) device.index = index++;
}

}  // namespace dc::gpu

// See device.hpp.
#include "gpu/device.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dc::gpu {

std::string text_of(const Holder& holder) {
  const std::string memory = holder.memory_mib ? fmt::format(", {} MiB", *holder.memory_mib) : "";
  return fmt::format("{} (pid {}{})", holder.name.empty() ? "a process" : holder.name.c_str(), holder.pid, memory);
}

void number_devices(std::vector<Device>& devices) {
  std::sort(devices.begin(), devices.end(), [](const Device& a, const Device& b) { return a.pci < b.pci; });
  std::uint32_t index = 0;
  for (Device& device : devices) device.index = index++;
}

}  // namespace dc::gpu

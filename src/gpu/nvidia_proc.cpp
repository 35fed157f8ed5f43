// See nvidia_proc.hpp.
#include "gpu/nvidia_proc.hpp"

#include <fmt/format.h>

#include <fstream>

#include "gpu/files.hpp"

namespace dc::gpu {

Inventory read_proc(const std::filesystem::path& proc) {
  Inventory inventory;
  inventory.source = "/proc/driver/nvidia";
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(proc / "driver/nvidia/gpus", ignored)) {
    Device device;
    device.pci = entry.path().filename();
    std::ifstream file(entry.path() / "information");
    for (std::string line; std::getline(file, line);) {
      const std::size_t colon = line.find(':');
      if (colon == std::string::npos) continue;
      const std::string what = trimmed(line.substr(0, colon)), value = trimmed(line.substr(colon + 1));
      if (what == "Model") device.name = value;
      if (what == "GPU UUID") device.uuid = device.selector = value;
    }
    // The module does not know the UUID of a card that was never used since it was loaded: "GPU-????????-…".
    if (device.uuid.empty() || device.uuid.find('?') != std::string::npos) {
      inventory.problems.push_back(fmt::format("the GPU at {} is left out: its UUID is not known", device.pci));
      continue;
    }
    add_place(device);
    inventory.devices.push_back(std::move(device));
  }
  number_devices(inventory.devices);
  return inventory;
}

}  // namespace dc::gpu

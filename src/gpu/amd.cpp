// See amd.hpp.
#include "gpu/amd.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "gpu/files.hpp"

namespace dc::gpu {
namespace {

namespace fs = std::filesystem;
constexpr const char* amd_vendor = "0x1002";

bool is_card(const std::string& name) {
  return name.starts_with("card") && name.size() > 4 &&
         std::all_of(name.begin() + 4, name.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// "card0" has connectors beside it ("card0-DP-1"), and small displays have no memory of their own to offer.
void add_card(const fs::path& card, Inventory& inventory) {
  const fs::path folder = card / "device";
  if (first_line(folder / "vendor") != amd_vendor) return;
  const auto total = number_in(first_line(folder / "mem_info_vram_total"));
  const auto used = number_in(first_line(folder / "mem_info_vram_used"));
  std::error_code ignored;
  const std::string address = fs::canonical(folder, ignored).filename();
  if (!total || !used) {
    inventory.problems.push_back(
        fmt::format("the AMD card {} is left out: {} does not tell its memory", address, folder.string()));
    return;
  }
  Device device;
  device.vendor = Vendor::amd;
  device.pci = address;
  const std::string id = first_line(folder / "unique_id");
  device.uuid = id.empty() ? "PCI-" + address : "GPU-" + id;
  device.name = first_line(folder / "product_name");
  if (device.name.empty()) device.name = fmt::format("AMD GPU {}", first_line(folder / "device"));
  device.memory_mib = *total >> 20;
  device.memory_free_mib = (*total - std::min(*used, *total)) >> 20;
  if (const auto busy = number_in(first_line(folder / "gpu_busy_percent"))) {
    device.utilisation_percent = static_cast<std::uint32_t>(*busy);
  }
  if (const auto node = number_in(first_line(folder / "numa_node"))) {
    device.numa_node = static_cast<std::uint32_t>(*node);
  }
  device.cpus = cpu_list(first_line(folder / "local_cpulist"));
  inventory.devices.push_back(std::move(device));
}

}  // namespace

Inventory read_amd(const fs::path& sysfs) {
  Inventory inventory;
  inventory.source = "sysfs";
  inventory.driver = first_line(sysfs / "module/amdgpu/version");
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sysfs / "class/drm", ignored)) {
    if (is_card(entry.path().filename())) add_card(entry.path(), inventory);
  }
  number_devices(inventory.devices);
  for (Device& device : inventory.devices) {
    // ROCR counts cards in this order too; it knows those by UUID that have a unique id.
    device.selector = device.uuid.starts_with("GPU-") ? device.uuid : std::to_string(device.index);
  }
  return inventory;
}

}  // namespace dc::gpu

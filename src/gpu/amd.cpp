// See amd.hpp.
#include "gpu/amd.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>

#include "gpu/files.hpp"

namespace dc::gpu {
namespace {

namespace fs = std::filesystem;
using Properties = std::map<std::string, std::uint64_t>;
constexpr const char* topology = "class/kfd/kfd/topology/nodes";
constexpr std::uint64_t integrated_mib = 1024;  ///< graphics inside of a processor have less memory of their own

/// A GPU as the compute driver (KFD) knows it.
struct Node {
  Properties properties;
  std::string pci, gpu_id;
  [[nodiscard]] std::uint64_t property(const char* name) const {
    const auto found = properties.find(name);
    return found == properties.end() ? 0 : found->second;
  }
};

Properties properties_in(const fs::path& file) {
  Properties properties;
  std::ifstream stream(file);
  std::uint64_t value = 0;
  for (std::string name; stream >> name >> value;) properties[name] = value;
  return properties;
}

/// In the driver's order, which is the one in which ROCm counts. Processors are nodes too, and have no SIMD units; a
/// GPU that a cgroup keeps from this process has properties that cannot be read.
std::vector<Node> nodes_of(const fs::path& sysfs) {
  std::map<std::uint64_t, Node> nodes;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sysfs / topology, ignored)) {
    const auto number = number_in(entry.path().filename().string());
    Node node{properties_in(entry.path() / "properties"), {}, first_line(entry.path() / "gpu_id")};
    if (!number || node.property("simd_count") == 0) continue;
    const std::uint64_t place = node.property("location_id");
    node.pci = fmt::format("{:04x}:{:02x}:{:02x}.{:x}", node.property("domain"), (place >> 8) & 0xff,
                           (place >> 3) & 0x1f, place & 7);
    nodes.emplace(*number, std::move(node));
  }
  std::vector<Node> sorted;
  for (auto& [number, node] : nodes) sorted.push_back(std::move(node));
  return sorted;
}

/// Processes with memory on the GPU; those that draw pictures are not among them.
std::vector<Holder> holders_of(const fs::path& sysfs, const std::string& gpu_id) {
  std::vector<Holder> holders;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sysfs / "class/kfd/kfd/proc", ignored)) {
    const auto number = number_in(entry.path().filename().string());
    const auto bytes = number_in(first_line(entry.path() / ("vram_" + gpu_id)));
    if (!number || !bytes || *bytes == 0) continue;
    const auto pid = static_cast<pid_t>(*number);
    holders.push_back(
        {pid, std::max(::getpgid(pid), pid_t{0}), first_line(fmt::format("/proc/{}/comm", pid)), *bytes >> 20});
  }
  return holders;
}

std::string name_of(const Node& node, const fs::path& folder) {
  std::string name = first_line(folder / "product_name");
  if (!name.empty()) return name;
  const std::uint64_t version = node.property("gfx_target_version");  // 90402: gfx942
  if (version == 0) return "AMD GPU";
  return fmt::format("AMD GPU gfx{}{:x}{:x}", version / 10000, version / 100 % 100, version % 100);
}

std::uint64_t memory_mib_of(const Node& node, const fs::path& sysfs, const char* what = "total") {
  const fs::path file = sysfs / "bus/pci/devices" / node.pci / fmt::format("mem_info_vram_{}", what);
  return number_in(first_line(file)).value_or(0) >> 20;
}

Device device_of(const Node& node, std::uint32_t index, const fs::path& sysfs) {
  const fs::path folder = sysfs / "bus/pci/devices" / node.pci;
  Device device;
  device.vendor = Vendor::amd;
  device.index = index;
  device.pci = node.pci;
  const std::uint64_t id = node.property("unique_id");
  device.uuid = id == 0 ? "PCI-" + node.pci : fmt::format("GPU-{:016x}", id);
  device.selector = id == 0 ? std::to_string(index) : device.uuid;
  device.name = name_of(node, folder);
  device.memory_mib = memory_mib_of(node, sysfs);
  device.memory_free_mib = device.memory_mib - std::min(memory_mib_of(node, sysfs, "used"), device.memory_mib);
  if (const auto busy = number_in(first_line(folder / "gpu_busy_percent")))
    device.utilisation_percent = static_cast<std::uint32_t>(*busy);
  device.holders = holders_of(sysfs, node.gpu_id);
  add_place(device);
  return device;
}

/// Why this process cannot open the file; or nothing.
std::string why_closed(const fs::path& file) {
  return ::access(file.c_str(), R_OK | W_OK) == 0 ? "" : fmt::format("{}: {}", file.string(), std::strerror(errno));
}

/// Divided cards, and those that this process may not open, are left out and said to be.
void add_device(const std::vector<Node>& nodes, std::uint32_t index, const fs::path& sysfs, Inventory& inventory) {
  const Node& node = nodes[index];
  const auto same_card = [&](const Node& other) { return other.pci == node.pci; };
  if (const auto parts = std::count_if(nodes.begin(), nodes.end(), same_card); parts > 1) {
    if (std::find_if(nodes.begin(), nodes.end(), same_card) != nodes.begin() + index) return;  // said already
    inventory.problems.push_back(fmt::format(
        "the AMD GPU at {} is left out: it is divided into {} parts, and what one takes of their common memory "
        "the others do not show; amd-smi set --compute-partition SPX makes it one again",
        node.pci, parts));
    return;
  }
  const fs::path file = sysfs.parent_path() / "dev/dri" / fmt::format("renderD{}", node.property("drm_render_minor"));
  if (const std::string why = why_closed(file); !why.empty()) {
    inventory.remarks.push_back(fmt::format(
        "the AMD GPU at {} is not for this process: {} (its container or batch system keeps it away, or this "
        "user is not in the group render)",
        node.pci, why));
    return;
  }
  Device device = device_of(node, index, sysfs);
  device.only_if_named = device.memory_mib < integrated_mib;
  if (device.only_if_named) {
    inventory.remarks.push_back(fmt::format(
        "the AMD GPU at {} is taken for the graphics inside of the processor, for it has {} MiB of memory: it "
        "is used only if --gpus {} or ROCR_VISIBLE_DEVICES names it",
        device.pci, device.memory_mib, device.uuid));
  }
  inventory.devices.push_back(std::move(device));
}

}  // namespace

Inventory read_amd(const fs::path& sysfs) {
  Inventory inventory;
  inventory.source = "sysfs";
  inventory.driver = first_line(sysfs / "module/amdgpu/version");
  const std::vector<Node> nodes = nodes_of(sysfs);
  const auto is_card = [&](const Node& node) { return memory_mib_of(node, sysfs) >= integrated_mib; };
  if (const std::string why = why_closed(sysfs.parent_path() / "dev/kfd"); !why.empty()) {
    if (std::any_of(nodes.begin(), nodes.end(), is_card)) {
      inventory.problems.push_back(
          fmt::format("AMD's GPUs cannot be used: {}. Add this user to the groups render and video (usermod -aG "
                      "render,video NAME) and log in again; start a container with --device /dev/kfd --device /dev/dri",
                      why));
    }
    return inventory;
  }
  for (std::uint32_t index = 0; index < nodes.size(); ++index) add_device(nodes, index, sysfs, inventory);
  return inventory;
}

}  // namespace dc::gpu

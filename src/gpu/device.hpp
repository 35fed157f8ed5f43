// A device that a worker can have to itself, as the driver tells of it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"

namespace dc::gpu {

enum class Vendor : std::uint8_t { nvidia = 0, amd = 1 };

/// A process that has memory on a device.
struct Holder {
  pid_t pid{};
  pid_t group{};     ///< its process group; 0 when this process cannot see it (it is outside our container)
  std::string name;  ///< of its program, or empty
  std::optional<std::uint64_t> memory_mib;  ///< nothing when the driver does not tell
  bool operator==(const Holder&) const = default;
};

/// For people: "python (pid 4711, 48000 MiB)".
std::string text_of(const Holder& holder);

/// A whole GPU, or a MIG instance of one. A GPU that is cut into instances is not itself in a list of devices.
struct Device {
  Vendor vendor = Vendor::nvidia;
  std::string uuid;            ///< "GPU-…", "MIG-…"; an AMD card without one: "PCI-" and its address
  std::string parent;          ///< of a MIG instance: the UUID of its GPU; else empty
  std::string name;            ///< "NVIDIA A100-SXM4-40GB"
  std::string pci;             ///< "0000:3b:00.0"
  std::uint32_t index{};       ///< of the whole GPU among its vendor's, as CUDA counts by PCI addresses, or ROCm
  std::uint32_t mig_index{};   ///< of an instance on its GPU, as `nvidia-smi -L` counts
  std::string mig_place;       ///< of an instance: "gi/ci", its GPU instance and compute instance
  std::string selector;        ///< what names it in CUDA_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES
  std::uint64_t memory_mib{};  ///< 0: not known
  std::uint64_t memory_free_mib{};
  std::optional<std::uint32_t> utilisation_percent;
  std::optional<std::uint32_t> temperature_c;
  std::vector<Holder> holders;
  std::optional<std::uint32_t> numa_node;  ///< of the cores and the memory of the machine that are near it
  std::vector<std::uint32_t> cpus;         ///< that are near it; empty: not known
  std::string lost;                        ///< why it cannot be used any more, as the driver says; empty: it can
  std::string faults;                      ///< what the driver reported since the node looks: Xid, ECC; may be empty
  bool only_if_named = false;              ///< it is here, and nobody wants it who does not say so
  bool operator==(const Device&) const = default;
};

/// "39000 of 40960 MiB free", or that it is not known.
std::string memory_of(const Device& device);

/// What the driver says of it now, as far as it does: "39000 of 40960 MiB free, 12 % busy, 41 °C".
std::string readings_of(const Device& device);

/// Sorts the devices of one vendor by their PCI addresses, and numbers them so.
void number_devices(std::vector<Device>& devices);

/// One look at all devices.
struct Inventory {
  TimePoint taken_at{};               ///< when the look began
  std::string source;                 ///< "NVML", "/proc/driver/nvidia", "sysfs"; empty: no device
  std::string driver;                 ///< its version, or empty
  std::vector<Device> devices;        ///< NVIDIA's before AMD's, each in the order of their indices
  std::vector<std::string> problems;  ///< sentences about what is wrong: skipped, or could not be asked
  std::vector<std::string> remarks;   ///< sentences about what is left out for a good reason
  bool answered = true;               ///< false: the driver could not be asked at all this time
};

}  // namespace dc::gpu

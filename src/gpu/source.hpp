// Where the node learns of devices: NVML, or /proc where that cannot be had, and AMD's sysfs.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "gpu/device.hpp"
#include "gpu/nvml.hpp"

namespace dc::gpu {

/// All of it may hang in a driver, and therefore belongs on a thread of its own (see watch.hpp).
class Source {
 public:
  /// A look at everything. The first one decides which way NVIDIA's devices are asked from then on.
  Inventory read();
  /// Returns after this time: false, or as soon as a driver has reported a fault: true.
  bool pause(std::chrono::milliseconds time);

 private:
  Inventory read_nvidia();
  void complain(const std::string& why);
  bool decided_ = false;  ///< whether NVML is used
  std::unique_ptr<Nvml> nvml_;
  std::string problem_, remark_;  ///< why NVML is not used, though it is there
};

/// What can be known without asking any driver: for a node whose driver does not answer.
Inventory read_without_driver();

}  // namespace dc::gpu

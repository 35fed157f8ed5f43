// NVIDIA's devices through NVML, which is loaded at run time. Any call may hang for as long as the driver likes.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "core/result.hpp"
#include "gpu/device.hpp"
#include "gpu/nvml_api.hpp"

namespace dc::gpu {

/// Path of another library than libnvidia-ml.so.1.
inline constexpr const char* nvml_variable = "DISTRIBUTED_COMPUTING_NVML";

class Nvml {
 public:
  /// ErrorCode::not_found: there is no such library here; io: there is one, and it does not work. No CUDA context is
  /// made, here or later.
  static Result<std::unique_ptr<Nvml>> load();
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  Inventory read();
  /// Waits this long for the driver to report a fault; true as soon as it has. False at once when it reports none.
  bool wait_for_fault(std::chrono::milliseconds time);
  [[nodiscard]] bool reports_faults() const { return events_ != nullptr; }

 private:
  struct Api;
  Nvml() = default;
  bool add_gpu(std::uint32_t index, Inventory& inventory);
  void add_instances(nvml::Handle gpu, const Device& whole, Inventory& inventory);
  void describe(nvml::Handle handle, Device& device, Inventory& inventory);
  nvml::Return add_memory(nvml::Handle handle, Device& device);
  void add_holders(nvml::Handle handle, Device& device);
  void add_cpus(nvml::Handle handle, Device& device);
  void watch_faults(nvml::Handle handle, const std::string& uuid);
  void count_memory_errors(nvml::Handle handle, const std::string& uuid);
  void note_fault(const nvml::EventData& event);
  [[nodiscard]] std::string text_of(nvml::Return code) const;
  [[nodiscard]] std::string name_of_process(unsigned pid) const;

  std::unique_ptr<Api> api_;
  nvml::EventSet events_ = nullptr;
  std::map<nvml::Handle, std::string> watched_;  ///< UUIDs of the GPUs whose faults are reported
  std::map<std::string, std::string> faults_;    ///< the latest, by the UUID of the GPU and, if one alone, "/instance"
  std::map<std::string, int> fault_counts_;
  std::map<std::string, unsigned long long> memory_errors_;
  std::map<std::string, std::string> lost_;  ///< GPUs that have fallen off the bus
};

}  // namespace dc::gpu

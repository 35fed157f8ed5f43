// See device_wish.hpp.
#include "core/device_wish.hpp"

#include <fmt/format.h>

#include "core/limits.hpp"

namespace dc {

std::string problem_of_devices(const PoolOptions& options) {
  if (options.gpus_per_worker < 1 || options.gpus_per_worker > limits::gpus_per_worker_max)
    return fmt::format("gpus_per_worker is {}: it must be between 1 and {}", options.gpus_per_worker,
                       limits::gpus_per_worker_max);
  if (options.device != DeviceWish::cpu) return {};
  if (options.min_gpu_memory_mib > 0)
    return "device is cpu, and min_gpu_memory_required asks for GPU memory: leave one of them out";
  if (options.gpus_per_worker > 1)
    return fmt::format("device is cpu, and gpus_per_worker asks for {} GPUs: leave one of them out",
                       options.gpus_per_worker);
  return {};
}

}  // namespace dc

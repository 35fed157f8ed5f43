// What a pool may ask of devices.
#include "core/device_wish.hpp"

#include <gtest/gtest.h>

namespace dc {
namespace {

PoolOptions asking(DeviceWish device, std::uint64_t memory, std::uint32_t gpus) {
  PoolOptions options;
  options.device = device;
  options.min_gpu_memory_mib = memory;
  options.gpus_per_worker = gpus;
  return options;
}

TEST(DeviceWish, ContradictionsAreNamed) {
  for (const DeviceWish device : {DeviceWish::any, DeviceWish::gpu}) {
    EXPECT_EQ(problem_of_devices(asking(device, 0, 1)), "");
    EXPECT_EQ(problem_of_devices(asking(device, 80000, limits::gpus_per_worker_max)), "");
    EXPECT_EQ(problem_of_devices(asking(device, 0, 0)), "gpus_per_worker is 0: it must be between 1 and 64");
    EXPECT_EQ(problem_of_devices(asking(device, 0, 65)), "gpus_per_worker is 65: it must be between 1 and 64");
  }
  EXPECT_EQ(problem_of_devices(asking(DeviceWish::cpu, 0, 1)), "");
  EXPECT_EQ(problem_of_devices(asking(DeviceWish::cpu, 1, 1)),
            "device is cpu, and min_gpu_memory_required asks for GPU memory: leave one of them out");
  EXPECT_EQ(problem_of_devices(asking(DeviceWish::cpu, 0, 2)),
            "device is cpu, and gpus_per_worker asks for 2 GPUs: leave one of them out");
}

}  // namespace
}  // namespace dc

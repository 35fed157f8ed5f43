// NVIDIA's devices through a library that stands in for NVML.
#include "gpu/nvml.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include "gpu/fixture_for_tests.hpp"

namespace dc::gpu {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class NvmlTest : public Machine {
 protected:
  Inventory read() {
    if (!library) {
      auto loaded = Nvml::load();
      EXPECT_TRUE(loaded.has_value()) << (loaded ? "" : loaded.error().message);
      library = std::move(loaded.value());
    }
    return library->read();
  }
  std::unique_ptr<Nvml> library;
};

std::vector<std::string> uuids(const Inventory& inventory) {
  std::vector<std::string> all;
  for (const Device& device : inventory.devices) all.push_back(device.uuid);
  return all;
}

TEST_F(NvmlTest, ADeviceIsToldWithAllItsFacts) {
  nvml(
      "driver 550.54\n"
      "gpu GPU-a name=NVIDIA_A100 pci=0000:3b:00.0 memory=40960 used=1000 temperature=41 use=7 cpus=2,5\n"
      "process GPU-a 4000000 memory=900 name=/usr/bin/python3\n"
      "process GPU-a 1 name=init\n");
  write("sys/bus/pci/devices/0000:3b:00.0/numa_node", "1\n");
  const Inventory inventory = read();
  EXPECT_EQ(inventory.driver, "550.54");
  EXPECT_EQ(inventory.source, "NVML");
  EXPECT_THAT(inventory.problems, IsEmpty());
  Device expected;
  expected.uuid = expected.selector = "GPU-a";
  expected.name = "NVIDIA A100";
  expected.pci = "0000:3b:00.0";
  expected.memory_mib = 40960;
  expected.memory_free_mib = 39960;
  expected.temperature_c = 41;
  expected.utilisation_percent = 7;
  expected.numa_node = 1;
  expected.cpus = {2, 5};
  expected.holders = {{4000000, 0, "python3", 900}, {1, ::getpgid(1), "init", std::nullopt}};
  EXPECT_THAT(inventory.devices, ElementsAre(expected));
}

TEST_F(NvmlTest, NoneAndEightAreCountedInTheOrderOfPciAddresses) {
  nvml("");
  EXPECT_THAT(read().devices, IsEmpty());
  std::string text;
  for (int i = 0; i < 8; ++i) {
    text += "gpu GPU-" + std::to_string(i) + " memory=1000 pci=0000:0" + std::to_string(8 - i) + ":00.0\n";
  }
  nvml(text);
  const Inventory inventory = read();
  EXPECT_THAT(uuids(inventory), ElementsAre("GPU-7", "GPU-6", "GPU-5", "GPU-4", "GPU-3", "GPU-2", "GPU-1", "GPU-0"));
  EXPECT_EQ(inventory.devices[0].index, 0U);
  EXPECT_EQ(inventory.devices[7].index, 7U);
}

TEST_F(NvmlTest, ACutGpuIsItsInstances) {
  nvml(
      "gpu GPU-a pci=0000:01:00.0 mig=1\n"
      "mig GPU-a MIG-1 memory=4864 used=10 place=7/0 name=A100_MIG_1g.5gb\n"
      "mig GPU-a MIG-2 memory=4864 used=20 place=8/0\n"
      "gpu GPU-b pci=0000:02:00.0 memory=100\n"
      "gpu GPU-c pci=0000:03:00.0 mig=1\n");
  const Inventory inventory = read();
  ASSERT_THAT(uuids(inventory), ElementsAre("MIG-1", "MIG-2", "GPU-b"));
  const Device& second = inventory.devices[1];
  EXPECT_EQ(second.parent, "GPU-a");
  EXPECT_EQ(second.mig_place, "8/0");
  EXPECT_EQ(second.mig_index, 1U);
  EXPECT_EQ(second.index, 0U);
  EXPECT_EQ(second.memory_free_mib, 4844U);
  EXPECT_EQ(inventory.devices[0].name, "A100 MIG 1g.5gb");
  EXPECT_EQ(inventory.devices[2].index, 1U);
  EXPECT_THAT(inventory.problems, ElementsAre(HasSubstr("GPU-c is left out: MIG is on and it has no instance")));
}

TEST_F(NvmlTest, GpusThatAreKeptFromThisProcessAreNoProblem) {
  nvml(
      "gpu GPU-a pci=0000:01:00.0 memory=100 kept_away=1\n"
      "gpu GPU-b pci=0000:02:00.0 memory=100\n"
      "gpu GPU-c pci=0000:03:00.0 memory=100 kept_away=1\n");
  const Inventory inventory = read();
  EXPECT_THAT(uuids(inventory), ElementsAre("GPU-b"));
  EXPECT_EQ(inventory.devices[0].index, 0U) << "CUDA counts those alone that it may use";
  EXPECT_THAT(inventory.problems, IsEmpty());
  EXPECT_THAT(inventory.remarks, ElementsAre(HasSubstr("2 of 3 NVIDIA GPUs are not for this process")));
}

TEST_F(NvmlTest, OfMemoryThatTheSystemManagesIsFreeWhatNoProcessHolds) {
  nvml(
      "gpu GPU-a pci=0000:01:00.0 memory=1000 used=900 node=1\n"
      "gpu GPU-b pci=0000:02:00.0\n"
      "process GPU-a 4000000 memory=300\nprocess GPU-b 4000001 memory=10\nprocess GPU-b 4000002\n");
  const Inventory inventory = read();
  ASSERT_THAT(inventory.devices, SizeIs(2));
  EXPECT_THAT(inventory.problems, IsEmpty());
  EXPECT_EQ(inventory.devices[0].memory_free_mib, 700U) << "the rest is a cache of files";
  const auto machine = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE) >> 20;
  EXPECT_EQ(inventory.devices[1].memory_mib, machine);
  EXPECT_EQ(inventory.devices[1].memory_free_mib, machine - 10);
}

TEST_F(NvmlTest, ALostDeviceIsSaidToBe) {
  nvml("gpu GPU-a memory=100\ngpu GPU-b memory=100\n");
  EXPECT_THAT(read().devices, SizeIs(2));
  nvml("gpu GPU-a memory=100 lost=1\ngpu GPU-b memory=100\n");
  const Inventory inventory = read();
  ASSERT_THAT(uuids(inventory), ElementsAre("GPU-a", "GPU-b"));
  EXPECT_EQ(inventory.devices[0].lost, "GPU is lost (NVML error 15)");
  EXPECT_EQ(inventory.devices[1].lost, "");
}

TEST_F(NvmlTest, WhatTheDriverReportsIsKept) {
  nvml("gpu GPU-a memory=100 errors=3\ngpu GPU-b memory=100\n");
  EXPECT_EQ(read().devices[0].faults, "") << "older errors are history";
  EXPECT_FALSE(library->wait_for_fault(0ms));
  nvml("gpu GPU-a memory=100 errors=5\ngpu GPU-b memory=100\nxid GPU-b 79\n");
  EXPECT_TRUE(library->wait_for_fault(5s));
  const Inventory inventory = read();
  EXPECT_EQ(inventory.devices[0].faults, "2 uncorrected memory errors (ECC)");
  EXPECT_EQ(inventory.devices[1].faults, "Xid 79");
  EXPECT_THAT(inventory.devices[1].lost, HasSubstr("fallen off the bus"));
  nvml("gpu GPU-a memory=100\ngpu GPU-b memory=100\nxid GPU-b 79\nxid GPU-a 31\nxid GPU-a 31\n");
  EXPECT_EQ(read().devices[0].faults, "Xid 31 (report 2)") << "a second one is told from the first";
}

TEST_F(NvmlTest, AFaultOfOneInstanceIsNotThatOfItsSiblings) {
  const std::string slices =
      "gpu GPU-a mig=1\nmig GPU-a MIG-1 memory=10 place=7/0\nmig GPU-a MIG-2 memory=10 place=8/0\n";
  nvml(slices);
  EXPECT_THAT(read().devices, SizeIs(2));
  nvml(slices + "xid GPU-a 31 instance=8\n");
  Inventory inventory = read();
  EXPECT_EQ(inventory.devices[0].faults, "");
  EXPECT_EQ(inventory.devices[1].faults, "Xid 31");
  nvml(slices + "xid GPU-a 31 instance=8\nxid GPU-a 94\n");
  inventory = read();
  EXPECT_EQ(inventory.devices[0].faults, "Xid 94");
  EXPECT_EQ(inventory.devices[1].faults, "Xid 94, Xid 31");
}

TEST_F(NvmlTest, CallsThatFailCostTheirFactAlone) {
  nvml(
      "gpu GPU-a memory=100 temperature=40\nfail nvmlDeviceGetTemperature 999\nfail nvmlDeviceGetMemoryInfo 999\n"
      "fail nvmlDeviceGetComputeRunningProcesses_v2 4\nfail nvmlSystemGetDriverVersion 1\nfail nvmlEventSetCreate 3\n");
  const Inventory inventory = read();
  ASSERT_THAT(inventory.devices, SizeIs(1));
  EXPECT_EQ(inventory.devices[0].memory_mib, 0U);
  EXPECT_EQ(inventory.devices[0].temperature_c, std::nullopt);
  EXPECT_THAT(inventory.problems, ElementsAre(HasSubstr("the memory of GPU-a is not known")));
  nvml("gpu GPU-a memory=100\nfail nvmlDeviceGetHandleByIndex_v2 999\n");
  EXPECT_THAT(read().problems, ElementsAre("GPU 0 is left out: Unknown Error (NVML error 999)"));
  nvml("gpu GPU-a memory=100\nfail nvmlDeviceGetCount_v2 999\n");
  EXPECT_FALSE(read().answered);
}

TEST_F(NvmlTest, ALibraryThatDoesNotWorkIsToldFromNone) {
  nvml("fail nvmlInit_v2 9\n");
  const auto broken = Nvml::load();
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().code, ErrorCode::io);
  EXPECT_EQ(broken.error().message,
            "NVIDIA's driver does not work: Driver Not Loaded (NVML error 9): is the kernel module nvidia loaded?");
  ::setenv(nvml_variable, "/nowhere/libnvidia-ml.so.1", 1);
  const auto none = Nvml::load();
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace dc::gpu

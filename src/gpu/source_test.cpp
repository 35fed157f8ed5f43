// The other ways to learn of devices: /proc, and AMD's files.
#include "gpu/source.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "gpu/amd.hpp"
#include "gpu/fixture_for_tests.hpp"
#include "gpu/masks.hpp"
#include "gpu/nvidia_proc.hpp"

namespace dc::gpu {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(Machine, ProcTellsNamesAndUuids) {
  write("driver/nvidia/gpus/0000:3b:00.0/information",
        "Model: \t\t NVIDIA A100\nIRQ:   \t\t 100\nGPU UUID: \t GPU-a\nBus Location: \t 0000:3b:00.0\n");
  write("driver/nvidia/gpus/0000:af:00.0/information",
        "Model: \t\t NVIDIA A100\nGPU UUID: \t GPU-???????"
        "?-????\n");
  write("sys/bus/pci/devices/0000:3b:00.0/numa_node", "1\n");
  write("sys/bus/pci/devices/0000:3b:00.0/local_cpulist", "0-2,8\n");
  const Inventory inventory = read_proc(root);
  ASSERT_THAT(inventory.devices, SizeIs(1));
  EXPECT_EQ(inventory.devices[0].uuid, "GPU-a");
  EXPECT_EQ(inventory.devices[0].name, "NVIDIA A100");
  EXPECT_EQ(memory_of(inventory.devices[0]), "memory not known");
  EXPECT_EQ(inventory.devices[0].numa_node, 1U);
  EXPECT_THAT(inventory.devices[0].cpus, ElementsAre(0, 1, 2, 8));
  EXPECT_THAT(inventory.problems, ElementsAre(HasSubstr("0000:af:00.0 is left out")));
  EXPECT_THAT(read_proc(root / "nothing").devices, IsEmpty());
}

/// The files of AMD's kernel driver: a node of the topology for each GPU, and the folder of its PCI device.
class Amd : public Machine {
 protected:
  Amd() {
    node(0, "cpu_cores_count 16\nsimd_count 0\n");
    write("dev/kfd", "");
  }
  void node(int number, const std::string& properties) {
    const std::string folder = "sys/class/kfd/kfd/topology/nodes/" + std::to_string(number) + "/";
    write(folder + "properties", properties);
    write(folder + "gpu_id", std::to_string(1000 + number) + "\n");
  }
  /// A GPU at bus `bus`, with the render node number 128 + bus.
  void card(int number, int bus, std::uint64_t id, std::uint64_t mebibytes, const std::string& more = "") {
    node(number, fmt::format("cpu_cores_count 0\nsimd_count 416\ngfx_target_version 90010\nlocation_id {}\ndomain 0\n"
                             "drm_render_minor {}\nunique_id {}\n{}",
                             bus << 8, 128 + bus, id, more));
    const std::string folder = fmt::format("sys/bus/pci/devices/0000:{:02x}:00.0/", bus);
    write(folder + "mem_info_vram_total", std::to_string(mebibytes << 20) + "\n");
    write(folder + "mem_info_vram_used", std::to_string(std::uint64_t{16} << 20) + "\n");
    write(folder + "gpu_busy_percent", "7\n");
    write(folder + "numa_node", "-1\n");
    write(folder + "local_cpulist", "0-1\n");
    write(fmt::format("dev/dri/renderD{}", 128 + bus), "");
  }
  Inventory read() { return read_amd(root / "sys"); }
};

TEST_F(Amd, GpusAreThoseOfTheComputeDriverInItsOrder) {
  card(10, 0xc1, 0, 65536);
  card(2, 0xc3, 0xf0e1d2c3b4a59687, 65536);
  write("sys/bus/pci/devices/0000:c3:00.0/product_name", "Instinct MI210\n");
  write("sys/class/kfd/kfd/proc/4000000/vram_1002", std::to_string(std::uint64_t{300} << 20) + "\n");
  write("sys/class/kfd/kfd/proc/4000000/vram_1010", "0\n");
  const Inventory inventory = read();
  ASSERT_THAT(inventory.devices, SizeIs(2));
  EXPECT_THAT(inventory.problems, IsEmpty());
  EXPECT_THAT(inventory.remarks, IsEmpty());
  const Device &first = inventory.devices[0], &second = inventory.devices[1];
  EXPECT_EQ(first.uuid, "GPU-f0e1d2c3b4a59687");
  EXPECT_EQ(first.selector, first.uuid);
  EXPECT_EQ(first.name, "Instinct MI210");
  EXPECT_EQ(first.index, 0U);
  EXPECT_EQ(first.holders, (std::vector<Holder>{{4000000, 0, "", 300}}));
  EXPECT_EQ(second.uuid, "PCI-0000:c1:00.0");
  EXPECT_EQ(second.pci, "0000:c1:00.0");
  EXPECT_EQ(second.selector, "1");
  EXPECT_EQ(second.name, "AMD GPU gfx90a");
  EXPECT_EQ(second.memory_mib, 65536U);
  EXPECT_EQ(second.memory_free_mib, 65520U);
  EXPECT_EQ(second.utilisation_percent, 7U);
  EXPECT_EQ(second.numa_node, std::nullopt);
  EXPECT_THAT(second.cpus, ElementsAre(0, 1));
  EXPECT_THAT(second.holders, IsEmpty());
}

TEST_F(Amd, TheGraphicsOfAProcessorAreUsedOnlyIfTheyAreNamed) {
  card(1, 0x0c, 0, 512);
  card(2, 0x03, 0xaa, 24576);
  const Inventory inventory = read();
  EXPECT_THAT(inventory.remarks,
              ElementsAre(HasSubstr("0000:0c:00.0 is taken for the graphics inside of the processor")));
  const auto uuids = [&](const Selection& selection, const Masks& masks) {
    std::vector<std::string> all;
    const Plan plan = plan_slots(inventory, masks, selection, 1).value();
    for (const Device& device : plan.devices) all.push_back(device.uuid);
    EXPECT_TRUE(plan.hide_amd);
    return all;
  };
  EXPECT_THAT(uuids({}, {}), ElementsAre("GPU-00000000000000aa"));
  Selection by_name;
  by_name.gpus = {{"0"}};
  EXPECT_THAT(uuids(by_name, {}), ElementsAre("PCI-0000:0c:00.0"));
  Masks mask;
  mask.rocr = "1,0";
  EXPECT_THAT(uuids({}, mask), ElementsAre("GPU-00000000000000aa", "PCI-0000:0c:00.0"));
}

TEST_F(Amd, WhatThisProcessMayNotOpenIsLeftOutAndStillCounted) {
  card(1, 0x03, 0, 24576);
  card(2, 0x04, 0, 24576);
  std::filesystem::remove(root / "dev/dri/renderD131");
  Inventory inventory = read();
  ASSERT_THAT(inventory.devices, SizeIs(1));
  EXPECT_EQ(inventory.devices[0].selector, "1");
  EXPECT_THAT(inventory.remarks, ElementsAre(HasSubstr("dev/dri/renderD131: No such file or directory")));
  std::filesystem::remove(root / "dev/kfd");
  inventory = read();
  EXPECT_THAT(inventory.devices, IsEmpty());
  EXPECT_THAT(inventory.problems, ElementsAre(HasSubstr("dev/kfd: No such file or directory. Add this user to")));
}

TEST_F(Amd, WithoutTheComputeDriverOrARealCardNothingIsSaid) {
  std::filesystem::remove(root / "dev/kfd");
  card(1, 0x0c, 0, 512);
  Inventory inventory = read();
  EXPECT_THAT(inventory.devices, IsEmpty());
  EXPECT_THAT(inventory.problems, IsEmpty());
  std::filesystem::remove_all(root / "sys");
  inventory = read();
  EXPECT_THAT(inventory.devices, IsEmpty());
  EXPECT_THAT(inventory.problems, IsEmpty());
}

TEST_F(Amd, ADividedCardIsAProblem) {
  card(1, 0x03, 0xaa, 196608);
  for (const int part : {2, 3}) card(part, 0x03, 0xaa, 196608, fmt::format("location_id {}\n", part << 28 | 3 << 8));
  card(4, 0x04, 0xbb, 196608);
  const Inventory inventory = read();
  ASSERT_THAT(inventory.devices, SizeIs(1));
  EXPECT_EQ(inventory.devices[0].index, 3U);
  EXPECT_THAT(inventory.problems, ElementsAre(HasSubstr("0000:03:00.0 is left out: it is divided into 3 parts")));
}

TEST_F(Amd, BothVendorsAreOneInventory) {
  nvml("driver 1.2\ngpu GPU-n memory=10\n");
  card(1, 3, 0xaa, 65536);
  Source source;
  const Inventory inventory = source.read();
  EXPECT_EQ(inventory.source, "NVML, sysfs");
  ASSERT_THAT(inventory.devices, SizeIs(2));
  EXPECT_EQ(inventory.devices[0].uuid, "GPU-n");
  EXPECT_EQ(inventory.devices[1].vendor, Vendor::amd);
}

TEST_F(Machine, ALibraryWithoutACardIsNoProblem) {
  nvml("fail nvmlInit_v2 9\n");
  write("sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n");
  write("sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n");
  const Inventory inventory = Source().read();
  EXPECT_THAT(inventory.problems, IsEmpty());
  EXPECT_THAT(inventory.remarks,
              ElementsAre(HasSubstr("there is no card of NVIDIA here; NVIDIA's driver does not work")));
}

TEST_F(Machine, ABrokenDriverIsAProblem) {
  nvml("fail nvmlInit_v2 18\n");
  write("sys/bus/pci/devices/0000:3b:00.0/vendor", "0x10de\n");
  write("sys/bus/pci/devices/0000:3b:00.0/class", "0x030200\n");
  EXPECT_THAT(Source().read().problems, Contains(HasSubstr("library and kernel module differ")));
}

}  // namespace
}  // namespace dc::gpu

// The other ways to learn of devices: nvidia-smi, /proc, and AMD's files.
#include "gpu/source.hpp"

#include <gmock/gmock.h>

#include "gpu/amd.hpp"
#include "gpu/fallback.hpp"
#include "gpu/fixture.hpp"

namespace dc::gpu {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(NvidiaSmi, ItsTableIsRead) {
  const Inventory inventory = inventory_of_smi(
      "GPU-b, NVIDIA A100-SXM4-40GB, 00000000:B1:00.0, 40960, 39000, 12, 35, 550.54\n"
      "GPU-a, Tesla T4, 00000000:3B:00.0, 15360, [N/A], [Not Supported], 40, 550.54\n"
      "No devices were found\n",
      "GPU-b, 4000000, /usr/bin/python3, 1024\nGPU-b, 4000001, x, [N/A]\n");
  ASSERT_THAT(inventory.devices, SizeIs(2));
  const Device &first = inventory.devices[0], &second = inventory.devices[1];
  EXPECT_EQ(inventory.driver, "550.54");
  EXPECT_EQ(first.uuid, "GPU-a");
  EXPECT_EQ(first.pci, "0000:3b:00.0");
  EXPECT_EQ(first.utilisation_percent, std::nullopt);
  EXPECT_EQ(second.index, 1U);
  EXPECT_EQ(second.name, "NVIDIA A100-SXM4-40GB");
  EXPECT_EQ(second.memory_free_mib, 39000U);
  EXPECT_EQ(second.temperature_c, 35U);
  EXPECT_EQ(second.holders, (std::vector<Holder>{{4000000, 0, "python3", 1024}, {4000001, 0, "x", std::nullopt}}));
}

TEST(NvidiaSmi, ACommandHasATimeLimit) {
  EXPECT_EQ(output_of({"/bin/echo", "hello"}, 10s), "hello\n");
  EXPECT_EQ(output_of({"/bin/false"}, 10s), std::nullopt);
  EXPECT_EQ(output_of({"/nowhere/command"}, 10s), std::nullopt);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(output_of({"/bin/sleep", "60"}, 100ms), std::nullopt);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

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
  EXPECT_EQ(inventory.devices[0].numa_node, 1U);
  EXPECT_THAT(inventory.devices[0].cpus, ElementsAre(0, 1, 2, 8));
  EXPECT_THAT(inventory.problems, ElementsAre(HasSubstr("0000:af:00.0 is left out")));
  EXPECT_THAT(read_proc(root / "nothing").devices, IsEmpty());
}

/// As the kernel shows it: card0/device leads to the folder of the PCI device.
class Amd : public Machine {
 protected:
  void card(int number, const std::string& address, const std::string& id, const std::string& vendor = "0x1002") {
    const std::string folder = "sys/devices/pci/" + address + "/";
    write(folder + "vendor", vendor + "\n");
    write(folder + "device", "0x740c\n");
    write(folder + "mem_info_vram_total", std::to_string(std::uint64_t{64} << 30) + "\n");
    write(folder + "mem_info_vram_used", std::to_string(std::uint64_t{1} << 30) + "\n");
    if (!id.empty()) write(folder + "unique_id", id + "\n");
    write(folder + "numa_node", "-1\n");
    write(folder + "local_cpulist", "0-1\n");
    const auto link = root / ("sys/class/drm/card" + std::to_string(number));
    std::filesystem::create_directories(link);
    std::filesystem::create_directory_symlink(root / folder, link / "device");
  }
};

TEST_F(Amd, CardsAreReadFromSysfs) {
  card(1, "0000:c1:00.0", "");
  card(0, "0000:c3:00.0", "f0e1d2c3b4a59687");
  card(2, "0000:c5:00.0", "", "0x10de");
  std::filesystem::create_directories(root / "sys/class/drm/card0-DP-1");
  const Inventory inventory = read_amd(root / "sys");
  ASSERT_THAT(inventory.devices, SizeIs(2));
  const Device &first = inventory.devices[0], &second = inventory.devices[1];
  EXPECT_EQ(first.uuid, "PCI-0000:c1:00.0");
  EXPECT_EQ(first.selector, "0");
  EXPECT_EQ(second.uuid, "GPU-f0e1d2c3b4a59687");
  EXPECT_EQ(second.selector, "GPU-f0e1d2c3b4a59687");
  EXPECT_EQ(second.index, 1U);
  EXPECT_EQ(second.name, "AMD GPU 0x740c");
  EXPECT_EQ(second.memory_mib, 65536U);
  EXPECT_EQ(second.memory_free_mib, 64512U);
  EXPECT_EQ(second.numa_node, std::nullopt);
  EXPECT_THAT(second.cpus, ElementsAre(0, 1));
}

TEST_F(Amd, BothVendorsAreOneInventory) {
  nvml("driver 1.2\ngpu GPU-n memory=10\n");
  card(0, "0000:c3:00.0", "00");
  Source source;
  const Inventory inventory = source.read();
  EXPECT_EQ(inventory.source, "NVML, sysfs");
  ASSERT_THAT(inventory.devices, SizeIs(2));
  EXPECT_EQ(inventory.devices[0].uuid, "GPU-n");
  EXPECT_EQ(inventory.devices[1].vendor, Vendor::amd);
}

TEST_F(Machine, ABrokenDriverIsAProblemAndNvidiaSmiIsAsked) {
  nvml("fail nvmlInit_v2 18\n");
  write(
      "bin/nvidia-smi",
      "#!/bin/sh\ncase \"$1\" in *compute-apps*) ;; *) echo 'GPU-s, T4, 00000000:3B:00.0, 10, 9, 1, 2, 3.4';; esac\n");
  std::filesystem::permissions(root / "bin/nvidia-smi", std::filesystem::perms::owner_all);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", ((root / "bin").string() + ":" + path).c_str(), 1);
  Source source;
  const Inventory inventory = source.read();
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(inventory.source, "nvidia-smi");
  ASSERT_THAT(inventory.devices, SizeIs(1));
  EXPECT_EQ(inventory.devices[0].uuid, "GPU-s");
  EXPECT_THAT(inventory.problems, ElementsAre(HasSubstr("library and kernel module differ")));
}

}  // namespace
}  // namespace dc::gpu

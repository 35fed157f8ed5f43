// Masks, selections, and the slots and environments that come of them.
#include "gpu/masks.hpp"

#include <gmock/gmock.h>

namespace dc::gpu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Device gpu(std::uint32_t index, std::string uuid, Vendor vendor = Vendor::nvidia) {
  Device device;
  device.vendor = vendor;
  device.index = index;
  device.uuid = device.selector = std::move(uuid);
  device.name = "Card";
  device.memory_mib = 1000 * (index + 1);
  device.memory_free_mib = device.memory_mib - 100;
  return device;
}

Device slice(std::uint32_t index, std::uint32_t number, const std::string& parent) {
  Device device = gpu(index, "MIG-" + parent.substr(4) + std::to_string(number));
  device.parent = parent;
  device.mig_index = number;
  device.mig_place = std::to_string(7 + number) + "/0";
  return device;
}

const std::vector<Device> four{gpu(0, "GPU-aa1"), gpu(1, "GPU-aa2"), gpu(2, "GPU-b"), gpu(3, "GPU-c")};
const std::vector<Device> cut{gpu(0, "GPU-w"), slice(1, 0, "GPU-m"), slice(1, 1, "GPU-m"), slice(1, 2, "GPU-m")};

std::vector<std::size_t> through(const std::vector<Device>& devices, std::optional<std::string> mask,
                                 Vendor vendor = Vendor::nvidia) {
  std::string ignored;
  return masked(devices, vendor, mask, ignored);
}

TEST(Mask, IsReadAsCudaReadsIt) {
  EXPECT_THAT(through(four, std::nullopt), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(through(four, "2,0"), ElementsAre(2, 0));
  EXPECT_THAT(through(four, "GPU-b,GPU-aa2"), ElementsAre(2, 1));
  EXPECT_THAT(through(four, "GPU-c, GPU-b"), ElementsAre(3, 2));
  EXPECT_THAT(through(four, "GPU-c,1"), ElementsAre(3)) << "the ways of writing do not mix";
  EXPECT_THAT(through(four, "1,GPU-c"), ElementsAre(1));
  EXPECT_THAT(through(four, "1,2,1"), IsEmpty()) << "one that is named twice hides all";
  EXPECT_THAT(through(four, "GPU-AA2,GPU-a-a1"), ElementsAre(1, 0));
  EXPECT_THAT(through(four, "gpu-c"), IsEmpty());
  for (const char* none : {"", "-1", "NoDevFiles", "none", "GPU-", "GPU--", "GPU-aa", "GPU-x", "9", "1x"}) {
    EXPECT_THAT(through(four, none), IsEmpty()) << none;
  }
  EXPECT_THAT(through(four, "0,9,1"), ElementsAre(0)) << "an entry that names nothing ends the list";
  EXPECT_THAT(through(four, "0,-1,1"), ElementsAre(0));
}

TEST(Mask, IsReadAsRocmReadsIt) {
  const std::vector<Device> amd{gpu(0, "GPU-00a1", Vendor::amd), gpu(1, "PCI-x", Vendor::amd),
                                gpu(2, "GPU-00a2", Vendor::amd)};
  const auto seen = [&](const char* mask) { return through(amd, mask, Vendor::amd); };
  EXPECT_THAT(seen("2,GPU-00A1,1"), ElementsAre(2, 0, 1));
  EXPECT_THAT(seen("gpu-00a2"), ElementsAre(2));
  EXPECT_THAT(seen("1,0,1,2"), ElementsAre(1, 0)) << "one that is named twice ends the list";
  EXPECT_THAT(seen("0,3,1"), ElementsAre(0));
  EXPECT_THAT(seen("GPU-00"), IsEmpty()) << "ambiguous";
  EXPECT_THAT(seen(""), IsEmpty());
}

TEST(Mask, InstancesHaveNames) {
  EXPECT_THAT(through(cut, std::nullopt), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(through(cut, "MIG-m1"), ElementsAre(2));
  EXPECT_THAT(through(cut, "MIG-m2,MIG-m0"), ElementsAre(3, 1));
  EXPECT_THAT(through(cut, "MIG-m"), IsEmpty()) << "ambiguous";
  EXPECT_THAT(through(cut, "MIG-GPU-m/9/0"), ElementsAre(3));
  EXPECT_THAT(through(cut, "MIG-GPU-m/1/0"), IsEmpty());
  EXPECT_THAT(through(cut, "1"), ElementsAre(1)) << "CUDA shows the first instance of a cut GPU alone";
  EXPECT_THAT(through(cut, "GPU-m"), ElementsAre(1));
}

TEST(Mask, OnlyAnUnusualEndIsRemarkable) {
  const auto problem = [](const char* mask) {
    std::string text;
    masked(four, Vendor::nvidia, mask, text);
    return text;
  };
  EXPECT_EQ(problem("0,7"), "CUDA_VISIBLE_DEVICES=0,7: \"7\" names no device of this machine, and the list ends there");
  EXPECT_THAT(problem("2,GPU-b"), HasSubstr("\"GPU-b\" is written in another way than the first entry"));
  EXPECT_THAT(problem("2,2"), HasSubstr("\"2\" names a device for the second time, and CUDA shows none then"));
  for (const char* usual : {"", "-1", "NoDevFiles", "2,3", "2,-1"}) EXPECT_EQ(problem(usual), "");
}

// --- Slots ------------------------------------------------------------------------------------------------------

Inventory of(std::vector<Device> devices) {
  Inventory inventory;
  inventory.devices = std::move(devices);
  return inventory;
}

std::vector<std::string> slots_of(const Result<Plan>& plan) {
  if (!plan) return {"error: " + plan.error().message};
  std::vector<std::string> texts;
  for (const SlotInfo& slot : plan.value().slots) texts.push_back(slot.gpu.empty() ? slot.device : slot.gpu);
  return texts;
}

std::vector<std::string> slots(const std::vector<Device>& devices, const Selection& selection, Masks masks = {}) {
  return slots_of(plan_slots(of(devices), masks, selection, 3));
}

TEST(Slots, OneForEachDeviceElseOneForEachCore) {
  EXPECT_THAT(slots(four, {}), ElementsAre("GPU-aa1", "GPU-aa2", "GPU-b", "GPU-c"));
  EXPECT_THAT(slots(cut, {}), ElementsAre("GPU-w", "MIG-m0", "MIG-m1", "MIG-m2"));
  EXPECT_THAT(slots({}, {}), ElementsAre("cpu", "cpu", "cpu"));
  EXPECT_THAT(slots(four, {}, {.cuda = "2,1", .rocr = {}, .hip = {}}), ElementsAre("GPU-b", "GPU-aa2"));
  EXPECT_THAT(slots(four, {}, {.cuda = "", .rocr = {}, .hip = {}}), ElementsAre("cpu", "cpu", "cpu"));
  const Plan plan = plan_slots(of(four), {}, {}, 3).value();
  EXPECT_EQ(plan.slots[2], (SlotInfo{2, "Card", 3000, "GPU-b", 2900, ""}));
}

TEST(Slots, APersonChooses) {
  Selection chosen;
  chosen.gpus = list_of("3,GPU-aa1");
  EXPECT_THAT(slots(four, chosen), ElementsAre("GPU-c", "GPU-aa1"));
  chosen.max_gpus = 1;
  EXPECT_THAT(slots(four, chosen), ElementsAre("GPU-c"));
  EXPECT_THAT(slots(four, {.gpus = {}, .exclude = {"0", "GPU-b"}, .max_gpus = {}, .workers = {}}),
              ElementsAre("GPU-aa2", "GPU-c"));
  EXPECT_THAT(slots(four, {.gpus = list_of("none"), .exclude = {}, .max_gpus = {}, .workers = {}}),
              ElementsAre("cpu", "cpu", "cpu"));
  EXPECT_THAT(slots(four, {.gpus = list_of("1"), .exclude = {}, .max_gpus = {}, .workers_per_gpu = 2, .workers = {}}),
              ElementsAre("GPU-aa2", "GPU-aa2"));
  EXPECT_THAT(slots(four, {.gpus = {}, .exclude = {}, .max_gpus = 2, .workers = 5}),
              ElementsAre("GPU-aa1", "GPU-aa2", "GPU-aa1", "GPU-aa2", "GPU-aa1"));
  EXPECT_THAT(slots(four, {.gpus = {}, .exclude = {}, .max_gpus = {}, .workers = 2}),
              ElementsAre("GPU-aa1", "GPU-aa2"));
  EXPECT_THAT(slots(cut, {.gpus = list_of("1:2"), .exclude = {}, .max_gpus = {}, .workers = {}}),
              ElementsAre("MIG-m2"));
  EXPECT_THAT(slots(cut, {.gpus = {}, .exclude = {"1"}, .max_gpus = {}, .workers = {}}), ElementsAre("GPU-w"));
}

TEST(Slots, AWrongChoiceIsExplained) {
  Selection chosen;
  chosen.gpus = {"7"};
  EXPECT_THAT(slots(four, chosen),
              ElementsAre(HasSubstr("--gpus names the GPU 7, which is not here: there are 0 (Card, "
                                    "GPU-aa1), 1 (Card, GPU-aa2)")));
  chosen.gpus = {"1"};
  EXPECT_THAT(slots(four, chosen, {.cuda = "2", .rocr = {}, .hip = {}}),
              ElementsAre(HasSubstr("--gpus names GPU-aa2 (Card), which CUDA_VISIBLE_DEVICES hides")));
  EXPECT_THAT(slots({}, {.gpus = {}, .exclude = {"0"}, .max_gpus = {}, .workers = {}}),
              ElementsAre(HasSubstr("--exclude-gpus names the GPU 0, which is not here: this machine has none")));
  EXPECT_EQ(problem_of_list("0,1:2,GPU-a,MIG-b"), "");
  EXPECT_EQ(problem_of_list("none"), "");
  EXPECT_THAT(problem_of_list("all"), HasSubstr("\"all\" is no GPU: write indices such as 0,2"));
  EXPECT_THAT(problem_of_list("0,,1"), HasSubstr("\"\" is no GPU"));
  EXPECT_THAT(problem_of_list("0:x"), HasSubstr("is no GPU"));
  EXPECT_THAT(problem_of_list(""), HasSubstr("the list is empty"));
}

TEST(Slots, ALostDeviceIsLeftOut) {
  auto devices = four;
  devices[1].lost = "GPU is lost";
  const Plan plan = plan_slots(of(devices), {}, {}, 3).value();
  EXPECT_EQ(plan.slots.size(), 3U);
  EXPECT_THAT(plan.remarks, ElementsAre("GPU-aa2 is left out: GPU is lost"));
}

// --- Environments -----------------------------------------------------------------------------------------------

TEST(WorkerEnvironment, ShowsTheDevicesOfTheWorkerAlone) {
  const Plan plan = plan_slots(of(four), {}, {}, 3).value();
  EXPECT_THAT(worker_environment(plan, {}, {&plan.devices[2]}, false),
              ElementsAre("CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-b"));
  EXPECT_THAT(worker_environment(plan, {}, {&plan.devices[2], &plan.devices[0]}, false),
              ElementsAre("CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-b,GPU-aa1"));
  EXPECT_THAT(worker_environment(plan, {}, {}, false), ElementsAre("CUDA_VISIBLE_DEVICES="));
}

TEST(WorkerEnvironment, OfAMachineWithoutGpusIsLeftAlone) {
  const Plan plan = plan_slots(of({}), {}, {}, 3).value();
  EXPECT_THAT(worker_environment(plan, {}, {}, false), IsEmpty());
  EXPECT_THAT(worker_environment(plan, {}, {}, true), ElementsAre("CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES="));
}

TEST(WorkerEnvironment, OfAmdCards) {
  const Plan amd = plan_slots(of({gpu(0, "GPU-x", Vendor::amd)}), {}, {}, 3).value();
  EXPECT_THAT(worker_environment(amd, {}, {&amd.devices[0]}, false), ElementsAre("ROCR_VISIBLE_DEVICES=GPU-x"));
  const Plan both = plan_slots(of({gpu(0, "GPU-n"), gpu(0, "GPU-x", Vendor::amd)}), {}, {}, 3).value();
  EXPECT_THAT(worker_environment(both, {}, {&both.devices[0]}, false),
              ElementsAre("CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-n", "ROCR_VISIBLE_DEVICES="));
  EXPECT_THAT(worker_environment(both, {}, {&both.devices[1]}, false),
              ElementsAre("CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=GPU-x", "HIP_VISIBLE_DEVICES=0"));
  EXPECT_THAT(worker_environment(both, {.cuda = {}, .rocr = {}, .hip = "1"}, {&both.devices[1]}, false),
              ElementsAre("CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=GPU-x"));
  EXPECT_THAT(slots(both.devices, {.gpus = list_of("1"), .exclude = {}, .max_gpus = {}, .workers = {}}),
              ElementsAre("GPU-x"))
      << "AMD's are counted behind NVIDIA's";
}

TEST(Plan, SlurmsMaskForTheOtherVendorIsNoTrouble) {
  Inventory nvidia;
  nvidia.devices = {gpu(0, "GPU-a"), gpu(1, "GPU-b")};
  const Masks slurm{"1", "1", std::nullopt};  // it sets them for all vendors alike
  const Plan plan = plan_slots(nvidia, slurm, {}, 4).value();
  EXPECT_THAT(plan.remarks, IsEmpty());
  EXPECT_EQ(plan.slots.size(), 1U);
  EXPECT_THAT(plan_slots(nvidia, {"7", "7", std::nullopt}, {}, 4).value().remarks, ElementsAre(HasSubstr("CUDA_")));
  EXPECT_THAT(plan_slots({}, slurm, {}, 4).value().remarks, ElementsAre(HasSubstr("CUDA_")))
      << "no driver: that is trouble, and said once";
  EXPECT_THAT(plan_slots({}, {"", "1", std::nullopt}, {}, 4).value().remarks, ElementsAre(HasSubstr("ROCR_")));
  EXPECT_TRUE(of_the_other_vendor(nvidia.devices, slurm, Vendor::amd));
  EXPECT_FALSE(of_the_other_vendor(nvidia.devices, slurm, Vendor::nvidia));
}

}  // namespace
}  // namespace dc::gpu

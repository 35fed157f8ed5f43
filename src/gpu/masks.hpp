// Which devices this process may use: masks that were set before it (by Slurm, a container, a person), and which slots
// come of the devices that are left. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/job.hpp"
#include "core/result.hpp"
#include "gpu/device.hpp"

namespace dc::gpu {

/// The variables as they are; nothing: not set.
struct Masks {
  std::optional<std::string> cuda;  ///< CUDA_VISIBLE_DEVICES
  std::optional<std::string> rocr;  ///< ROCR_VISIBLE_DEVICES
  std::optional<std::string> hip;   ///< HIP_VISIBLE_DEVICES: is left alone
};
Masks masks_of_environment();

/// Places in `devices` that the mask names, in its order. An entry is the index of a GPU, a UUID or an unambiguous
/// beginning of one, or MIG-GPU-<uuid>/gi/ci; a GPU that is cut into instances stands for its first one; the first
/// entry that names nothing ends the list. `problem` gets a sentence about such an entry, unless it is one of the usual
/// words for "none". The rest differs: CUDA shows no device at all when one is named twice, and wants all entries
/// written in one way (as PyTorch's torch/cuda/__init__.py, _parse_visible_devices, knows it); in ROCm's list a second
/// naming is the end, and capitals do not matter, in "GPU-" neither (ROCR-Runtime, amd_filter_device.cpp). CUDA reads
/// more than this (driver 580: "0 1" and "0x1" are 0, what follows a whole UUID is passed over): slips, which are told.
std::vector<std::size_t> masked(const std::vector<Device>& devices, Vendor vendor,
                                const std::optional<std::string>& mask, std::string& problem);

/// Slurm sets the masks of all vendors alike. One for a vendor that this machine has nothing of is not worth a word,
/// where another's devices are there; and where there are none at all, NVIDIA's says it for both.
bool of_the_other_vendor(const std::vector<Device>& devices, const Masks& masks, Vendor vendor);

/// What a person asked for.
struct Selection {
  std::optional<std::vector<std::string>> gpus;  ///< indices, "gpu:instance", UUIDs or beginnings; empty list: none
  std::vector<std::string> exclude;
  std::optional<std::uint32_t> max_gpus;
  std::uint32_t workers_per_gpu = 1;
  std::optional<std::uint32_t> workers;  ///< slots in all: over the GPUs in turns, or without GPUs
  bool affinity = true;                  ///< workers run on the cores near their device
};

/// What is wrong with the text of --gpus or --exclude-gpus, before any device is known; or nothing.
std::string problem_of_list(std::string_view text);
/// Of such a text; "none" is the empty list.
std::vector<std::string> list_of(std::string_view text);

struct Plan {
  std::vector<Device> devices;                 ///< that the node uses
  std::vector<SlotInfo> slots;                 ///< a slot's `gpu` is the UUID of one of them
  std::vector<std::string> remarks;            ///< sentences about what is not used, and why
  bool hide_nvidia = false, hide_amd = false;  ///< such devices are there, also for workers that must not see them
};

/// The slots of a node. Fails with a sentence when the selection names what is not there, or is hidden by a mask.
Result<Plan> plan_slots(const Inventory& inventory, const Masks& masks, const Selection& selection,
                        std::uint32_t cores);

/// What the environment of a worker gets, as "NAME=value": it sees its devices and no other. `devices`: of the slots
/// that it has, in order; none for a CPU slot. `wants_none`: the pool asks for no GPU.
std::vector<std::string> worker_environment(const Plan& plan, const Masks& masks,
                                            const std::vector<const Device*>& devices, bool wants_none);

}  // namespace dc::gpu

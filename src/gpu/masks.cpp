// See masks.hpp.
#include "gpu/masks.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <sstream>

#include "gpu/files.hpp"

namespace dc::gpu {
namespace {

const char* mask_name(Vendor vendor) {
  return vendor == Vendor::nvidia ? "CUDA_VISIBLE_DEVICES" : "ROCR_VISIBLE_DEVICES";
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::stringstream stream{std::string(text)};
  for (std::string word; std::getline(stream, word, ',');) words.push_back(trimmed(word));
  return words;
}

bool usual_word_for_none(const std::string& word) { return word.empty() || word == "-1" || word == "NoDevFiles"; }

/// The only device for which `matches` holds, or nothing.
template <class Matches>
std::optional<std::size_t> only(const std::vector<Device>& devices, Matches matches) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (!matches(devices[i])) continue;
    if (found) return std::nullopt;
    found = i;
  }
  return found;
}

template <class Matches>
std::optional<std::size_t> first(const std::vector<Device>& devices, Matches matches) {
  const auto found = std::find_if(devices.begin(), devices.end(), matches);
  if (found == devices.end()) return std::nullopt;
  return static_cast<std::size_t>(found - devices.begin());
}

std::string in_lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// A whole GPU by the beginning of its UUID; one that is cut stands for its first instance.
std::optional<std::size_t> gpu_by_uuid(const std::vector<Device>& devices, Vendor vendor, const std::string& word) {
  // Neither tells capitals from small letters among the digits, and CUDA passes over all dashes behind the first.
  const auto alike = [&](const std::string& text) {
    std::string digits = in_lower_case(text.substr(std::min<std::size_t>(4, text.size())));
    if (vendor == Vendor::nvidia) std::erase(digits, '-');
    return digits;
  };
  const auto gpu_of = [](const Device& device) { return device.parent.empty() ? device.uuid : device.parent; };
  const std::string wanted = alike(word);
  if (wanted.empty()) return std::nullopt;
  const auto named = [&](const Device& device) {
    const std::string uuid = gpu_of(device);
    return device.vendor == vendor && uuid.starts_with("GPU-") && alike(uuid).starts_with(wanted);
  };
  const auto found = first(devices, named);
  if (!found) return std::nullopt;
  const bool ambiguous = std::any_of(devices.begin(), devices.end(), [&](const Device& device) {
    return named(device) && gpu_of(device) != gpu_of(devices[*found]);
  });
  return ambiguous ? std::nullopt : found;
}

enum class Kind { index, gpu, mig, none };

Kind kind_of(const std::string& word, Vendor vendor) {
  const std::string start = vendor == Vendor::amd ? in_lower_case(word.substr(0, 4)) : word.substr(0, 4);
  if (word.size() > 4 && start == (vendor == Vendor::amd ? "gpu-" : "GPU-")) return Kind::gpu;
  if (word.size() > 4 && start == "MIG-") return Kind::mig;
  return number_in(word) ? Kind::index : Kind::none;
}

std::optional<std::size_t> find_masked(const std::vector<Device>& devices, Vendor vendor, const std::string& word) {
  switch (kind_of(word, vendor)) {
    case Kind::index:
      return first(devices, [index = number_in(word), vendor](const Device& device) {
        return device.vendor == vendor && device.index == *index;
      });
    case Kind::gpu:
      return gpu_by_uuid(devices, vendor, word);
    case Kind::mig:
      if (!word.starts_with("MIG-GPU-"))
        return only(devices, [&](const Device& device) { return device.uuid.starts_with(word); });
      // The older form of an instance's name: MIG-GPU-<uuid>/gi/ci.
      return first(devices, [&](const Device& device) {
        return !device.parent.empty() && word == fmt::format("MIG-{}/{}", device.parent, device.mig_place);
      });
    case Kind::none:
      return std::nullopt;
  }
  return std::nullopt;
}

// --- What a person asked for ------------------------------------------------------------------------------------

/// NVIDIA's GPUs are counted before AMD's.
std::uint32_t person_index(const std::vector<Device>& devices, const Device& device) {
  std::uint32_t before = 0;
  for (const Device& other : devices) {
    if (device.vendor == Vendor::amd && other.vendor == Vendor::nvidia) before = std::max(before, other.index + 1);
  }
  return before + device.index;
}

/// All devices that the word names: an index or a UUID of a cut GPU names all its instances.
std::vector<std::size_t> named(const std::vector<Device>& devices, const std::string& word) {
  const std::size_t colon = word.find(':');
  const auto gpu = number_in(word.substr(0, colon));
  const auto instance = colon == std::string::npos ? std::nullopt : number_in(word.substr(colon + 1));
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const Device& device = devices[i];
    const bool cut = !device.parent.empty();
    const bool by_index = gpu && *gpu == person_index(devices, device) &&
                          (colon == std::string::npos || (cut && instance && *instance == device.mig_index));
    const bool by_uuid = !gpu && (device.uuid.starts_with(word) || device.parent.starts_with(word));
    if (by_index || by_uuid) found.push_back(i);
  }
  return found;
}

std::string list_of_devices(const std::vector<Device>& devices) {
  std::vector<std::string> texts;
  for (const Device& device : devices) {
    const std::string index = device.parent.empty()
                                  ? fmt::format("{}", person_index(devices, device))
                                  : fmt::format("{}:{}", person_index(devices, device), device.mig_index);
    texts.push_back(fmt::format("{} ({}, {})", index, device.name, device.uuid));
  }
  return texts.empty() ? "this machine has none" : fmt::format("there are {}", fmt::join(texts, ", "));
}

Result<std::vector<std::size_t>> resolve(const std::vector<Device>& devices, const std::vector<std::string>& words,
                                         const char* option) {
  std::vector<std::size_t> all;
  for (const std::string& word : words) {
    const auto found = named(devices, word);
    if (found.empty()) {
      return fail(ErrorCode::invalid,
                  fmt::format("{} names the GPU {}, which is not here: {}", option, word, list_of_devices(devices)));
    }
    for (const std::size_t place : found) {
      if (std::find(all.begin(), all.end(), place) == all.end()) all.push_back(place);
    }
  }
  return all;
}

bool contains(const std::vector<std::size_t>& places, std::size_t place) {
  return std::find(places.begin(), places.end(), place) != places.end();
}

/// What the masks let through; NVIDIA's first.
std::vector<std::size_t> let_through(const std::vector<Device>& devices, const Masks& masks,
                                     std::vector<std::string>& remarks) {
  std::vector<std::size_t> places;
  for (const Vendor vendor : {Vendor::nvidia, Vendor::amd}) {
    std::string problem;
    const auto& mask = vendor == Vendor::nvidia ? masks.cuda : masks.rocr;
    const auto some = masked(devices, vendor, mask, problem);
    if (!problem.empty() && !of_the_other_vendor(devices, masks, vendor)) remarks.push_back(std::move(problem));
    places.insert(places.end(), some.begin(), some.end());
  }
  return places;
}

/// The devices that the node uses, as places in `devices`.
Result<std::vector<std::size_t>> choose(const std::vector<Device>& devices, const Masks& masks,
                                        const Selection& selection, std::vector<std::string>& remarks) {
  std::vector<std::size_t> visible = let_through(devices, masks, remarks);
  if (selection.gpus) {
    BOOST_OUTCOME_TRY(wanted, resolve(devices, *selection.gpus, "--gpus"));
    for (const std::size_t place : wanted) {
      const Device& device = devices[place];
      if (contains(visible, place)) continue;
      return fail(ErrorCode::invalid,
                  fmt::format("--gpus names {} ({}), which {} hides from this process: change one of the two",
                              device.uuid, device.name, mask_name(device.vendor)));
    }
    visible = std::move(wanted);
  } else {
    std::erase_if(visible, [&](std::size_t place) {
      const bool masked = devices[place].vendor == Vendor::nvidia ? masks.cuda.has_value() : masks.rocr.has_value();
      return devices[place].only_if_named && !masked;
    });
  }
  BOOST_OUTCOME_TRY(excluded, resolve(devices, selection.exclude, "--exclude-gpus"));
  std::erase_if(visible, [&](std::size_t place) { return contains(excluded, place); });
  std::erase_if(visible, [&](std::size_t place) {
    const Device& device = devices[place];
    if (!device.lost.empty()) remarks.push_back(fmt::format("{} is left out: {}", device.uuid, device.lost));
    return !device.lost.empty();
  });
  if (selection.max_gpus && visible.size() > *selection.max_gpus) visible.resize(*selection.max_gpus);
  return visible;
}

}  // namespace

Masks masks_of_environment() {
  const auto value = [](const char* name) {
    const char* text = std::getenv(name);
    return text ? std::optional<std::string>(text) : std::nullopt;
  };
  return {value("CUDA_VISIBLE_DEVICES"), value("ROCR_VISIBLE_DEVICES"), value("HIP_VISIBLE_DEVICES")};
}

bool of_the_other_vendor(const std::vector<Device>& devices, const Masks& masks, Vendor vendor) {
  if (devices.empty()) return vendor == Vendor::amd && masks.cuda && masks.cuda == masks.rocr;
  return std::none_of(devices.begin(), devices.end(), [&](const Device& device) { return device.vendor == vendor; });
}

std::vector<std::size_t> masked(const std::vector<Device>& devices, Vendor vendor,
                                const std::optional<std::string>& mask, std::string& problem) {
  std::vector<std::size_t> places;
  if (!mask) {
    for (std::size_t i = 0; i < devices.size(); ++i) {
      if (devices[i].vendor == vendor) places.push_back(i);
    }
    return places;
  }
  const bool nvidia = vendor == Vendor::nvidia;
  const auto complain = [&](const std::string& word, const char* what) {
    problem = fmt::format("{}={}: \"{}\" {}", mask_name(vendor), *mask, word, what);
  };
  const std::vector<std::string> words = words_of(*mask);
  for (const std::string& word : words) {
    if (usual_word_for_none(word)) break;
    if (nvidia && kind_of(word, vendor) != kind_of(words[0], vendor)) {
      complain(word, "is written in another way than the first entry, and CUDA's list ends there");
      break;
    }
    const auto place = find_masked(devices, vendor, word);
    if (!place) {
      complain(word, "names no device of this machine, and the list ends there");
      break;
    }
    if (contains(places, *place)) {
      complain(word, nvidia ? "names a device for the second time, and CUDA shows none then"
                            : "names a device for the second time, and the list ends there");
      if (nvidia) places.clear();
      break;
    }
    places.push_back(*place);
  }
  return places;
}

std::string problem_of_list(std::string_view text) {
  if (text == "none") return {};
  for (const std::string& word : list_of(text)) {
    const std::size_t colon = word.find(':');
    const bool instance = colon == std::string::npos || number_in(word.substr(colon + 1));
    const bool index = number_in(word.substr(0, colon)) && instance;
    const bool uuid =
        (word.starts_with("GPU-") || word.starts_with("MIG-") || word.starts_with("PCI-")) && word.size() > 4;
    if (!index && !uuid) {
      return fmt::format(
          "\"{}\" is no GPU: write indices such as 0,2 (as nvidia-smi counts), 0:1 for a MIG instance, UUIDs, or none; "
          "for a number of GPUs use --max-gpus",
          word);
    }
  }
  return list_of(text).empty() ? "the list is empty: write none to use no GPU" : "";
}

std::vector<std::string> list_of(std::string_view text) {
  if (text == "none") return {};
  return words_of(text);
}

Result<Plan> plan_slots(const Inventory& inventory, const Masks& masks, const Selection& selection,
                        std::uint32_t cores) {
  Plan plan;
  const auto& devices = inventory.devices;
  const auto has = [&](Vendor vendor) {
    return std::any_of(devices.begin(), devices.end(), [&](const Device& device) { return device.vendor == vendor; });
  };
  plan.hide_nvidia = has(Vendor::nvidia);
  plan.hide_amd = has(Vendor::amd);
  BOOST_OUTCOME_TRY(chosen, choose(devices, masks, selection, plan.remarks));
  for (const std::size_t place : chosen) plan.devices.push_back(devices[place]);
  const auto gpus = static_cast<std::uint32_t>(plan.devices.size());
  const std::uint32_t count = selection.workers.value_or(gpus > 0 ? gpus * selection.workers_per_gpu : cores);
  if (gpus > count) plan.devices.resize(count);
  for (std::uint32_t slot = 0; slot < count; ++slot) {
    SlotInfo info;
    info.slot = slot;
    info.device = "cpu";
    if (gpus > 0) {
      const Device& device = plan.devices[slot % plan.devices.size()];
      info.device = device.name;
      info.gpu = device.uuid;
      info.gpu_memory_mib = device.memory_mib;
      info.gpu_memory_free_mib = device.memory_free_mib;
    }
    plan.slots.push_back(std::move(info));
  }
  return plan;
}

std::vector<std::string> worker_environment(const Plan& plan, const Masks& masks,
                                            const std::vector<const Device*>& devices, bool wants_none) {
  std::vector<std::string> nvidia, amd, hip;
  for (const Device* device : devices) {
    (device->vendor == Vendor::nvidia ? nvidia : amd).push_back(device->selector);
    if (device->vendor == Vendor::amd) hip.push_back(std::to_string(hip.size()));
  }
  std::vector<std::string> environment;
  if (!nvidia.empty()) environment.emplace_back("CUDA_DEVICE_ORDER=PCI_BUS_ID");
  if (!nvidia.empty() || plan.hide_nvidia || wants_none) {
    environment.push_back(fmt::format("CUDA_VISIBLE_DEVICES={}", fmt::join(nvidia, ",")));
  }
  if (!amd.empty() || plan.hide_amd || wants_none) {
    environment.push_back(fmt::format("ROCR_VISIBLE_DEVICES={}", fmt::join(amd, ",")));
  }
  // HIP takes CUDA_VISIBLE_DEVICES for its own where it has none: on a machine with both it would see nothing.
  if (!amd.empty() && plan.hide_nvidia && !masks.hip) {
    environment.push_back(fmt::format("HIP_VISIBLE_DEVICES={}", fmt::join(hip, ",")));
  }
  return environment;
}

}  // namespace dc::gpu

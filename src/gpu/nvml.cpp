// See nvml.hpp.
#include "gpu/nvml.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <tuple>

#include "gpu/files.hpp"

namespace dc::gpu {
namespace {

using nvml::Handle;
using nvml::Return;
constexpr std::size_t processes_max = 4096;
constexpr unsigned long long xid_off_the_bus = 79;
constexpr unsigned long long mib = 1 << 20;

std::uint64_t memory_of_machine_mib() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) /
         mib;
}

}  // namespace

struct Nvml::Api : nvml::Functions {
  void* library = nullptr;

  void find_all() {
#define DC_FIND(name, symbol, type) name = reinterpret_cast<decltype(name)>(::dlsym(library, #symbol));
    DC_NVML_FUNCTIONS(DC_FIND)
#undef DC_FIND
    // Drivers 535.43 to 535.86 write longer entries in _v3 than others do; _v2 is the same everywhere.
    if (!processes) processes = processes_v3;
  }
  [[nodiscard]] bool usable() const { return init && shutdown && count && by_index && uuid && memory; }
};

Result<std::unique_ptr<Nvml>> Nvml::load() {
  const char* given = std::getenv(nvml_variable);
  const std::string path = given && *given ? given : "libnvidia-ml.so.1";
  auto api = std::make_unique<Api>();
  // Never closed again: a thread may be inside it for ever.
  api->library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!api->library) return fail(ErrorCode::not_found, fmt::format("{} cannot be loaded ({})", path, ::dlerror()));
  api->find_all();
  if (!api->usable()) return fail(ErrorCode::io, fmt::format("{} is too old: it lacks functions of NVML", path));
  std::unique_ptr<Nvml> nvml(new Nvml);
  nvml->api_ = std::move(api);
  if (const Return code = nvml->api_->init(); code != nvml::success) {
    std::string advice;
    if (code == nvml::driver_not_loaded) advice = ": is the kernel module nvidia loaded?";
    if (code == nvml::version_mismatch) advice = ": library and kernel module differ, a restart of the machine helps";
    std::string text = fmt::format("NVIDIA's driver does not work: {}{}", nvml->text_of(code), advice);
    nvml->api_->shutdown = nullptr;
    return fail(ErrorCode::io, std::move(text));
  }
  const Api& a = *nvml->api_;
  const bool has_events = a.make_events && a.watch && a.wait && a.free_events;
  if (has_events && a.make_events(&nvml->events_) != nvml::success) nvml->events_ = nullptr;
  return nvml;
}

Nvml::~Nvml() {
  if (!api_ || !api_->shutdown) return;
  if (events_) api_->free_events(events_);
  api_->shutdown();
}

std::string Nvml::text_of(Return code) const {
  const char* text = api_->error_string ? api_->error_string(code) : nullptr;
  return text ? fmt::format("{} (NVML error {})", text, code) : fmt::format("NVML error {}", code);
}

Inventory Nvml::read() {
  Inventory inventory;
  inventory.source = "NVML";
  std::array<char, nvml::version_size> version{};
  if (api_->driver_version && api_->driver_version(version.data(), version.size()) == nvml::success) {
    inventory.driver = version.data();
  }
  wait_for_fault(std::chrono::milliseconds(0));
  unsigned count = 0;
  if (const Return code = api_->count(&count); code != nvml::success) {
    inventory.answered = false;
    inventory.problems.push_back(fmt::format("the GPUs cannot be counted: {}", text_of(code)));
    return inventory;
  }
  unsigned kept_away = 0;
  for (unsigned index = 0; index < count; ++index) kept_away += add_gpu(index, inventory) ? 0 : 1;
  if (kept_away > 0) {
    inventory.remarks.push_back(fmt::format(
        "{} of {} NVIDIA GPUs are not for this process: its batch system or container keeps them away, or it "
        "may not open their /dev/nvidia*",
        kept_away, count));
  }
  auto& devices = inventory.devices;
  const auto order = [](const Device& a, const Device& b) {
    return std::tie(a.pci, a.mig_index) < std::tie(b.pci, b.mig_index);
  };
  std::stable_sort(devices.begin(), devices.end(), order);
  std::uint32_t position = 0;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (i > 0 && devices[i].pci != devices[i - 1].pci) ++position;
    devices[i].index = position;
  }
  return inventory;
}

/// A GPU that does not answer is skipped, and said to be. False: this process has no permission to use it.
bool Nvml::add_gpu(std::uint32_t index, Inventory& inventory) {
  Handle handle = nullptr;
  Device device;
  std::array<char, nvml::uuid_size> uuid{};
  Return code = api_->by_index(index, &handle);
  if (code == nvml::success) code = api_->uuid(handle, uuid.data(), uuid.size());
  if (code == nvml::no_permission) return false;
  if (code != nvml::success) {
    inventory.problems.push_back(fmt::format("GPU {} is left out: {}", index, text_of(code)));
    return true;
  }
  device.uuid = device.selector = uuid.data();
  nvml::PciInfo pci{};
  if (api_->pci && api_->pci(handle, &pci) == nvml::success) {
    device.pci = fmt::format("{:04x}:{:02x}:{:02x}.0", pci.domain, pci.bus, pci.device);
  }
  watch_faults(handle, device.uuid);
  count_memory_errors(handle, device.uuid);
  add_cpus(handle, device);
  unsigned mode = 0, pending = 0;
  const bool cut = api_->mig_mode && api_->mig_mode(handle, &mode, &pending) == nvml::success && mode == 1;
  if (cut) {
    add_instances(handle, device, inventory);
    return true;
  }
  describe(handle, device, inventory);
  inventory.devices.push_back(std::move(device));
  return true;
}

void Nvml::add_instances(Handle gpu, const Device& whole, Inventory& inventory) {
  unsigned count = 0, found = 0;
  if (api_->mig_max && api_->mig_by_index) api_->mig_max(gpu, &count);
  for (unsigned index = 0; index < count; ++index) {
    Handle handle = nullptr;
    std::array<char, nvml::uuid_size> uuid{};
    if (api_->mig_by_index(gpu, index, &handle) != nvml::success) continue;  // places may be empty
    if (api_->uuid(handle, uuid.data(), uuid.size()) != nvml::success) continue;
    Device device = whole;
    device.parent = whole.uuid;
    device.uuid = device.selector = uuid.data();
    device.mig_index = index;
    unsigned place = 0, part = 0;
    if (api_->gpu_instance && api_->compute_instance && api_->gpu_instance(handle, &place) == nvml::success &&
        api_->compute_instance(handle, &part) == nvml::success) {
      device.mig_place = fmt::format("{}/{}", place, part);
    }
    describe(handle, device, inventory);
    inventory.devices.push_back(std::move(device));
    ++found;
  }
  if (found > 0) return;
  inventory.problems.push_back(
      fmt::format("GPU {} is left out: MIG is on and it has no instance: make some with nvidia-smi mig -cgi … -C, or "
                  "turn MIG off",
                  whole.uuid));
}

void Nvml::describe(Handle handle, Device& device, Inventory& inventory) {
  std::array<char, nvml::name_size> name{};
  if (api_->name && api_->name(handle, name.data(), name.size()) == nvml::success) device.name = name.data();
  if (device.name.empty()) device.name = "NVIDIA GPU";
  add_holders(handle, device);
  if (const Return code = add_memory(handle, device); code == nvml::gpu_is_lost || code == nvml::reset_required)
    device.lost = text_of(code);
  else if (code != nvml::success)
    inventory.problems.push_back(fmt::format("the memory of {} is not known: {}", device.uuid, text_of(code)));
  nvml::Utilization use{};
  if (api_->utilization && api_->utilization(handle, &use) == nvml::success) device.utilisation_percent = use.gpu;
  unsigned celsius = 0;
  if (api_->temperature && api_->temperature(handle, nvml::sensor_of_gpu, &celsius) == nvml::success)
    device.temperature_c = celsius;
  const std::string& gpu = device.parent.empty() ? device.uuid : device.parent;
  const std::string instance = device.mig_place.substr(0, device.mig_place.find('/'));
  for (const std::string& where : {gpu, gpu + "/" + instance}) {
    const auto fault = faults_.find(where);
    if (fault != faults_.end()) device.faults += (device.faults.empty() ? "" : ", ") + fault->second;
  }
  if (const auto lost = lost_.find(gpu); lost != lost_.end() && device.lost.empty()) device.lost = lost->second;
}

/// Where the operating system manages the GPU's memory, what is "free" says little: files are cached there, and pages
/// are kept after the end of a process (nvml.h at nvmlDeviceGetMemoryInfo). There, what no process holds is free. Such
/// are GPUs whose memory is a NUMA node (Grace Hopper), and those without memory of their own (DGX Spark, Jetson).
Return Nvml::add_memory(Handle handle, Device& device) {
  nvml::Memory memory{};
  const Return code = api_->memory(handle, &memory);
  if (code != nvml::success && code != nvml::not_supported) return code;
  unsigned node = 0;
  const bool is_node = api_->memory_node && api_->memory_node(handle, &node) == nvml::success;
  device.memory_mib = memory.total / mib;
  device.memory_free_mib = memory.free / mib;
  if (code == nvml::not_supported) device.memory_mib = memory_of_machine_mib();
  if (code == nvml::not_supported || is_node) {
    std::uint64_t held = 0;
    for (const Holder& holder : device.holders) held += holder.memory_mib.value_or(0);
    device.memory_free_mib = device.memory_mib - std::min(held, device.memory_mib);
  }
  return nvml::success;
}

std::string Nvml::name_of_process(unsigned pid) const {
  std::array<char, 256> name{};
  if (api_->process_name && api_->process_name(pid, name.data(), name.size()) == nvml::success) {
    const std::string path = name.data();
    return path.substr(path.rfind('/') + 1);
  }
  return first_line(fmt::format("/proc/{}/comm", pid));
}

void Nvml::add_holders(Handle handle, Device& device) {
  const auto add = [&](unsigned pid, unsigned long long bytes) {
    Holder holder;
    holder.pid = static_cast<pid_t>(pid);
    holder.group = std::max(::getpgid(holder.pid), pid_t{0});
    holder.name = name_of_process(pid);
    if (bytes != nvml::not_available) holder.memory_mib = bytes / mib;
    device.holders.push_back(std::move(holder));
  };
  unsigned count = processes_max;
  if (api_->processes) {
    std::vector<nvml::ProcessInfo> list(count);
    if (api_->processes(handle, &count, list.data()) != nvml::success) return;
    for (unsigned i = 0; i < count; ++i) add(list[i].pid, list[i].used);
  } else if (api_->processes_v1) {
    std::vector<nvml::ProcessInfoV1> list(count);
    if (api_->processes_v1(handle, &count, list.data()) != nvml::success) return;
    for (unsigned i = 0; i < count; ++i) add(list[i].pid, list[i].used);
  }
}

void Nvml::add_cpus(Handle handle, Device& device) {
  constexpr std::size_t word_bits = 8 * sizeof(unsigned long);
  std::array<unsigned long, CPU_SETSIZE / word_bits> words{};
  if (api_->cpus && api_->cpus(handle, words.size(), words.data()) == nvml::success) {
    for (std::uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if ((words[cpu / word_bits] >> (cpu % word_bits)) & 1) device.cpus.push_back(cpu);
    }
  }
  add_place(device);
}

// --- Faults -----------------------------------------------------------------------------------------------------

void Nvml::watch_faults(Handle handle, const std::string& uuid) {
  if (!events_ || !watched_.emplace(handle, uuid).second) return;
  api_->watch(handle, nvml::event_xid, events_);  // where it is not supported none is reported
}

/// What was there before the node looked first is history.
void Nvml::count_memory_errors(Handle handle, const std::string& uuid) {
  unsigned long long count = 0;
  if (!api_->memory_errors ||
      api_->memory_errors(handle, nvml::error_uncorrected, nvml::counter_since_load, &count) != nvml::success)
    return;
  const auto [known, is_new] = memory_errors_.emplace(uuid, count);
  if (is_new || known->second >= count) return;
  faults_[uuid] = fmt::format("{} uncorrected memory errors (ECC)", count - known->second);
}

void Nvml::note_fault(const nvml::EventData& event) {
  const auto gpu = watched_.find(event.device);
  if (gpu == watched_.end()) return;
  std::string where = gpu->second;
  if (event.gpu_instance != nvml::no_instance) where += fmt::format("/{}", event.gpu_instance);
  const int count = ++fault_counts_[where];
  faults_[where] = fmt::format("Xid {}{}", event.data, count > 1 ? fmt::format(" (report {})", count) : "");
  if (event.data == xid_off_the_bus) lost_[gpu->second] = "it has fallen off the bus (Xid 79)";
}

bool Nvml::wait_for_fault(std::chrono::milliseconds time) {
  bool any = false;
  nvml::EventData event{};
  while (events_ && !watched_.empty() &&
         api_->wait(events_, &event, any ? 0 : static_cast<unsigned>(time.count())) == nvml::success) {
    if (event.type == nvml::event_xid) note_fault(event);
    any = true;
  }
  return any;
}

}  // namespace dc::gpu

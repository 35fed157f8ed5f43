// See devices.hpp.
#include "node/devices.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "core/held_signals.hpp"
#include "core/limits.hpp"
#include "core/log.hpp"
#include "gpu/source.hpp"
#include "node/cpu_quota.hpp"
#include "node/worker_environment.hpp"

namespace dc::node {
namespace {

constexpr auto look_for_signals = std::chrono::milliseconds(50);

gpu::Inventory first_look(gpu::Watch& watch) {
  const TimePoint deadline = net::EventLoop::now() + limits::first_look_patience;
  while (net::EventLoop::now() < deadline && !signal_waits()) {
    if (auto seen = watch.first(look_for_signals)) return std::move(*seen);
  }
  gpu::Inventory known = gpu::read_without_driver();
  if (signal_waits()) return known;  // the node is about to leave
  log::warning(
      "the GPU driver has not answered within {} s; the node goes on with what is known without it ({} device{}). Does "
      "nvidia-smi answer? `distributed-computing doctor` looks closer",
      std::chrono::duration_cast<std::chrono::seconds>(limits::first_look_patience).count(), known.devices.size(),
      known.devices.size() == 1 ? "" : "s");
  return known;
}

void say_what_was_found(const gpu::Inventory& inventory, const gpu::Plan& plan) {
  for (const std::string& problem : inventory.problems) log::warning("{}", problem);
  for (const std::string& remark : inventory.remarks) log::info("{}", remark);
  for (const std::string& remark : plan.remarks) log::warning("{}", remark);
  std::map<std::string, int> slots;
  for (const SlotInfo& slot : plan.slots) ++slots[slot.gpu];
  for (const gpu::Device& device : plan.devices) {
    const int count = slots[device.uuid];
    log::info("{} slot{} on {} ({}), {}", count, count == 1 ? "" : "s", device.name, device.uuid,
              gpu::memory_of(device));
  }
  if (plan.devices.empty()) log::info("{} slots without a GPU", plan.slots.size());
}

/// That this process may use.
std::vector<std::uint32_t> usable_cpus() {
  cpu_set_t allowed;
  std::vector<std::uint32_t> cpus;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return {0};
  for (std::uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  return cpus;
}

/// So many cores, or less where a control group gives no more of their time.
double usable_cores() {
  const auto cpus = static_cast<double>(usable_cpus().size());
  return std::min(cpus, cpu_quota().value_or(cpus));
}

}  // namespace

Result<std::unique_ptr<Devices>> Devices::find(const gpu::Selection& selection, std::uint32_t cores) {
  auto watch = std::make_unique<gpu::Watch>();
  const gpu::Inventory inventory = first_look(*watch);
  auto plan = gpu::plan_slots(inventory, gpu::masks_of_environment(), selection, cores);
  if (!plan) return plan.error();
  say_what_was_found(inventory, plan.value());
  std::unique_ptr<Devices> found(new Devices(std::move(plan.value()), selection.affinity, std::move(watch)));
  found->say_threads();
  return found;
}

Devices::Devices(gpu::Plan plan, bool affinity, std::unique_ptr<gpu::Watch> watch)
    : plan_(std::move(plan)),
      masks_(gpu::masks_of_environment()),
      affinity_(affinity && !plan_.devices.empty()),
      watch_(plan_.devices.empty() ? nullptr : std::move(watch)) {
  std::vector<std::vector<std::uint32_t>> cpus_of_slots;
  for (const SlotInfo& slot : plan_.slots) cpus_of_slots.push_back(cpus({slot.slot}));
  core_shares_ = core_shares(cpus_of_slots, usable_cpus());
  const double part = usable_cores() / static_cast<double>(usable_cpus().size());
  for (double& share : core_shares_) share *= part;
}

/// Once, at the start: what libraries do by themselves, a thread for each core in each worker, is slow.
void Devices::say_threads() const {
  if (plan_.slots.size() < 2) return;
  std::uint32_t least = threads({0}), most = least;
  for (const SlotInfo& slot : plan_.slots) {
    least = std::min(least, threads({slot.slot}));
    most = std::max(most, threads({slot.slot}));
  }
  const std::string share = least == most ? fmt::format("{}", least) : fmt::format("{} to {}", least, most);
  const auto cores = std::max(1U, static_cast<std::uint32_t>(usable_cores()));
  const std::string set = thread_words([](const char* name) { return std::getenv(name) != nullptr; });
  log::info("each worker has {} of {} core{} for the threads of OpenMP, MKL, OpenBLAS, BLIS and NumExpr{}", share,
            cores, cores == 1 ? "" : "s",
            set.empty() ? " (a pool's threads_per_worker, or OMP_NUM_THREADS here, changes that)"
                        : fmt::format("; where {} of this environment says something else, that holds", set));
}

void Devices::watch(net::EventLoop& loop, std::function<void(gpu::Inventory)> seen) {
  if (!watch_) return;
  watch_->tell([this, &loop, seen = std::move(seen)](gpu::Inventory inventory) {
    loop.post([this, seen, inventory = std::move(inventory)]() mutable {
      if (std::exchange(silence_said_, false)) log::info("the GPU driver answers again");
      seen(std::move(inventory));
    });
  });
}

void Devices::stop_watching() {
  if (watch_) watch_->tell(nullptr);
}

void Devices::look() {
  if (watch_) watch_->look();
}

void Devices::complain_of_silence(TimePoint now) {
  const auto asked = watch_ ? watch_->asked_at() : std::nullopt;
  if (!asked || now - *asked < limits::driver_silent_after || std::exchange(silence_said_, true)) return;
  log::warning(
      "the GPU driver has not answered for {} s: jobs go on, but what becomes of the devices is not known meanwhile",
      std::chrono::duration_cast<std::chrono::seconds>(now - *asked).count());
}

std::vector<const gpu::Device*> Devices::of(const std::vector<std::uint32_t>& slots) const {
  std::vector<const gpu::Device*> devices;
  for (const std::uint32_t slot : slots) {
    if (slot >= plan_.slots.size()) continue;
    const auto device = std::find_if(plan_.devices.begin(), plan_.devices.end(),
                                     [&](const gpu::Device& other) { return other.uuid == plan_.slots[slot].gpu; });
    if (device != plan_.devices.end()) devices.push_back(&*device);
  }
  return devices;
}

std::vector<std::string> Devices::environment(const std::vector<std::uint32_t>& slots, bool wants_none) const {
  return gpu::worker_environment(plan_, masks_, wants_none ? std::vector<const gpu::Device*>{} : of(slots), wants_none);
}

std::vector<std::uint32_t> Devices::cpus(const std::vector<std::uint32_t>& slots) const {
  cpu_set_t allowed;
  std::vector<std::uint32_t> near;
  if (!affinity_ || ::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return near;
  for (const gpu::Device* device : of(slots)) {
    for (const std::uint32_t cpu : device->cpus) {
      if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed)) near.push_back(cpu);
    }
  }
  return near;
}

std::uint32_t Devices::threads(const std::vector<std::uint32_t>& slots) const {
  if (plan_.slots.size() < 2) return 0;
  double cores = 0;
  for (const std::uint32_t slot : slots) cores += slot < core_shares_.size() ? core_shares_[slot] : 0;
  constexpr double rounding = 1e-6;  // a sum of thirds may be a little less than a whole
  return std::max(1U, static_cast<std::uint32_t>(cores + rounding));
}

std::string Devices::name_of(const std::vector<std::uint32_t>& slots) const {
  std::vector<std::string> names;
  for (const gpu::Device* device : of(slots)) names.push_back(fmt::format("{} ({})", device->name, device->uuid));
  return names.empty() ? "cpu" : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace dc::node

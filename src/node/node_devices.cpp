// The node's workers and its devices: who may start where, and what a lost card costs.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "node/node_machine.hpp"

namespace dc::node {
namespace {

constexpr auto lost_kill_grace = 500ms;  ///< between SIGTERM and SIGKILL of a worker whose device is gone

}  // namespace

DeviceBook::Uuids NodeMachine::devices_of(const Worker& worker) const {
  DeviceBook::Uuids devices;
  const auto add = [&](std::uint32_t number) {
    const auto slot = std::find_if(facts_.slots.begin(), facts_.slots.end(),
                                   [&](const SlotInfo& info) { return info.slot == number; });
    if (slot != facts_.slots.end() && !slot->gpu.empty()) devices.push_back(slot->gpu);
  };
  add(worker.slot);
  for (const std::uint32_t more : worker.more_slots) add(more);
  return devices;
}

void NodeMachine::devices_seen(const gpu::Inventory& inventory, TimePoint now, Effects& out) {
  for (const std::string& device : devices_.seen(inventory, now)) {
    for (auto& [id, worker] : workers_) end_on_lost_device(worker, device, now, out);
  }
}

/// The job that runs there is charged: it may be what broke the card.
void NodeMachine::end_on_lost_device(Worker& worker, const std::string& device, TimePoint now, Effects& out) {
  if (std::find(worker.devices.begin(), worker.devices.end(), device) == worker.devices.end()) return;
  const ExitCause cause = worker.phase == Phase::ready ? ExitCause::died : ExitCause::requested;
  end_worker(worker, cause, fmt::format("its GPU {} was {}", device, devices_.trouble(device, now)), now, out);
  worker.kill_at = std::min(worker.kill_at, now + lost_kill_grace);
}

/// At the end of a turn: the head is told what changed before it hears of the workers that cannot start there.
void NodeMachine::watch_devices(TimePoint now, Effects& out) {
  devices_.tick(now);
  std::vector<SlotInfo> changed = devices_.changes(facts_.slots, now, next_deadline_);
  if (!changed.empty()) to_head(wire::SlotsChanged{std::move(changed)}, wire::control_lane, out);
  for (auto& [id, worker] : workers_) {
    if (worker.phase != Phase::waits_for_device || worker.cause) continue;
    const Pool* pool = find_pool(worker.pool);
    if (pool && !devices_.blocked(worker.devices, now)) {
      spawn_if_possible(worker, *pool, now, out);
      continue;
    }
    for (const std::string& device : worker.devices) {
      const std::string trouble = devices_.trouble(device, now);
      if (trouble.empty() || worker.cause) continue;
      worker.cause = ExitCause::requested;  // removed at the end of the turn
      worker.cause_text = fmt::format("its GPU {}: {}", device, trouble);
    }
  }
  if (!devices_.awaits_a_look()) return;
  if (look_at_ <= now) {
    out.emplace_back(LookAtDevices{});
    look_at_ = now + limits::look_again_after;
  }
  wake_at(look_at_);
}

}  // namespace dc::node

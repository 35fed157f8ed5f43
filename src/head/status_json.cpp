// The JSON of `distributed-computing status --json`:
//   head:  pid, host, address, port, version, epoch, uptime_s
//   nodes: [id, host, pid, address, connected, leaving,
//           slots: [slot, device, state (free|starting|idle|busy|stopping|waiting_to_retry), pool, worker_pid,
//           jobs_done]]
//   pools: [id, label, client: {host, pid, connected}, weight, workers, starting, slots_set_aside, jobs_queued,
//           jobs_running, jobs_done, jobs_rerun, updates]
// Ids are hexadecimal strings; `pool` and `worker_pid` are null where a slot has no worker.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/version.hpp"
#include "head/head_machine.hpp"

namespace dc::head {
namespace {

std::string hex(std::uint64_t id) { return fmt::format("{:016x}", id); }

const char* name_of(scheduler::SlotState state) {
  switch (state) {
    case scheduler::SlotState::free:
      return "free";
    case scheduler::SlotState::starting:
      return "starting";
    case scheduler::SlotState::idle:
      return "idle";
    case scheduler::SlotState::busy:
      return "busy";
    case scheduler::SlotState::stopping:
      return "stopping";
    case scheduler::SlotState::waiting_to_retry:
      return "waiting_to_retry";
  }
  return "?";
}

nlohmann::json slot_json(const scheduler::SlotStatus& slot) {
  nlohmann::json json{{"slot", slot.slot}, {"device", slot.device}, {"state", name_of(slot.state)},
                      {"pool", nullptr},   {"worker_pid", nullptr}, {"jobs_done", slot.jobs_done}};
  if (slot.worker.value != 0) {
    json["pool"] = hex(slot.pool.value);
    if (slot.pid != 0) json["worker_pid"] = slot.pid;
  }
  return json;
}

}  // namespace

std::string HeadMachine::status_json(TimePoint now) const {
  const scheduler::Status status = scheduler_.status();
  nlohmann::json json;
  json["head"] = {{"pid", facts_.pid},
                  {"host", facts_.host},
                  {"address", facts_.address},
                  {"port", facts_.port},
                  {"version", version},
                  {"epoch", facts_.epoch},
                  {"uptime_s", std::chrono::duration<double>(now - start_).count()}};
  json["nodes"] = nlohmann::json::array();
  for (const scheduler::NodeStatus& node : status.nodes) {
    nlohmann::json slots = nlohmann::json::array();
    for (const auto& slot : node.slots) slots.push_back(slot_json(slot));
    const auto info = nodes_.find(node.node);
    const bool known = info != nodes_.end();
    json["nodes"].push_back({{"id", hex(node.node.value)},
                             {"host", node.host},
                             {"pid", known ? info->second.peer.pid : 0},
                             {"address", known ? info->second.peer.address : ""},
                             {"connected", node.connected},
                             {"leaving", node.leaving},
                             {"slots", std::move(slots)}});
  }
  json["pools"] = nlohmann::json::array();
  for (const scheduler::PoolStatus& pool : status.pools) {
    const auto info = pools_.find(pool.pool);
    const PeerInfo client = info == pools_.end() ? PeerInfo{} : info->second.peer;
    const bool connected = info != pools_.end() && info->second.session.value != 0;
    json["pools"].push_back({{"id", hex(pool.pool.value)},
                             {"label", pool.label},
                             {"client", {{"host", client.host}, {"pid", client.pid}, {"connected", connected}}},
                             {"weight", pool.weight},
                             {"workers", pool.workers_ready},
                             {"starting", pool.workers_starting},
                             {"slots_set_aside", pool.slots_set_aside},
                             {"jobs_queued", pool.jobs_queued},
                             {"jobs_running", pool.jobs_running},
                             {"jobs_done", pool.jobs_done},
                             {"jobs_rerun", pool.jobs_rerun},
                             {"updates", pool.updates}});
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace dc::head

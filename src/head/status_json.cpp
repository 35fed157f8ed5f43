// The JSON of `distributed-computing status --json`:
//   head:  pid, host, address, port, version, epoch, store, store_trouble, uptime_s
//   nodes: [id, host, pid, address, connected, leaving,
//           slots: [slot, device, gpu, gpu_memory_mib, gpu_memory_free_mib, trouble,
//           state (free|starting|idle|busy|stopping|waiting_to_retry|blocked), pool, worker, worker_pid, jobs_done]]
//   pools: [id, label, client: {host, pid, connected}, weight, gpus_per_worker, workers, starting, slots_eligible,
//           slots_set_aside, waits_for, jobs_queued, jobs_running, jobs_done, jobs_rerun, updates, name, to_deliver,
//           to_take, kept_bytes, keys, error]
// Ids are hexadecimal strings. `gpu` is the device's UUID, null for a CPU slot; the memory is of the whole device, and
// free as of when no worker of the slot used it. `trouble` says why no worker can start there, or is null. `pool`,
// `worker` and `worker_pid` are null where a slot has no worker; a worker of several GPUs stands in all its slots.
// `name` is a named pool's name, else null; `to_deliver` counts its jobs whose outcome no client has,
// `to_take` those of them that are done, `kept_bytes` what counts against --pool-bytes-max, `keys` those that have a
// value; `error` says why it failed, or is null. A failed one is kept for its outcomes, and has no workers.
// One whose journal is broken is listed with that error, and with its id as its name where that cannot be read.
// `store_trouble` says why named pools take no jobs now, or is null.
// `waits_for` says why slots that the pool could use stand empty, or is null.
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
    case scheduler::SlotState::blocked:
      return "blocked";
  }
  return "?";
}

nlohmann::json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
}

nlohmann::json slot_json(const scheduler::SlotStatus& slot) {
  const SlotInfo& info = slot.info;
  nlohmann::json json{{"slot", slot.slot},
                      {"device", info.device},
                      {"gpu", text_or_null(info.gpu)},
                      {"gpu_memory_mib", info.gpu_memory_mib},
                      {"gpu_memory_free_mib", info.gpu_memory_free_mib},
                      {"trouble", text_or_null(info.trouble)},
                      {"state", name_of(slot.state)},
                      {"pool", nullptr},
                      {"worker", nullptr},
                      {"worker_pid", nullptr},
                      {"jobs_done", slot.jobs_done}};
  if (slot.worker.value != 0) {
    json["pool"] = hex(slot.pool.value);
    json["worker"] = hex(slot.worker.value);
    if (slot.pid != 0) json["worker_pid"] = slot.pid;
  }
  return json;
}

}  // namespace

nlohmann::json HeadMachine::pool_json(const scheduler::PoolStatus& pool) const {
  const HeadPool* known = find_pool(pool.pool);
  const Holder holder = known ? known->holder() : Holder{};
  const KeptFigures figures = known ? known->figures() : KeptFigures{};
  const ErrorInfo* broken = known ? known->broken() : nullptr;
  return {{"id", hex(pool.pool.value)},
          {"label", pool.label},
          {"client", {{"host", holder.peer.host}, {"pid", holder.peer.pid}, {"connected", holder.session.value != 0}}},
          {"weight", pool.weight},
          {"gpus_per_worker", pool.gpus_per_worker},
          {"workers", pool.workers_ready},
          {"starting", pool.workers_starting},
          {"slots_eligible", pool.slots_eligible},
          {"slots_set_aside", pool.slots_set_aside},
          {"waits_for", text_or_null(pool.waits_for)},
          {"jobs_queued", pool.jobs_queued},
          {"jobs_running", pool.jobs_running},
          {"jobs_done", known && known->keeps() ? figures.done : pool.jobs_done},
          {"jobs_rerun", pool.jobs_rerun},
          {"updates", pool.updates},
          {"name", text_or_null(known ? known->name() : "")},
          {"to_deliver", figures.to_deliver},
          {"to_take", figures.to_take},
          {"kept_bytes", figures.kept_bytes},
          {"keys", figures.keys},
          {"error", text_or_null(broken ? broken->message : "")},
          {"reading", nullptr}};
}

/// Of a pool of which there is nothing but its journal.
nlohmann::json HeadMachine::journal_json(store::LogId log, const std::string& name) const {
  scheduler::PoolStatus status;
  status.pool = PoolId{log};
  nlohmann::json json = pool_json(status);
  json["name"] = name;
  return json;
}

std::string HeadMachine::status_json(TimePoint now) const {
  const scheduler::Status status = scheduler_.status();
  nlohmann::json json;
  json["head"] = {{"pid", facts_.pid},
                  {"host", facts_.host},
                  {"address", facts_.address},
                  {"port", facts_.port},
                  {"version", version},
                  {"epoch", facts_.epoch},
                  {"store", text_or_null(facts_.store)},
                  {"store_trouble", text_or_null(store_trouble_)},
                  {"reading", unread_json()},
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
  for (const scheduler::PoolStatus& pool : status.pools) json["pools"].push_back(pool_json(pool));
  for (const auto& [id, pool] : pools_) {
    if (pool->stage() != HeadPool::Stage::failed) continue;
    scheduler::PoolStatus failed;
    failed.pool = id;
    failed.label = pool->options.label;
    failed.weight = pool->options.weight;
    failed.updates = pool->figures().updates;
    json["pools"].push_back(pool_json(failed));
  }
  for (const auto& [id, pool] : refused_) json["pools"].push_back(refused_json(id, pool));
  for (const auto& [id, pool] : unread_) json["pools"].push_back(unread_json(id, pool));
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);  // ASCII: it ends up on terminals
}

}  // namespace dc::head

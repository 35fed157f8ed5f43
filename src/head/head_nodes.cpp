// Messages of nodes: what they have, what became of jobs and workers.
#include <fmt/format.h>

#include "head/head_machine.hpp"

namespace dc::head {

namespace {

/// Executables that one node may wait for.
constexpr std::size_t programs_wanted_max = 1024;

}  // namespace

NodeId HeadMachine::node_of(SessionId session) const { return NodeId{sessions_.at(session).peer.id}; }

/// Why the report cannot be true; empty when it can.
std::string HeadMachine::contradiction(NodeId node, const wire::NodeState& report) const {
  if (report.slots.size() > limits::slots_per_node_max)
    return fmt::format("NodeState with {} slots", report.slots.size());
  std::set<std::uint32_t> free_slots;
  const auto& gpus = nodes_.at(node).gpus;
  for (const SlotInfo& slot : report.slots) {
    if (!free_slots.insert(slot.slot).second) return fmt::format("NodeState with slot {} twice", slot.slot);
    const auto known = gpus.find(slot.slot);
    if (!gpus.empty() && (known == gpus.end() || known->second != slot.gpu))
      return fmt::format("NodeState with slot {}, which it did not have", slot.slot);
  }
  if (!gpus.empty() && gpus.size() != free_slots.size()) return "NodeState without slots that it had";
  std::set<WorkerId> workers;
  for (const WorkerReport& worker : report.workers) {
    std::vector<std::uint32_t> slots = worker.more_slots;
    slots.push_back(worker.slot);
    for (const std::uint32_t slot : slots) {
      if (free_slots.erase(slot) == 0) return fmt::format("NodeState with no free slot {} for a worker", slot);
    }
    if (!workers.insert(worker.worker).second) return "NodeState with one worker twice";
    const auto place = places_.find(worker.worker);
    const bool known = place != places_.end();
    if (known && place->second.node == node &&
        (place->second.slot != worker.slot || place->second.more_slots != worker.more_slots))
      return "NodeState with a worker on other slots than it was given";
    const bool elsewhere = known && place->second.node != node;
    if (elsewhere || !scheduler_.may_exist(worker.worker)) return "NodeState with a worker that is not its own";
  }
  return {};
}

std::string HeadMachine::contradiction(NodeId node, const wire::SlotsChanged& report) const {
  const auto& gpus = nodes_.at(node).gpus;
  for (const SlotInfo& slot : report.slots) {
    const auto known = gpus.find(slot.slot);
    if (known == gpus.end()) return fmt::format("SlotsChanged with slot {}, which it does not have", slot.slot);
    if (known->second != slot.gpu) return fmt::format("SlotsChanged with another device for slot {}", slot.slot);
  }
  return {};
}

void HeadMachine::on(SessionId session, wire::SlotsChanged&& message, TimePoint now, Effects& out) {
  const NodeId id = node_of(session);
  if (const std::string wrong = contradiction(id, message); !wrong.empty()) return refuse(session, wrong, out);
  tell(scheduler::SlotsChanged{id, std::move(message.slots)}, now, out);
}

void HeadMachine::on(SessionId session, wire::NodeState&& message, TimePoint now, Effects& out) {
  const NodeId id = node_of(session);
  if (const std::string wrong = contradiction(id, message); !wrong.empty()) return refuse(session, wrong, out);
  scheduler::NodeJoined event{id, {}, {}, {}, {}};
  for (wire::HeldPool& held : message.pools) {
    auto* before = event.pools.empty() ? nullptr : &event.pools.back();
    if (before && before->pool == held.pool && before->updates == held.updates && !held.finished.empty())
      before->finished.insert(before->finished.end(), held.finished.begin(), held.finished.end());
    else
      event.pools.push_back({held.pool, held.updates, std::move(held.finished)});
  }
  event.workers = std::move(message.workers);
  if (const std::string wrong = scheduler_.contradiction(event); !wrong.empty())
    return refuse(session, "NodeState " + wrong, out);
  NodeInfo& node = nodes_.at(id);
  node.reported = true;
  node.programs = {message.programs.begin(), message.programs.end()};
  node.wanted.clear();
  node.gpus.clear();
  for (const SlotInfo& slot : message.slots) node.gpus[slot.slot] = slot.gpu;
  out.emplace_back(Log{fmt::format("node {} (pid {}) has joined with {} slot{}", node.peer.host, node.peer.pid,
                                   message.slots.size(), message.slots.size() == 1 ? "" : "s")});
  event.host = node.peer.host;
  event.slots = std::move(message.slots);
  forget_places(node);
  for (const WorkerReport& worker : event.workers) {
    places_[worker.worker] = {id, worker.slot, worker.pool, worker.more_slots};
    node.workers.insert(worker.worker);
  }
  tell(std::move(event), now, out);
}

void HeadMachine::on(SessionId session, wire::NeedProgram&& message, TimePoint, Effects& out) {
  const auto program = programs_.find(message.hash);
  if (program != programs_.end()) {
    out.emplace_back(Send{session, wire::Program{message.hash, program->second}});
    return;
  }
  std::set<std::string>& wanted = nodes_.at(node_of(session)).wanted;
  if (wanted.size() >= programs_wanted_max) return refuse(session, "NeedProgram of too many programs", out);
  wanted.insert(message.hash);  // this head is new: the pool's client is on its way back
}

void HeadMachine::on(SessionId session, wire::WorkerReady&& message, TimePoint now, Effects& out) {
  tell(scheduler::WorkerReady{node_of(session), message.worker, message.pid}, now, out);
}

void HeadMachine::on(SessionId session, wire::WorkerExited&& message, TimePoint now, Effects& out) {
  tell(scheduler::WorkerExited{node_of(session), message.worker, message.cause, std::move(message.error),
                               std::move(message.running), std::move(message.unstarted), message.updating},
       now, out);
  const auto place = places_.find(message.worker);
  if (sessions_.at(session).refused || place == places_.end()) return;
  nodes_.at(node_of(session)).workers.erase(message.worker);
  places_.erase(place);
}

void HeadMachine::on(SessionId session, wire::JobsDone&& message, TimePoint now, Effects& out) {
  const NodeId node = node_of(session);
  for (wire::FinishedItem& item : message.items) {
    scheduler::JobFinished event{node, message.worker, message.pool, item.attempt, {}, {}};
    event.run_time = std::chrono::microseconds(item.run_time_us);
    event.outcome.payload = std::move(item.value);
    scheduler_.on(std::move(event), now, commands_);
    if (!commands_.empty() && std::holds_alternative<scheduler::Contradiction>(commands_.back())) break;
  }
  carry_out(commands_, out);
}

void HeadMachine::on(SessionId session, wire::JobFailed&& message, TimePoint now, Effects& out) {
  scheduler::JobFinished event{node_of(session), message.worker, message.pool, message.attempt, {}, {}};
  event.run_time = std::chrono::microseconds(message.run_time_us);
  event.outcome = {std::move(message.exception), std::move(message.error)};
  tell(std::move(event), now, out);
}

void HeadMachine::on(SessionId session, wire::JobsParked&& message, TimePoint now, Effects& out) {
  const NodeId node = node_of(session);
  scheduler::ResultsParked event{node, message.worker, message.pool, {}};
  for (const wire::ParkedItem& item : message.items) event.attempts.push_back(item.attempt);
  tell(std::move(event), now, out);
  ResultFlow::Says says;
  for (const wire::ParkedItem& item : message.items) {
    if (item.bytes == 0) continue;
    // One that has come, in an earlier session, and perhaps gone to its client already, is not let in again: its turn
    // would never be given back.
    const auto job = scheduler_.find_job(message.pool, item.attempt.sequence);
    const bool awaited = job && job->state == scheduler::JobView::State::assigned && job->token == item.attempt.token;
    if (awaited) flow_.ask(message.pool, node, item.attempt, item.bytes, says);
  }
  tell_nodes(std::move(says), out);
}

void HeadMachine::on(SessionId session, wire::ResultsFull&& message, TimePoint now, Effects& out) {
  tell(scheduler::ResultsFull{node_of(session), message.pool, message.full}, now, out);
}

void HeadMachine::on(SessionId session, wire::JobsRecalled&& message, TimePoint now, Effects& out) {
  tell(scheduler::JobsRecalled{node_of(session), message.worker, std::move(message.attempts)}, now, out);
}

void HeadMachine::on(SessionId session, wire::UpdatesApplied&& message, TimePoint now, Effects& out) {
  scheduler::UpdatesApplied event{node_of(session), message.worker, message.number, {}};
  if (message.failed) event.outcome = {std::move(message.exception), std::move(message.error)};
  tell(std::move(event), now, out);
}

void HeadMachine::on(SessionId session, wire::NodeLeaving&& message, TimePoint now, Effects& out) {
  const PeerInfo& peer = sessions_.at(session).peer;
  out.emplace_back(Log{fmt::format("node {} (pid {}) leaves ({})", peer.host, peer.pid, message.reason)});
  tell(scheduler::NodeLeaving{node_of(session)}, now, out);
}

/// Lines of a pool that the node does not serve are nobody's.
void HeadMachine::on(SessionId session, wire::OutputLines&& message, TimePoint, Effects& out) {
  const PoolId pool = message.pool;
  if (!scheduler_.serves(node_of(session), pool)) return;
  send_to_client(pool, std::move(message), wire::control_lane, out);
}

}  // namespace dc::head

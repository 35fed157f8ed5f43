// The node and the head: what is reported after a (re)connection, and what each message of the head does.
#include "node/node_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

namespace dc::node {

void NodeMachine::to_head(wire::Message message, wire::Lane lane, Effects& out) const {
  if (connected_) out.emplace_back(ToHead{std::move(message), lane});
}

// --- Session ----------------------------------------------------------------------------------------------------

void NodeMachine::session_opened(TimePoint, Effects& out) {
  connected_ = true;
  programs_asked_.clear();
  wire::NodeState state;
  state.slots = facts_.slots;
  for (auto& [id, pool] : pools_) {
    pool.active = false;
    wire::HeldPool held{id, pool.first_update + pool.updates.size(), {}};
    for (const auto& [sequence, kept] : pool.kept) held.finished.push_back({sequence, kept.token});
    std::sort(held.finished.begin(), held.finished.end());
    state.pools.push_back(std::move(held));
  }
  for (auto& [id, worker] : workers_) {
    worker.done.items.clear();  // kept, and sent again when the head asks
    WorkerReport report{id,
                        worker.pool,
                        worker.slot,
                        worker.phase == Phase::ready,
                        static_cast<std::uint32_t>(worker.pid),
                        worker.updates_applied,
                        {}};
    for (const Given& given : worker.given) report.held.push_back(given.attempt);
    for (const wire::RunItem& item : worker.waiting) report.held.push_back(item.attempt);
    state.workers.push_back(std::move(report));
  }
  state.programs.assign(facts_.programs.begin(), facts_.programs.end());
  to_head(std::move(state), wire::control_lane, out);
  if (leaving_) to_head(wire::NodeLeaving{"leaving"}, wire::control_lane, out);
}

void NodeMachine::session_closed() { connected_ = false; }

void NodeMachine::on_messages(std::vector<wire::Message>&& messages, TimePoint now, Effects& out) {
  for (wire::Message& message : messages) {
    std::visit([&](auto&& body) { on(std::move(body), now, out); }, std::move(message));
  }
}

// --- Pools ------------------------------------------------------------------------------------------------------

void NodeMachine::on(wire::OpenPoolHere&& message, TimePoint, Effects&) {
  Pool& pool = pools_[message.pool];
  pool.options = std::move(message.options);
  pool.spec = message.spec.size() > limits::inline_payload_max ? message.spec : message.spec.compact();
  pool.active = true;
}

void NodeMachine::on(wire::ClosePoolHere&& message, TimePoint now, Effects& out) {
  pools_.erase(message.pool);
  for (auto& [id, worker] : workers_) {
    if (worker.pool != message.pool) continue;
    worker.done.items.clear();
    end_worker(worker, ExitCause::requested, "its pool was closed", 0s, out, now);
    worker.kill_at = std::min(worker.kill_at, now + 500ms);
  }
}

void NodeMachine::on(wire::ActivatePool&& message, TimePoint, Effects& out) {
  if (const auto pool = pools_.find(message.pool); pool != pools_.end()) activate(message.pool, pool->second, out);
}

void NodeMachine::activate(PoolId id, Pool& pool, Effects& out) {
  if (pool.active) return;
  pool.active = true;
  for (const auto& [sequence, kept] : pool.kept) report_result(nullptr, id, sequence, kept, out);
}

void NodeMachine::on(wire::PoolUpdate&& message, TimePoint, Effects& out) {
  const auto found = pools_.find(message.pool);
  if (found == pools_.end()) return;
  Pool& pool = found->second;
  if (pool.updates.empty() && pool.first_update == 0) pool.first_update = message.number - 1;  // no history here
  if (message.number != pool.first_update + pool.updates.size() + 1) return;                   // sent twice
  pool.updates.push_back(message.payload.size() > limits::inline_payload_max ? message.payload
                                                                             : message.payload.compact());
  for (auto& [id, worker] : workers_) {
    if (worker.pool != message.pool || worker.phase < Phase::constructing || worker.cause) continue;
    send_update(worker, pool, out);
    pump(worker, out);
  }
}

void NodeMachine::on(wire::AckResults&& message, TimePoint, Effects&) {
  const auto pool = pools_.find(message.pool);
  if (pool == pools_.end()) return;
  for (const Attempt& attempt : message.attempts) {
    const auto kept = pool->second.kept.find(attempt.sequence);
    if (kept != pool->second.kept.end() && kept->second.token == attempt.token) pool->second.kept.erase(kept);
  }
}

void NodeMachine::on(wire::Program&& message, TimePoint, Effects& out) {
  out.emplace_back(StoreProgram{message.hash, std::move(message.program)});
}

void NodeMachine::program_stored(const std::string& hash, const std::string& error, TimePoint now, Effects& out) {
  if (error.empty()) facts_.programs.insert(hash);
  std::vector<WorkerId> failed;
  for (auto& [id, worker] : workers_) {
    if (worker.phase != Phase::waits_for_program || pools_[worker.pool].options.program_hash != hash) continue;
    if (error.empty())
      spawn_if_possible(worker, now, out);
    else
      failed.push_back(id);
  }
  for (const WorkerId id : failed) worker_exited(id, {{}, {}, {}, error}, out);
}

// --- Jobs of the head -------------------------------------------------------------------------------------------

void NodeMachine::on(wire::RunJobs&& message, TimePoint, Effects& out) {
  const auto found = workers_.find(message.worker);
  if (found == workers_.end()) return;  // WorkerExited is on its way to the head
  Worker& worker = found->second;
  if (const auto pool = pools_.find(worker.pool); pool != pools_.end()) activate(worker.pool, pool->second, out);
  for (wire::RunItem& item : message.items) worker.waiting.push_back(std::move(item));
  pump(worker, out);
}

void NodeMachine::on(wire::RecallJobs&& message, TimePoint, Effects& out) {
  const auto found = workers_.find(message.worker);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  wire::JobsRecalled answer{message.worker, {}};
  while (answer.attempts.size() < message.count && !worker.waiting.empty()) {
    answer.attempts.push_back(worker.waiting.back().attempt);
    worker.waiting.pop_back();
  }
  while (answer.attempts.size() < message.count && !worker.given.empty() &&
         worker.claims->take_back(worker.given.back().index)) {
    answer.attempts.push_back(worker.given.back().attempt);
    worker.given.pop_back();
  }
  to_head(std::move(answer), worker.id.value, out);
}

/// Hands jobs to the worker as far as updates and the page of claims allow.
void NodeMachine::pump(Worker& worker, Effects& out) {
  if (worker.phase != Phase::ready) return;
  while (!worker.waiting.empty() && worker.waiting.front().after_update <= worker.updates_sent &&
         worker.next_index - worker.passed_index < limits::claims - 1) {
    wire::RunItem& item = worker.waiting.front();
    const std::uint64_t index = worker.next_index++;
    worker.claims->hand(index);
    worker.given.push_back({item.attempt, index});
    out.emplace_back(ToWorker{worker.id, wire::WorkerJob{index, std::move(item.arguments)}});
    worker.waiting.pop_front();
  }
}

// --- Leaving and flush ------------------------------------------------------------------------------------------

void NodeMachine::leave(const std::string& reason, TimePoint deadline, Effects& out) {
  if (!leaving_) to_head(wire::NodeLeaving{reason}, wire::control_lane, out);
  leaving_ = true;
  leave_deadline_ = deadline;
}

void NodeMachine::flush(TimePoint now, Effects& out) {
  next_deadline_ = never;
  bool unfinished = false;
  for (auto& [id, worker] : workers_) {
    if (!worker.done.items.empty()) {
      worker.done.worker = id;
      worker.done.pool = worker.pool;
      to_head(std::exchange(worker.done, {}), id.value, out);
    }
    if (std::exchange(worker.update_report, false)) {
      to_head(wire::UpdatesApplied{id, worker.updates_applied, {}}, id.value, out);
    }
    unfinished |= !worker.given.empty() || !worker.waiting.empty();
    watch_limits(worker, now, out);
  }
  if (!leaving_ || left_) return;
  for (const auto& [id, pool] : pools_) unfinished |= connected_ && !pool.kept.empty();
  if (unfinished && now < leave_deadline_) {
    next_deadline_ = std::min(next_deadline_, leave_deadline_);
    return;
  }
  if (!workers_.empty() && !abort_) {
    abort_ = true;
    for (auto& [id, worker] : workers_) {
      end_worker(worker, ExitCause::drained, "its node is leaving", 0s, out, now);
      worker.kill_at = std::min(worker.kill_at, now + 1s);
      next_deadline_ = std::min(next_deadline_, worker.kill_at);
    }
  }
  if (!workers_.empty()) return;
  left_ = true;
  out.emplace_back(Left{});
}

}  // namespace dc::node

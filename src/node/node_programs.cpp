// The programs of C++ pools: fetched from the head, looked at before their first use in this life of the node, and
// again when workers end at once.
#include <utility>

#include "node/node_machine.hpp"

namespace dc::node {

/// From the cache, where it is looked at before its first use in this life, else from the head.
void NodeMachine::get_program(const std::string& hash, Effects& out) {
  if (facts_.programs.contains(hash)) {
    if (programs_in_check_.insert(hash).second) out.emplace_back(CheckProgram{hash});
  } else if (programs_asked_.insert(hash).second) {
    to_head(wire::NeedProgram{hash}, wire::control_lane, out);
  }
}

void NodeMachine::on(wire::Program&& message, TimePoint, Effects& out) {
  if (facts_.programs.contains(message.hash)) return;
  programs_asked_.insert(message.hash);  // it is here: no need to ask while it is being stored
  out.emplace_back(StoreProgram{std::move(message.hash), std::move(message.program)});
}

void NodeMachine::program_stored(const std::string& hash, const std::string& error, TimePoint now, Effects& out) {
  programs_asked_.erase(hash);
  if (error.empty()) {
    facts_.programs.insert(hash);
    programs_sound_.insert(hash);
  }
  std::vector<WorkerId> failed;
  for (auto& [id, worker] : workers_) {
    const Pool* pool = find_pool(worker.pool);
    if (worker.phase != Phase::waits_for_program || !pool || pool->options.program_hash != hash) continue;
    if (error.empty()) {
      begin_again(worker, *pool, now, out);
    } else {
      failed.push_back(id);
    }
  }
  for (const WorkerId id : failed) worker_exited(id, {{}, {}, {}, error}, out);
}

void NodeMachine::program_usable(WorkerId id, TimePoint, Effects& out) {
  Worker* worker = find_worker(id);
  const Pool* pool = worker ? find_pool(worker->pool) : nullptr;
  if (pool && !worker->cause && worker->phase == Phase::waits_for_disk) spawn(*worker, *pool, out);
}

void NodeMachine::program_missing(WorkerId id, TimePoint now, Effects& out) {
  Worker* worker = find_worker(id);
  const Pool* pool = worker ? find_pool(worker->pool) : nullptr;
  if (!pool) {
    if (worker) worker_exited(id, {{}, {}, {}, "its pool was closed"}, out);
    return;
  }
  if (worker->cause) return;
  programs_sound_.erase(pool->options.program_hash);  // another node may have stored it anew: a look will tell
  spawn_if_possible(*worker, *pool, now, out);
}

void NodeMachine::program_checked(const std::string& hash, bool sound, TimePoint now, Effects& out) {
  programs_in_check_.erase(hash);
  if (sound) {
    programs_sound_.insert(hash);
  } else {
    facts_.programs.erase(hash);
    programs_sound_.erase(hash);
  }
  std::vector<WorkerId> at_fault;  // themselves
  for (auto& [id, worker] : workers_) {
    const Pool* pool = find_pool(worker.pool);
    if (worker.phase != Phase::waits_for_program || worker.cause) continue;
    if (!pool || pool->options.program_hash != hash) continue;
    if (worker.doubted && sound)
      at_fault.push_back(id);
    else
      begin_again(worker, *pool, now, out);
  }
  for (const WorkerId id : at_fault) {
    const ProcessEnd end = *workers_.at(id).doubted;
    worker_exited(id, end, out);
  }
}

void NodeMachine::begin_again(Worker& worker, const Pool& pool, TimePoint now, Effects& out) {
  if (worker.doubted) devices_.worker_ended(worker.devices, std::exchange(worker.pid, 0), worker.doubted->at);
  worker.doubted.reset();
  spawn_if_possible(worker, pool, now, out);
}

/// A worker that ended before its constructor said a word: is it the program, damaged since it was looked at? Asked
/// once of each worker, which can begin again only while all its updates are here.
bool NodeMachine::doubts_program(const Worker& worker, const ProcessEnd& end) const {
  const auto pool = pools_.find(worker.pool);
  if (pool == pools_.end() || pool->second.options.program_hash.empty()) return false;
  if (worker.phase != Phase::constructing || worker.cause || worker.init_error || worker.was_doubted) return false;
  if (leaving_ || end.out_of_memory || worker.claims->update_started_at_ns.load() != 0) return false;
  return pool->second.options.keep_updates_history || pool->second.first_update <= worker.skip_updates;
}

void NodeMachine::doubt_program(Worker& worker, const ProcessEnd& end, Effects& out) {
  const std::string& hash = pools_.at(worker.pool).options.program_hash;
  worker.doubted = end;
  worker.was_doubted = true;
  worker.phase = Phase::waits_for_program;
  worker.claims = nullptr;
  worker.init_deadline = worker.terminate_at = worker.kill_at = worker.hung_up_at = never;
  programs_sound_.erase(hash);
  get_program(hash, out);
}

}  // namespace dc::node

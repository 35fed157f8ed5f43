// What can be seen of the scheduler from outside, and the check that it is consistent.
#include <algorithm>
#include <map>
#include <set>

#include "core/check.hpp"
#include "scheduler/devices.hpp"

namespace dc::scheduler {

Scheduler::Scheduler(std::uint32_t epoch, TimePoint now) : state_(std::make_unique<State>()) {
  state_->epoch = epoch;
  state_->heard_at = now;
}
Scheduler::~Scheduler() = default;

TimePoint Scheduler::next_deadline() const { return std::min(state_->wake, state_->share_at()); }

Load Scheduler::load(PoolId id) const {
  const auto pool = state_->pools.find(id);
  return pool == state_->pools.end() ? Load{} : Load{pool->second->jobs.size(), pool->second->argument_bytes};
}

bool Scheduler::has_pool(PoolId pool) const { return state_->find_pool(pool) != nullptr; }

bool Scheduler::serves(NodeId id, PoolId pool) const {
  const Node* node = state_->find_node(id);
  return node && node->pools.contains(pool);
}

PoolStatus Scheduler::pool_status(PoolId id) const {
  const Pool* pool = state_->find_pool(id);
  DC_CHECK(pool);
  PoolStatus status;
  status.pool = id;
  status.label = pool->options.label;
  status.weight = pool->options.weight;
  status.gpus_per_worker = pool->options.gpus_per_worker;
  status.waits_for = pool->waits_for;
  for (const Worker* worker : pool->workers) {
    if (worker->stopping || !worker->node->connected) continue;
    ++(worker->ready ? status.workers_ready : status.workers_starting);
  }
  for (const auto& [node_id, node] : state_->nodes) {
    if (!node->connected) continue;
    ++status.nodes;
    for (const auto& slot : node->slots) {
      ++status.slots_total;
      status.slots_eligible += eligible(*pool, *slot);
      const auto failure = slot->failures.find(id);
      status.slots_set_aside += failure != slot->failures.end() && failure->second.set_aside;
    }
  }
  status.jobs_queued = pool->queued;
  status.jobs_running = pool->assigned;
  status.jobs_done = pool->done;
  status.jobs_rerun = pool->rerun;
  status.updates = pool->updates;
  return status;
}

bool Scheduler::may_exist(WorkerId worker) const { return state_->may_exist(worker); }

std::optional<JobView> Scheduler::find_job(PoolId id, JobSequence sequence) const {
  Pool* pool = state_->find_pool(id);
  const Job* job = pool ? State::find_job(*pool, sequence) : nullptr;
  if (!job) return std::nullopt;
  const auto state = job->state == JobState::queued     ? JobView::State::queued
                     : job->state == JobState::assigned ? JobView::State::assigned
                                                        : JobView::State::done;
  return JobView{state, job->token()};
}

Status Scheduler::status() const {
  Status status;
  for (const auto& [id, node] : state_->nodes) {
    NodeStatus& shown = status.nodes.emplace_back(NodeStatus{id, node->host, node->connected, node->leaving, {}});
    for (const auto& slot : node->slots) {
      SlotStatus& entry = shown.slots.emplace_back();
      entry.slot = slot->info.slot;
      entry.info = slot->info;
      entry.jobs_done = slot->jobs_done;
      const Worker* worker = slot->occupant;
      if (!worker) {
        entry.state = !slot->info.trouble.empty() ? SlotState::blocked
                      : slot->failures.empty()    ? SlotState::free
                                                  : SlotState::waiting_to_retry;
        continue;
      }
      entry.state = worker->stopping       ? SlotState::stopping
                    : !worker->ready       ? SlotState::starting
                    : worker->held.empty() ? SlotState::idle
                                           : SlotState::busy;
      entry.pool = worker->pool_id;
      entry.worker = worker->id;
      entry.pid = worker->pid;
    }
  }
  for (const auto& [id, pool] : state_->pools) status.pools.push_back(pool_status(id));
  return status;
}

namespace {

/// The slots of a worker: its own and no other worker's, on one node, and on different GPUs if we chose them.
void check_slots(const Worker& worker) {
  std::set<const Slot*> slots{worker.slot};
  std::set<std::string_view> gpus{worker.slot->info.gpu};
  for (const Slot* slot : worker.more_slots) {
    slots.insert(slot);
    gpus.insert(slot->info.gpu);
  }
  for (const Slot* slot : slots) {
    DC_CHECK(slot->occupant == &worker && slot->node == worker.node);
    DC_CHECK(slot == worker.slot || !slot->worker);
    if (worker.pool && worker.ours) DC_CHECK(eligible(*worker.pool, *slot));
  }
  DC_CHECK(slots.size() == worker.width());
  if (!worker.pool || !worker.ours) return;
  DC_CHECK(worker.width() == worker.pool->options.gpus_per_worker && gpus.size() == slots.size());
}

void check_jobs(const Pool& pool, const std::set<WorkerId>& workers) {
  std::uint64_t queued = 0, assigned = 0;
  std::map<JobSequence, int> holders;
  for (const Worker* worker : pool.workers) {
    DC_CHECK(workers.contains(worker->id));
    std::size_t bytes = 0;
    for (const Held& held : worker->held) {
      bytes += held.bytes;
      const auto job = pool.jobs.find(held.attempt.sequence);
      if (job == pool.jobs.end() || job->second.state != JobState::assigned) continue;
      if (job->second.token() == held.attempt.token) {
        ++holders[job->first];
        DC_CHECK(job->second.progress->worker == worker->id);
      }
    }
    DC_CHECK(bytes == worker->held_bytes);
  }
  for (const auto& [sequence, job] : pool.jobs) {
    DC_CHECK(!job.progress || job.progress->sequence == sequence);
    DC_CHECK(job.progress || job.state == JobState::queued);
    queued += job.state == JobState::queued;
    assigned += job.state == JobState::assigned;
    if (job.state == JobState::assigned) DC_CHECK(holders[sequence] == (job.progress->worker.value ? 1 : 0));
    if (job.state == JobState::queued) {
      DC_CHECK(pool.queue.contains(sequence));
    }
  }
  DC_CHECK(queued == pool.queued && assigned == pool.assigned);
  DC_CHECK(pool.early.empty() || pool.early.begin()->first > pool.updates + 1);
  DC_CHECK(!pool.options.keep_updates_history || pool.log.size() == pool.updates);
}

}  // namespace

void Scheduler::check_invariants() const {
  const State& state = *state_;
  std::set<WorkerId> seen;
  std::size_t slots = 0;
  for (const auto& [node_id, node] : state.nodes) {
    slots += node->slots.size();
    for (const auto& slot : node->slots) {
      DC_CHECK(slot->node == node.get());
      const Worker* worker = slot->worker.get();
      if (const Worker* occupant = slot->occupant) {
        const auto& more = occupant->more_slots;
        DC_CHECK(occupant == worker || std::count(more.begin(), more.end(), slot.get()) == 1);
      }
      if (!worker) continue;
      DC_CHECK(worker->slot == slot.get() && worker->node == node.get());
      DC_CHECK(state.workers.at(worker->id) == worker && seen.insert(worker->id).second);
      check_slots(*worker);
      if (!worker->pool) continue;
      const auto& workers = worker->pool->workers;
      DC_CHECK(worker->pool->id == worker->pool_id);
      DC_CHECK(std::count(workers.begin(), workers.end(), worker) == 1);
    }
  }
  DC_CHECK(seen.size() == state.workers.size() && slots == state.slots_total);
  for (const auto& [pool_id, pool] : state.pools) check_jobs(*pool, seen);
}

}  // namespace dc::scheduler

// Nodes come, break off, come back and say what they have, leave, and are lost.
#include <algorithm>
#include <set>

#include "core/check.hpp"
#include "core/mutation.hpp"
#include "scheduler/state.hpp"

namespace dc::scheduler {

void Scheduler::State::lose_node(Node& node, Commands& out) {
  const NodeId id = node.id;
  for (auto& slot : node.slots) {
    if (!slot->worker) continue;
    Pool* pool = slot->worker->pool;
    const std::deque<Held> held = slot->worker->held;
    remove_worker(*slot->worker);
    if (!pool) continue;
    std::vector<JobSequence> again;
    for (const Held& entry : held) {
      if (current(*pool, entry.attempt)) again.push_back(entry.attempt.sequence);
    }
    pool->rerun += again.size();
    count_begun(*pool, again);
    if (!mutation::keep_lost_nodes_jobs) requeue(*pool, std::move(again));
  }
  // A job that is done may go on naming this node: when it is acknowledged, nobody is there to be told.
  for (auto& [pool_id, has] : node.pools) {
    Pool* pool = find_pool(pool_id);
    if (pool && !mutation::keep_lost_nodes_jobs) lose_results(*pool, node, has, {});
    if (!pool || has.landed == 0) continue;
    pool->stranded += has.landed;
    out.emplace_back(ResultsStranded{pool_id, pool->stranded});
  }
  slots_total -= node.slots.size();
  nodes.erase(id);
  sharing_dirty = true;
  note_change_everywhere();
}

/// Results that were on their way from the node and will not come; `kept`: it still has these.
void Scheduler::State::lose_results(Pool& pool, const Node& node, NodePool& has, const std::set<Attempt>& kept) {
  std::vector<JobSequence> again;
  const auto from_here = [&](NodeId where, WorkerId worker) { return where == node.id && worker.value == 0; };
  for (const JobSequence sequence : std::exchange(has.on_way, {})) {
    const Job* job = find_job(pool, sequence);
    if (job && job->state == JobState::assigned && from_here(job->progress->node, job->progress->worker) &&
        !kept.contains({sequence, job->token()}))
      again.push_back(sequence);
    const auto claim = pool.claims.find(sequence);
    if (claim != pool.claims.end() && from_here(claim->second.node, claim->second.worker)) pool.claims.erase(claim);
  }
  count_begun(pool, again);
  requeue(pool, std::move(again));
}

/// Its result is here.
void Scheduler::State::forget_on_way(const Progress& progress, PoolId pool) {
  if (progress.worker.value != 0) return;
  Node* node = find_node(progress.node);
  const auto has = node ? node->pools.find(pool) : decltype(node->pools.end()){};
  if (node && has != node->pools.end()) has->second.on_way.erase(progress.sequence);
}

/// What a node claims to run or to have finished, met with what we know of the job.
void Scheduler::State::claim(Pool& pool, const Claimed& claimed, Commands& out) {
  Job* job = find_job(pool, claimed.attempt.sequence);
  if (!job && pool.resuming) {
    pool.claims[claimed.attempt.sequence] = claimed;
    return;
  }
  const auto is_tried = [&] { return job && job->token() == claimed.attempt.token; };
  if (job && job->progress && job->progress->raised.epoch != 0 && job->progress->raised == claimed.attempt.token) {
    out.emplace_back(AckResult{claimed.node, pool.id, claimed.attempt});
    return;
  }
  if (job && job->state == JobState::queued) {
    --pool.queued;  // its entry in the queue is skipped later
    adopt(pool, *job, claimed);
    return;
  }
  if (!is_tried() || job->state != JobState::assigned) {
    if (claimed.worker.value != 0) return;
    if (!is_tried()) out.emplace_back(AckResult{claimed.node, pool.id, claimed.attempt});
    if (is_tried()) job->progress->node = claimed.node;  // it is done
    return;
  }
  job->progress->worker = claimed.worker;
  job->progress->node = claimed.node;
}

/// Jobs that we gave to this node and that it does not know: the message was lost with the connection.
void Scheduler::State::drop_stranded_jobs(Node& node, const NodeJoined& event) {
  std::map<PoolId, std::set<Attempt>> has;
  for (const auto& held : event.pools) has[held.pool].insert(held.finished.begin(), held.finished.end());
  for (const auto& report : event.workers) has[report.pool].insert(report.held.begin(), report.held.end());
  std::map<PoolId, std::vector<JobSequence>> again;
  for (auto& slot : node.slots) {
    const Worker* worker = slot->worker.get();
    if (!worker || !worker->pool) continue;
    const std::set<Attempt>& still = has[worker->pool_id];
    for (const Held& held : worker->held) {
      if (still.contains(held.attempt)) continue;
      forget_claim(*worker->pool, *worker, held.attempt);
      if (current(*worker->pool, held.attempt)) again[worker->pool_id].push_back(held.attempt.sequence);
    }
  }
  if (mutation::keep_stranded_jobs) return;
  for (auto& [pool_id, sequences] : again) requeue(*find_pool(pool_id), std::move(sequences));
  for (auto& [pool_id, entry] : node.pools) {
    if (Pool* pool = find_pool(pool_id)) lose_results(*pool, node, entry, has[pool_id]);
  }
}

void Scheduler::State::take_over_worker(Node& node, const WorkerReport& report, TimePoint now, Commands& out) {
  Worker* worker = find_worker(report.worker);
  if (!worker) {
    std::vector<Slot*> slots{find_slot(node, report.slot)};
    for (const std::uint32_t more : report.more_slots) slots.push_back(find_slot(node, more));
    if (std::find(slots.begin(), slots.end(), nullptr) != slots.end()) return;
    for (const Slot* slot : slots) {
      if (slot->occupant) remove_worker(*slot->occupant);
    }
    worker = &add_worker(slots, report.worker, report.pool, find_pool(report.pool));
  }
  worker->ready = report.ready;
  worker->pid = report.pid;
  worker->updates_applied = std::max(worker->updates_applied, report.updates_applied);
  worker->recalling = false;
  worker->full = false;  // it says so again
  worker->last_progress = now;
  worker->idle_since = now;
  worker->held.clear();
  worker->held_bytes = 0;
  for (const Attempt& attempt : report.held) {
    Job* job = worker->pool ? find_job(*worker->pool, attempt.sequence) : nullptr;
    worker->held.push_back({attempt, job ? job->arguments.size() : 0});
    worker->held_bytes += worker->held.back().bytes;
    if (worker->pool) claim(*worker->pool, {attempt, node.id, worker->id}, out);
  }
  if (!worker->pool) return;
  worker->pool->ever_ready |= worker->ready;
  worker->pool->had_worker |= worker->ready;
  worker->pool->applied_dirty = true;
  if (worker->stopping) {
    worker->stopping = false;
    stop_worker(*worker, out);  // the request may have been lost
  } else if (worker->leaving && is_idle(*worker)) {
    stop_worker(*worker, out);
  } else if (worker->ready) {
    became_hungry(*worker);
  }
  touch(*worker->pool);
}

void Scheduler::State::join_pools(Node& node, std::vector<NodeJoined::HeldPool>& reported, TimePoint now,
                                  Commands& out) {
  std::map<PoolId, NodePool> has;
  for (auto& held : reported) {
    NodePool& entry = has[held.pool];
    entry.updates = held.updates;
    Pool* pool = find_pool(held.pool);
    const auto before = node.pools.find(held.pool);
    if (before != node.pools.end())
      entry.perhaps_forgotten = before->second.perhaps_forgotten;
    else if (!pool || pool->earlier)
      entry.perhaps_forgotten = held.updates;
    if (!pool && closed.contains(held.pool)) {
      has.erase(held.pool);
      out.emplace_back(ClosePoolOnNode{node.id, held.pool});
      continue;
    }
    if (!pool) {
      entry.finished = std::move(held.finished);
      entry.forget_at = now + limits::unknown_pool_grace;
      wake_at(entry.forget_at);
      continue;
    }
    for (const Attempt& attempt : held.finished) {
      entry.on_way.insert(attempt.sequence);
      claim(*pool, {attempt, node.id, WorkerId{}}, out);
    }
    if (!pool->resuming) out.emplace_back(ActivatePoolOnNode{node.id, pool->id});
  }
  node.pools = std::move(has);
}

/// What changes of a slot: the memory that is free, and its trouble.
void Scheduler::State::update_slots(Node& node, const std::vector<SlotInfo>& slots) {
  for (const SlotInfo& said : slots) {
    Slot* slot = find_slot(node, said.slot);
    if (!slot) continue;
    slot->info.gpu_memory_free_mib = said.gpu_memory_free_mib;
    slot->info.trouble = said.trouble;
  }
}

void Scheduler::on(NodeJoined event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  auto& entry = state.nodes[event.node];
  if (!entry) {
    if (!event.pools.empty() || !event.workers.empty()) state.node_was_heard(now);
    entry = std::make_unique<Node>();
    entry->id = event.node;
    for (const SlotInfo& info : event.slots) {
      entry->slots.push_back(std::make_unique<Slot>());
      entry->slots.back()->info = info;
      entry->slots.back()->node = entry.get();
    }
    state.slots_total += entry->slots.size();
  }
  Node& node = *entry;
  State::update_slots(node, event.slots);
  node.host = event.host;
  node.connected = true;
  node.lost_at = never;
  std::set<WorkerId> reported;
  for (const WorkerReport& report : event.workers) reported.insert(report.worker);
  state.drop_stranded_jobs(node, event);
  for (auto& slot : node.slots) {
    if (slot->worker && !reported.contains(slot->worker->id)) state.remove_worker(*slot->worker);
  }
  state.join_pools(node, event.pools, now, out);
  for (const WorkerReport& report : event.workers) state.take_over_worker(node, report, now, out);
  for (auto& [pool_id, entry] : node.pools) {
    Pool* pool = state.find_pool(pool_id);
    if (!pool || pool->resuming) continue;
    state.stop_outdated(node, *pool, out);  // first: they must not be sent what comes after a gap
    state.send_updates(node, *pool, out);
  }
  state.sharing_dirty = true;
  state.note_change_everywhere();
}

void Scheduler::on(const SlotsChanged& event, TimePoint now, Commands&) {
  State& state = *state_;
  state.thaw(now);
  if (Node* node = state.find_node(event.node)) State::update_slots(*node, event.slots);
  state.sharing_dirty = true;
}

void Scheduler::on(const NodeDisconnected& event, TimePoint now, Commands&) {
  State& state = *state_;
  state.thaw(now);
  Node* node = state.find_node(event.node);
  if (!node) return;
  node->connected = false;
  node->lost_at = now + limits::node_return_grace;
  state.wake_at(node->lost_at);
  state.sharing_dirty = true;
  state.note_change_everywhere();
}

void Scheduler::on(const NodeLeaving& event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  Node* node = state.find_node(event.node);
  if (!node || node->leaving) return;
  node->leaving = true;
  for (auto& slot : node->slots) {
    if (slot->worker && !slot->worker->stopping) state.make_leave(*slot->worker, out);
  }
  state.sharing_dirty = true;
  state.note_change_everywhere();
}

void Scheduler::on(const NodeGone& event, TimePoint now, Commands& out) {
  state_->thaw(now);
  if (Node* node = state_->find_node(event.node)) state_->lose_node(*node, out);
}

}  // namespace dc::scheduler

// Pools open, come back from an earlier head, close; and flush(), where everything is decided.
#include <algorithm>

#include "core/check.hpp"
#include "core/mutation.hpp"
#include "scheduler/state.hpp"

namespace dc::scheduler {

void Scheduler::State::close_pool(Pool& pool, Commands& out) {
  for (auto& [id, node] : nodes) {
    if (node->pools.erase(pool.id) > 0 && node->connected) out.emplace_back(ClosePoolOnNode{id, pool.id});
    for (auto& slot : node->slots) {
      slot->failures.erase(pool.id);
      if (slot->worker && slot->worker->pool == &pool) {
        slot->worker->pool = nullptr;  // the node kills it and says WorkerExited
        slot->worker->stopping = true;
        slot->worker->held.clear();
        slot->worker->hungry = false;
      }
    }
  }
  if (++closed[pool.id] == 1) closed_order.push_back(pool.id);
  if (closed_order.size() > limits::closed_pools_kept) {
    closed.erase(closed_order.front());
    closed_order.pop_front();
  }
  pools.erase(pool.id);
  sharing_dirty = true;
}

/// A pool is back whose workers and results some nodes have kept.
void Scheduler::State::adopt_reported(Pool& pool, Commands& out) {
  for (auto& [node_id, node] : nodes) {
    const auto has = node->pools.find(pool.id);
    if (has == node->pools.end()) continue;
    has->second.forget_at = never;
    for (const Attempt& attempt : has->second.finished) {
      has->second.on_way.insert(attempt.sequence);
      claim(pool, {attempt, node_id, WorkerId{}}, out);
    }
    has->second.finished.clear();
    for (auto& slot : node->slots) {
      Worker* worker = slot->worker.get();
      if (!worker || worker->pool_id != pool.id) continue;
      worker->pool = &pool;
      pool.workers.push_back(worker);
      for (const Held& held : worker->held) claim(pool, {held.attempt, node_id, worker->id}, out);
      pool.ever_ready |= worker->ready;
      pool.had_worker |= worker->ready;
      if (worker->ready) became_hungry(*worker);
    }
  }
}

/// Nodes that have kept the pool go on with it.
void Scheduler::State::activate_on_nodes(Pool& pool, Commands& out) {
  for (auto& [node_id, node] : nodes) {
    if (!node->pools.contains(pool.id)) continue;
    out.emplace_back(ActivatePoolOnNode{node_id, pool.id});
    stop_outdated(*node, pool, out);
    send_updates(*node, pool, out);
  }
}

void Scheduler::on(PoolOpened event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  auto& entry = state.pools[event.pool];
  if (entry) return;
  entry = std::make_unique<Pool>();
  Pool& pool = *entry;
  pool.id = event.pool;
  pool.opened_as = ++state.pools_opened;
  pool.had_worker = event.had_worker;
  pool.options = std::move(event.options);
  pool.resuming = event.resumed;
  if (const auto before = state.closed.find(pool.id); before != state.closed.end()) {
    constexpr std::uint32_t attempts_max = 1U << 20;  // at one job in one life of its pool
    pool.attempts_before = before->second * attempts_max;
  }
  if (event.resumed) {
    pool.earlier = !mutation::no_recovery_hold;
    pool.awaits_base = !pool.options.keep_updates_history;
  }
  // Even a pool that is new to its client: the earlier head may have died between opening it and saying so.
  state.adopt_reported(pool, out);
  if (!pool.resuming) state.activate_on_nodes(pool, out);
  if (state.pools.size() > 1) state.wake_at(now + limits::lend_after);  // who is idle had nobody to lend to so far
  state.sharing_dirty = true;
  state.touch(pool);
  state.note_change(pool);
}

void Scheduler::on(const PoolResumed& event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  Pool* pool = state.find_pool(event.pool);
  if (!pool || !pool->resuming) return;
  pool->resuming = false;
  for (auto& [sequence, claimed] : pool->claims) {
    // The client has this outcome already.
    if (claimed.worker.value == 0) out.emplace_back(AckResult{claimed.node, pool->id, claimed.attempt});
  }
  pool->claims.clear();
  state.activate_on_nodes(*pool, out);
  state.sharing_dirty = true;
  state.touch(*pool);
}

void Scheduler::on(const ClientReturned& event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  Pool* pool = state.find_pool(event.pool);
  if (!pool) return;
  std::vector<JobSequence> outstanding = event.outstanding;
  std::sort(outstanding.begin(), outstanding.end());
  MissingJobs missing{pool->id, {}};
  for (const JobSequence sequence : outstanding) {
    Job* job = State::find_job(*pool, sequence);
    if (!job) missing.sequences.push_back(sequence);
    if (job && job->state == JobState::done)
      out.emplace_back(DeliverOutcome{pool->id, sequence, job->progress->outcome});
  }
  std::vector<JobSequence> known;
  for (const auto& [sequence, job] : pool->jobs) known.push_back(sequence);
  for (const JobSequence sequence : known) {
    if (std::binary_search(outstanding.begin(), outstanding.end(), sequence)) continue;
    state.forget(*pool, sequence, out);
  }
  out.emplace_back(std::move(missing));
  state.note_change(*pool);
}

void Scheduler::on(const PoolClosed& event, TimePoint now, Commands& out) {
  state_->thaw(now);
  if (Pool* pool = state_->find_pool(event.pool)) state_->close_pool(*pool, out);
}

void Scheduler::on(const WorkersWanted& event, TimePoint now, Commands&) {
  state_->thaw(now);
  Pool* pool = state_->find_pool(event.pool);
  if (!pool || pool->wanted == event.count) return;
  pool->wanted = event.count;
  state_->sharing_dirty = true;
}

/// Looks at every deadline, and works out the next one.
void Scheduler::State::expire(TimePoint now, Commands& out) {
  wake = never;
  std::vector<Node*> lost;
  for (auto& [id, node] : nodes) {
    if (node->lost_at <= now) {
      lost.push_back(node.get());
      continue;
    }
    wake_at(node->lost_at);
    std::vector<PoolId> forgotten;
    for (auto& [pool_id, has] : node->pools) {
      if (has.forget_at > now)
        wake_at(has.forget_at);
      else if (!pools_awaited)
        forgotten.push_back(pool_id);
    }
    for (const PoolId pool_id : forgotten) {
      node->pools.erase(pool_id);
      if (node->connected) out.emplace_back(ClosePoolOnNode{id, pool_id});
    }
    for (auto& slot : node->slots) {
      for (auto& [pool_id, failure] : slot->failures) {
        if (!failure.set_aside && failure.retry_at > now) wake_at(failure.retry_at);
      }
      const Worker* worker = slot->worker.get();
      if (pools.size() > 1 && worker && worker->ready && worker->held.empty()) {
        if (const TimePoint lendable = worker->idle_since + limits::lend_after; lendable > now) wake_at(lendable);
      }
    }
  }
  for (Node* node : lost) lose_node(*node, out);
  for (auto& [id, pool] : pools) wake_at(pool->no_device_at);
  for (auto& [id, pool] : pools) touch(*pool);
  sharing_dirty = true;
}

void Scheduler::door_opened(TimePoint now) {
  state_->heard_at = now;
  state_->last_call = now;
}

void Scheduler::await_pools(bool awaited, TimePoint now) {
  state_->pools_awaited = awaited;
  state_->wake_at(now);
}

void Scheduler::flush(TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  if (state.wake <= now) state.expire(now, out);
  if (state.share_at() <= now) {
    state.share_slots(now, out);
    state.fail_hopeless_pools(out);
    state.watch_devices(now, out);
  }
  if (state.nested_waits) state.watch_nested(now, out);
  const std::vector<PoolId> dirty = std::move(state.dirty);
  state.dirty.clear();
  for (const PoolId id : dirty) {
    Pool* pool = state.find_pool(id);
    if (!pool) continue;
    pool->dirty = false;
    state.dispatch(*pool, now, out);
    if (pool->applied_dirty) state.check_applied(*pool, now, out);
  }
  for (const PoolId id : state.changed) {
    Pool* pool = state.find_pool(id);
    if (!pool || !pool->changed) continue;
    pool->changed = false;
    out.emplace_back(PoolChanged{id});
  }
  state.changed.clear();
}

}  // namespace dc::scheduler

// The update log of a pool: contiguous at the head, sent once to every node, applied once by every worker.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/mutation.hpp"
#include "scheduler/state.hpp"

namespace dc::scheduler {

bool Pool::keeps_log() const { return options.keep_updates_history || (!had_worker && !mutation::lose_first_updates); }

/// Class, init data and history go to a node before its first worker of the pool.
void Scheduler::State::open_on(Node& node, Pool& pool, Commands& out) {
  const auto [entry, is_new] = node.pools.try_emplace(pool.id);
  if (!is_new) return;
  out.emplace_back(OpenPoolOnNode{node.id, pool.id});
  if (!pool.keeps_log()) entry->second.updates = pool.updates;
  send_updates(node, pool, out);
}

void Scheduler::State::send_updates(Node& node, Pool& pool, Commands& out) {
  const auto has = node.pools.find(pool.id);
  if (has == node.pools.end() || !node.connected || has->second.forget_at != never || pool.resuming) return;
  UpdateNumber& sent = has->second.updates;
  // Without history only the latest ones can still be in the log.
  const UpdateNumber first = pool.log_base();
  for (sent = std::max(sent, first); sent < pool.updates; ++sent) {
    const bool keep = pool.keeps_log() && !pool.options.keep_updates_history;
    out.emplace_back(SendUpdate{node.id, pool.id, sent + 1, pool.log[sent - first], keep});
  }
}

/// Without history, updates that every worker has, or started after, are not kept, once there was a worker.
void Scheduler::State::forget_applied(Pool& pool, Commands& out) {
  if (pool.keeps_log()) return;
  UpdateNumber needed_after = pool.updates;
  for (const Worker* worker : pool.workers) needed_after = std::min(needed_after, worker->updates_applied);
  while (pool.log_base() < needed_after) {
    pool.log_bytes -= pool.log.front().size();
    pool.log.pop_front();
  }
  if (pool.acceptance_due) accept_updates(pool, out);
}

/// A client that waits for it is not further ahead of its workers than the window. With history all are kept anyway.
void Scheduler::State::accept_updates(Pool& pool, Commands& out) {
  const bool far_ahead = pool.log.size() > 2 && pool.log_bytes > limits::update_window_bytes;
  pool.acceptance_due = far_ahead && !pool.options.keep_updates_history;
  if (!pool.acceptance_due) out.emplace_back(UpdateAccepted{pool.id, pool.updates});
}

/// Workers of a node that was away while an update came and went can never catch up.
void Scheduler::State::stop_outdated(Node& node, Pool& pool, Commands& out) {
  const UpdateNumber node_has = node.pools.at(pool.id).updates;
  for (auto& slot : node.slots) {
    Worker* worker = slot->worker.get();
    if (!worker || worker->pool != &pool || std::max(worker->updates_applied, node_has) >= pool.log_base()) continue;
    if (!mutation::keep_outdated_workers) stop_worker(*worker, out);
  }
}

void Scheduler::State::check_applied(Pool& pool, TimePoint now, Commands& out) {
  if (held_back(pool, now)) return;  // workers that lack updates may still come back
  pool.applied_dirty = false;
  forget_applied(pool, out);
  UpdateNumber lowest = pool.updates;
  for (const Worker* worker : pool.workers) {
    if (worker->ready && !worker->stopping) lowest = std::min(lowest, worker->updates_applied);
  }
  if (lowest <= pool.applied_everywhere) return;
  pool.applied_everywhere = lowest;
  out.emplace_back(UpdateAppliedEverywhere{pool.id, lowest});
}

void Scheduler::on(UpdateAdded event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  Pool* pool = state.find_pool(event.pool);
  if (!pool) return;
  if (std::exchange(pool->awaits_base, false)) {
    pool->updates = event.number;
    pool->had_worker |= event.number > 0;
    return;
  }
  if (event.number == 0) return;
  if (event.number <= pool->updates) return State::accept_updates(*pool, out);  // sent again after a reconnection
  if (event.number - pool->updates > limits::updates_ahead_max) {
    out.emplace_back(Contradiction{fmt::format("AddUpdate {} behind {}", event.number, pool->updates)});
    return;
  }
  pool->early.emplace(event.number, event.payload.compact());
  const UpdateNumber before = pool->updates;
  for (auto next = pool->early.begin(); next != pool->early.end() && next->first == pool->updates + 1;
       next = pool->early.erase(next)) {
    pool->log_bytes += next->second.size();
    pool->log.push_back(std::move(next->second));
    ++pool->updates;
  }
  if (pool->updates == before) return;
  for (auto& [id, node] : state.nodes) state.send_updates(*node, *pool, out);
  State::accept_updates(*pool, out);
  pool->applied_dirty = true;
  state.touch(*pool);
}

void Scheduler::on(const UpdatesMissed& event, TimePoint now, Commands&) {
  State& state = *state_;
  state.thaw(now);
  Pool* pool = state.find_pool(event.pool);
  if (!pool) return;
  pool->applied_everywhere = 0;
  pool->applied_dirty = true;
  state.touch(*pool);
}

void Scheduler::on(const UpdatesApplied& event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  if (std::string wrong = state.wrong_in(event); !wrong.empty()) {
    out.emplace_back(Contradiction{std::move(wrong)});
    return;
  }
  Worker* worker = state.find_worker(event.worker);
  if (!worker || !worker->pool) return;
  worker->updates_applied = std::max(worker->updates_applied, event.number);
  worker->pool->applied_dirty = true;
  state.touch(*worker->pool);
  if (event.outcome.error) out.emplace_back(UpdateFailed{worker->pool->id, event.number, event.outcome});
  if (!is_idle(*worker)) return;
  worker->idle_since = now;
  if (state.pools.size() > 1) state.wake_at(now + limits::lend_after);
  if (worker->leaving) state.stop_worker(*worker, out);
}

}  // namespace dc::scheduler

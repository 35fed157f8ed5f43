// The life of a worker: started, ready, stopped, dead; and who is charged for its death.
#include <fmt/format.h>

#include <algorithm>

#include "core/check.hpp"
#include "core/mutation.hpp"
#include "scheduler/devices.hpp"
#include "scheduler/state.hpp"

namespace dc::scheduler {

bool Scheduler::State::usable(const Worker& worker) {
  return worker.ready && !worker.leaving && !worker.stopping && !worker.full && worker.node->connected &&
         !worker.node->leaving;
}

/// The first slot is the worker's own.
Worker& Scheduler::State::add_worker(const std::vector<Slot*>& slots, WorkerId id, PoolId pool_id, Pool* pool) {
  Slot& slot = *slots.front();
  for (const Slot* taken : slots) DC_CHECK(!taken->occupant);
  slot.worker = std::make_unique<Worker>();
  Worker& worker = *slot.worker;
  worker.id = id;
  worker.pool_id = pool_id;
  worker.pool = pool;
  worker.node = slot.node;
  worker.slot = &slot;
  worker.more_slots.assign(slots.begin() + 1, slots.end());
  for (Slot* taken : slots) taken->occupant = &worker;
  workers.emplace(id, &worker);
  if (pool) {
    pool->workers.push_back(&worker);
    note_change(*pool);
  }
  return worker;
}

Worker& Scheduler::State::start_worker(const std::vector<Slot*>& slots, Pool& pool, Commands& out) {
  const Slot& slot = *slots.front();
  open_on(*slot.node, pool, out);
  const NodePool& has = slot.node->pools.at(pool.id);
  const WorkerId id{(std::uint64_t{epoch} << 32) | next_worker++};
  Worker& worker = add_worker(slots, id, pool.id, &pool);
  worker.ours = true;
  worker.full = has.full;
  worker.updates_applied = pool.updates;  // true as soon as it is ready: the history comes first
  UpdateNumber skip = pool.keeps_log() ? pool.log_base() : pool.updates;
  if (!pool.options.keep_updates_history) skip = std::max(skip, has.perhaps_forgotten);
  StartWorker start{slot.node->id, id, pool.id, slot.info.slot, skip, {}};
  for (const Slot* more : worker.more_slots) start.more_slots.push_back(more->info.slot);
  out.emplace_back(std::move(start));
  return worker;
}

/// Of a worker that was started in this turn, as if it never was.
void Scheduler::State::take_start_back(Worker& worker, Commands& out) {
  std::erase_if(out, [&](const Command& command) {
    const auto* start = std::get_if<StartWorker>(&command);
    return start && start->worker == worker.id;
  });
  const bool dirty = sharing_dirty;  // nothing has changed for the next round
  remove_worker(worker);
  sharing_dirty = dirty;
}

void Scheduler::State::stop_worker(Worker& worker, Commands& out) {
  if (worker.stopping) return;
  worker.stopping = true;
  out.emplace_back(StopWorker{worker.node->id, worker.id});
  if (worker.pool) note_change(*worker.pool);
}

/// The worker gives its slot up between two jobs or updates.
void Scheduler::State::make_leave(Worker& worker, Commands& out) {
  if (worker.leaving) return;
  worker.leaving = true;
  if (is_idle(worker)) return stop_worker(worker, out);
  if (worker.held.size() > 1 && !worker.recalling) {
    worker.recalling = true;
    out.emplace_back(Recall{worker.node->id, worker.id, static_cast<std::uint32_t>(worker.held.size() - 1)});
  }
}

void Scheduler::State::became_hungry(Worker& worker) {
  if (!worker.pool) return;
  touch(*worker.pool);
  if (worker.hungry) return;
  worker.hungry = true;
  worker.pool->hungry.push_back(&worker);
}

/// The attempt is no longer in the worker's hands.
void Scheduler::State::release(Worker& worker, const Attempt& attempt, TimePoint now, Commands& out) {
  const auto held =
      std::find_if(worker.held.begin(), worker.held.end(), [&](const Held& entry) { return entry.attempt == attempt; });
  if (held == worker.held.end()) return;
  if (worker.pool) forget_claim(*worker.pool, worker, attempt);
  worker.held_bytes -= held->bytes;
  worker.held.erase(held);
  worker.last_progress = now;
  if (!worker.held.empty()) {
    became_hungry(worker);
    return;
  }
  worker.idle_since = now;
  if (pools.size() > 1) wake_at(now + limits::lend_after);
  if (worker.leaving && is_idle(worker)) return stop_worker(worker, out);
  became_hungry(worker);
}

/// What the worker claimed of a job that is not resubmitted so far is void.
void Scheduler::State::forget_claim(Pool& pool, const Worker& worker, const Attempt& attempt) {
  const auto claim = pool.claims.find(attempt.sequence);
  if (claim != pool.claims.end() && claim->second.worker == worker.id) pool.claims.erase(claim);
}

void Scheduler::State::remove_worker(Worker& worker) {
  if (Pool* pool = worker.pool) {
    for (const Held& held : worker.held) forget_claim(*pool, worker, held.attempt);
    std::erase(pool->workers, &worker);
    std::erase(pool->hungry, &worker);
    pool->applied_dirty = true;
    touch(*pool);
    note_change(*pool);
  }
  workers.erase(worker.id);
  sharing_dirty = true;
  for (Slot* more : worker.more_slots) more->occupant = nullptr;
  worker.slot->occupant = nullptr;
  worker.slot->worker.reset();
}

void Scheduler::State::charge(Pool& pool, Job& job, const WorkerExited& event, std::vector<JobSequence>& again,
                              Commands& out) {
  // Memory that others used up is no fault of the job, and only a few attempts can tell whether it was its own.
  const bool out_of_memory = event.cause == ExitCause::out_of_memory;
  const std::uint32_t allowed =
      out_of_memory ? limits::out_of_memory_retries + 1 : std::max(1U, pool.options.max_retries);
  Progress& progress = *job.progress;
  const std::uint32_t deaths = out_of_memory ? ++progress.out_of_memory : ++progress.charges;
  if (deaths < allowed) {
    ++pool.rerun;
    ++progress.begun;
    again.push_back(progress.sequence);
    out.emplace_back(Notice{pool.id, fmt::format("{}; job {} runs again (death {} of {})", event.error.message,
                                                 progress.sequence, deaths, allowed)});
    return;
  }
  Outcome outcome;
  ErrorInfo error = event.error;
  error.kind = event.cause == ExitCause::job_timeout ? ErrorKind::job_timeout : ErrorKind::worker_died;
  error.message += fmt::format("; the job was tried {} time{}", deaths, deaths == 1 ? "" : "s");
  outcome.error = std::move(error);
  finish(pool, job, std::move(outcome), NodeId{}, out);
}

void Scheduler::State::construction_failed(Slot& slot, Pool& pool, const WorkerExited& event, TimePoint now,
                                           Commands& out) {
  pool.init_failed = true;
  pool.init_error = event.error;
  pool.init_error.kind = ErrorKind::worker_init_error;
  SlotFailure& failure = slot.failures[pool.id];
  ++failure.count;
  failure.retry_at = now + limits::init_backoff_first * (1U << std::min(failure.count - 1, 10U));
  failure.set_aside = failure.count >= limits::init_attempts_max;
  if (failure.set_aside) {
    out.emplace_back(Notice{pool.id, fmt::format("slot {} of {} is set aside after {} failed constructions: {}",
                                                 slot.info.slot, slot.node->host, failure.count, event.error.message)});
  } else {
    wake_at(failure.retry_at);
  }
  fail_if_hopeless(pool, out);
}

/// The last slot that might have done better went away.
void Scheduler::State::fail_hopeless_pools(Commands& out) {
  std::vector<Pool*> failed;
  for (auto& [id, pool] : pools) {
    if (pool->init_failed) failed.push_back(pool.get());
  }
  for (Pool* pool : failed) fail_if_hopeless(*pool, out);
}

void Scheduler::State::fail_if_hopeless(Pool& pool, Commands& out) {
  if (!pool.workers.empty()) return;
  bool tried = false;
  for (const auto& [node_id, node] : nodes) {
    for (const auto& slot : node->slots) {
      if (node->leaving || slot->occupant || !eligible(pool, *slot)) continue;
      const auto failure = slot->failures.find(pool.id);
      if (failure == slot->failures.end() || (pool.ever_ready && !failure->second.set_aside)) return;
      tried = true;
    }
  }
  if (!tried) return;
  const ErrorInfo error = pool.init_error;
  out.emplace_back(PoolFailed{pool.id, error});
  close_pool(pool, out);
}

void Scheduler::on(const WorkerReady& event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  Worker* worker = state.find_worker(event.worker);
  std::string wrong = state.foreign(event.worker, event.node);
  if (wrong.empty() && worker && worker->ready) wrong = "for the second time";
  if (!wrong.empty()) {
    out.emplace_back(Contradiction{"WorkerReady " + wrong});
    return;
  }
  if (!worker) return;
  worker->ready = true;
  worker->pid = event.pid;
  worker->idle_since = now;
  worker->last_progress = now;
  worker->slot->failures.erase(worker->pool_id);
  if (!worker->pool) return;
  worker->pool->ever_ready = true;
  worker->pool->had_worker = true;
  worker->pool->applied_dirty = true;
  if (state.pools.size() > 1) state.wake_at(now + limits::lend_after);
  state.became_hungry(*worker);
  state.note_change(*worker->pool);
}

void Scheduler::on(WorkerExited event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  if (std::string wrong = state.wrong_in(event); !wrong.empty()) {
    out.emplace_back(Contradiction{std::move(wrong)});
    return;
  }
  Worker* worker = state.find_worker(event.worker);
  if (!worker) return;
  Slot& slot = *worker->slot;
  Pool* pool = worker->pool;
  std::vector<JobSequence> again;
  const bool blamed = event.cause == ExitCause::died || event.cause == ExitCause::job_timeout ||
                      event.cause == ExitCause::out_of_memory;
  for (const Held& held : worker->held) {
    Job* job = pool ? State::current(*pool, held.attempt) : nullptr;
    if (!job) continue;
    const bool ran = std::find(event.running.begin(), event.running.end(), held.attempt) != event.running.end();
    if (ran && blamed) {
      state.charge(*pool, *job, event, again, out);
    } else {
      job->progress->begun += ran ? 1 : 0;
      again.push_back(held.attempt.sequence);
    }
  }
  const bool was_stopping = worker->stopping;
  state.remove_worker(*worker);
  if (!pool) return;
  // Whoever waits for the update shall not take it for applied because its worker is gone.
  if (event.updating != 0 && (blamed || event.cause == ExitCause::init_failed))
    out.emplace_back(UpdateFailed{pool->id, event.updating, {{}, event.error}});
  else if (blamed && !was_stopping && event.running.empty())
    out.emplace_back(Notice{pool->id, event.error.message});
  if (!mutation::keep_dead_workers_jobs) state.requeue(*pool, std::move(again));
  if (event.cause == ExitCause::init_failed && !was_stopping) state.construction_failed(slot, *pool, event, now, out);
}

}  // namespace dc::scheduler

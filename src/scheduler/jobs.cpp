// The life of a job: queued, assigned, done, forgotten; and which worker gets which job.
#include <fmt/format.h>

#include <algorithm>

#include "core/check.hpp"
#include "core/mutation.hpp"
#include "scheduler/state.hpp"

namespace dc::scheduler {
namespace {

/// How many jobs a worker may hold at once: one, unless jobs are short.
std::size_t prefetch_depth(const Pool& pool) {
  if (!pool.mean || *pool.mean >= limits::prefetch_mean_max) return 1;
  const auto nanoseconds = std::max<std::int64_t>(pool.mean->count(), 1);
  const auto ahead = static_cast<std::size_t>(Duration(limits::prefetch_work).count() / nanoseconds);
  return 1 + std::min(ahead, limits::prefetch_jobs_max - 1);
}

}  // namespace

void Scheduler::State::submit(Pool& pool, SubmittedJob&& submitted, TimePoint) {
  const JobSequence sequence = submitted.sequence;
  const auto [job, is_new] = pool.jobs.try_emplace(sequence);
  if (!is_new) return;
  job.after_update = submitted.after_update;
  job.arguments = std::move(submitted.arguments);
  pool.argument_bytes += job.arguments.size();
  if (const auto claim = pool.claims.find(sequence); claim != pool.claims.end()) {
    adopt(pool, job, claim->second);
    pool.claims.erase(claim);
    return;
  }
  pool.queue.push_back(sequence);
  ++pool.queued;
}

/// The job, which nobody has, runs at this node, or its result is on the way from there.
void Scheduler::State::adopt(Pool& pool, Job& job, const Claimed& claimed) {
  job.state = JobState::assigned;
  Progress& progress = progress_of(pool, claimed.attempt.sequence, job);
  progress.token = claimed.attempt.token;
  if (progress.token.epoch == epoch) progress.attempts = std::max(progress.attempts, progress.token.attempt);
  progress.worker = claimed.worker;
  progress.node = claimed.node;
  ++pool.assigned;
}

/// There is some from now on.
Progress& Scheduler::State::progress_of(const Pool& pool, JobSequence sequence, Job& job) {
  if (!job.progress) {
    job.progress = std::make_unique<Progress>();
    job.progress->sequence = sequence;
    job.progress->attempts = pool.attempts_before;
  }
  return *job.progress;
}

/// These attempts had begun, or may have: the next ones are not the first that the user's code sees.
void Scheduler::State::count_begun(Pool& pool, const std::vector<JobSequence>& sequences) {
  for (const JobSequence sequence : sequences) ++find_job(pool, sequence)->progress->begun;
}

void Scheduler::State::requeue(Pool& pool, std::vector<JobSequence> sequences) {
  std::sort(sequences.rbegin(), sequences.rend());
  for (const JobSequence sequence : sequences) {
    Job* job = find_job(pool, sequence);
    DC_CHECK(job && job->state == JobState::assigned);
    job->state = JobState::queued;
    job->progress->worker = {};
    job->progress->node = {};
    --pool.assigned;
    ++pool.queued;
    pool.queue.push_front(sequence);
  }
  if (sequences.empty()) return;
  touch(pool);
  sharing_dirty = true;
}

Job* Scheduler::State::current(Pool& pool, const Attempt& attempt) {
  Job* job = find_job(pool, attempt.sequence);
  if (!job || (job->state != JobState::assigned && !mutation::accept_duplicates)) return nullptr;
  return job->token() == attempt.token || mutation::ignore_tokens ? job : nullptr;
}

void Scheduler::State::finish(Pool& pool, Job& job, Outcome&& outcome, NodeId node, Commands& out) {
  DC_CHECK(job.state == JobState::assigned);
  job.state = JobState::done;
  Progress& progress = *job.progress;
  progress.outcome = std::move(outcome);
  pool.argument_bytes -= job.arguments.size();
  job.arguments = {};
  progress.worker = {};
  progress.node = node;
  --pool.assigned;
  ++pool.done;
  count_landed(pool, progress);
  out.emplace_back(DeliverOutcome{pool.id, progress.sequence, progress.outcome});
}

/// The job is there.
void Scheduler::State::forget(Pool& pool, JobSequence sequence, Commands& out) {
  const auto found = pool.jobs.find(sequence);
  const Job& job = found->second;
  switch (job.state) {
    case JobState::queued:
      --pool.queued;  // its entry in the queue is skipped later
      break;
    case JobState::assigned:
      --pool.assigned;
      break;
    case JobState::done:
      if (const NodeId node = job.progress->node; node.value != 0 && find_node(node)) {
        out.emplace_back(AckResult{node, pool.id, {sequence, job.token()}});
      }
      take_landed(pool, *job.progress, out);
      break;
  }
  pool.argument_bytes -= job.arguments.size();
  pool.jobs.erase(found);
}

void Scheduler::State::count_landed(const Pool& pool, const Progress& done) {
  Node* node = find_node(done.node);
  const auto has = node ? node->pools.find(pool.id) : decltype(node->pools.end()){};
  if (node && has != node->pools.end()) has->second.landed += done.outcome.payload.size();
}

/// The client has it. A node that was given up and is back has new results and old ones: which of them went does not
/// matter, as long as no byte is counted for ever.
void Scheduler::State::take_landed(Pool& pool, const Progress& done, Commands& out) {
  if (done.node.value == 0) return;
  std::uint64_t bytes = done.outcome.payload.size();
  Node* node = find_node(done.node);
  const auto has = node ? node->pools.find(pool.id) : decltype(node->pools.end()){};
  if (node && has != node->pools.end()) {
    const std::uint64_t taken = std::min(has->second.landed, bytes);
    has->second.landed -= taken;
    bytes -= taken;
  }
  if (bytes == 0 || pool.stranded == 0) return;
  pool.stranded -= std::min(pool.stranded, bytes);
  out.emplace_back(ResultsStranded{pool.id, pool.stranded});
}

Job* Scheduler::State::next_queued(Pool& pool) {
  while (!pool.queue.empty()) {
    Job* job = find_job(pool, pool.queue.front());
    if (job && job->state == JobState::queued) {
      return job->after_update <= pool.updates || mutation::no_update_barrier ? job : nullptr;
    }
    pool.queue.pop_front();
  }
  return nullptr;
}

void Scheduler::State::hand_over(Pool& pool, Worker& worker, std::size_t depth, TimePoint now, Commands& out) {
  while (worker.held.size() < depth && (worker.held.empty() || worker.held_bytes < limits::prefetch_bytes_max)) {
    Job* job = next_queued(pool);
    if (!job) return;
    const JobSequence sequence = pool.queue.front();
    pool.queue.pop_front();
    job->state = JobState::assigned;
    Progress& progress = progress_of(pool, sequence, *job);
    progress.token = {epoch, ++progress.attempts};
    progress.worker = worker.id;
    progress.node = worker.node->id;
    --pool.queued;
    ++pool.assigned;
    if (worker.held.empty()) worker.last_progress = now;
    worker.held.push_back({{sequence, progress.token}, job->arguments.size()});
    worker.held_bytes += job->arguments.size();
    out.emplace_back(RunJob{worker.node->id, worker.id, pool.id, sequence, progress.token, job->after_update,
                            job->arguments, progress.begun + 1});
  }
}

void Scheduler::State::dispatch(Pool& pool, TimePoint now, Commands& out) {
  if (held_back(pool, now)) {
    if (!pool.resuming) wake_at(hold_until());
    return;
  }
  auto& hungry = pool.hungry;
  std::erase_if(hungry, [](Worker* worker) {
    worker->hungry = usable(*worker);
    return !worker->hungry;
  });
  // One job for everybody who has none, and only then a reserve for each, evenly, so that the end of a map is shared.
  for (Worker* worker : hungry) {
    if (worker->held.empty()) hand_over(pool, *worker, 1, now, out);
  }
  const std::size_t depth = prefetch_depth(pool);
  if (depth > 1 && !hungry.empty() && pool.queued > 0) {
    const std::size_t even = 1 + pool.queued / pool.workers.size();
    for (Worker* worker : hungry) hand_over(pool, *worker, std::min(depth, even), now, out);
  }
  std::erase_if(hungry, [&](Worker* worker) {
    worker->hungry = worker->held.size() < depth;
    return !worker->hungry;
  });
  recall_unfair(pool, now, out);
}

/// Jobs that wait behind another while a worker of the pool is idle are taken back.
void Scheduler::State::recall_unfair(Pool& pool, TimePoint now, Commands& out) {
  if (pool.queued > 0 || pool.assigned == 0) return;
  const auto idle = std::count_if(pool.hungry.begin(), pool.hungry.end(), [](Worker* w) { return w->held.empty(); });
  if (idle == 0 || pool.assigned + static_cast<std::size_t>(idle) <= pool.workers.size()) return;
  if (now < pool.recall_at) return wake_at(pool.recall_at);
  const Duration patience = std::max<Duration>(5ms, 2 * pool.mean.value_or(Duration{}));
  pool.recall_at = now + patience;
  wake_at(pool.recall_at);
  for (Worker* worker : pool.workers) {
    if (worker->held.size() < 2 || worker->recalling || worker->stopping || !worker->node->connected) continue;
    if (now - worker->last_progress < patience) continue;
    worker->recalling = true;
    out.emplace_back(Recall{worker->node->id, worker->id, static_cast<std::uint32_t>((worker->held.size()) / 2)});
  }
}

void Scheduler::on(JobsSubmitted event, TimePoint now, Commands&) {
  state_->thaw(now);
  Pool* pool = state_->find_pool(event.pool);
  if (!pool) return;
  // Who could use every slot before wants no more now.
  const bool wanted_all = pool->queued >= state_->slots_total;
  for (SubmittedJob& job : event.jobs) state_->submit(*pool, std::move(job), now);
  state_->touch(*pool);
  if (pool->workers.empty() || (state_->pools.size() > 1 && !wanted_all)) state_->sharing_dirty = true;
}

/// A result of an attempt that is not current.
void Scheduler::State::not_awaited(Pool& pool, NodeId node, const Attempt& attempt, Commands& out) {
  // Sent again after a reconnection, and on its way to the client: the node keeps it until the client has it.
  const Job* done = find_job(pool, attempt.sequence);
  if (done && done->state == JobState::done && done->token() == attempt.token && done->progress->node == node) return;
  // The attempt was given up (its node was lost for a while) or the job is done: first outcome wins.
  out.emplace_back(AckResult{node, pool.id, attempt});
}

void Scheduler::on(JobFinished event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  Pool* pool = state.find_pool(event.pool);
  Job* job = pool ? State::current(*pool, event.attempt) : nullptr;
  Worker* worker = state.find_worker(event.worker);
  if (std::string wrong = state.wrong_in(event, worker, job); !wrong.empty()) {
    out.emplace_back(Contradiction{std::move(wrong)});
    return;
  }
  if (worker) {
    ++worker->slot->jobs_done;
    state.release(*worker, event.attempt, now, out);
  }
  if (!pool) return;
  if (!job) return State::not_awaited(*pool, event.node, event.attempt, out);
  Progress& progress = State::progress_of(*pool, event.attempt.sequence, *job);
  state.forget_on_way(progress, event.pool);
  const Duration sample = std::max(event.run_time, Duration{1});
  pool->mean = pool->mean ? *pool->mean + (sample - *pool->mean) / 16 : sample;
  const bool raised = event.outcome.error && event.outcome.error->kind == ErrorKind::job_error;
  if (raised && pool->options.retry_exceptions && ++progress.charges < std::max(1U, pool->options.max_retries)) {
    out.emplace_back(AckResult{event.node, event.pool, event.attempt});
    ++pool->rerun;
    ++progress.begun;
    progress.raised = event.attempt.token;
    state.requeue(*pool, {progress.sequence});
    return;
  }
  if (mutation::acknowledge_early) out.emplace_back(AckResult{event.node, event.pool, event.attempt});
  state.finish(*pool, *job, std::move(event.outcome), event.node, out);
}

void Scheduler::on(const ResultsParked& event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  Pool* pool = state.find_pool(event.pool);
  Worker* worker = state.find_worker(event.worker);
  if (const std::string wrong = state.foreign(event.worker, event.node); !wrong.empty()) {
    out.emplace_back(Contradiction{"JobsParked " + wrong});
    return;
  }
  Node* node = state.find_node(event.node);
  if (!pool || !node || !node->pools.contains(event.pool)) return;
  for (const Attempt& attempt : event.attempts) {
    Job* job = State::current(*pool, attempt);
    if (job && job->progress->node == event.node) {  // as one whose result is on its way
      job->progress->worker = {};
      node->pools.at(event.pool).on_way.insert(attempt.sequence);
    } else if (!job && !pool->resuming) {
      State::not_awaited(*pool, event.node, attempt, out);
    }
    if (worker) state.release(*worker, attempt, now, out);
  }
}

void Scheduler::on(const ResultsFull& event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  Node* node = state.find_node(event.node);
  Pool* pool = state.find_pool(event.pool);
  if (!node || !pool || !node->pools.contains(event.pool)) return;
  node->pools.at(event.pool).full = event.full;
  for (auto& slot : node->slots) {
    Worker* worker = slot->worker.get();
    if (!worker || worker->pool != pool) continue;
    worker->full = event.full;
    if (!event.full && worker->ready) state.became_hungry(*worker);
    if (!event.full || worker->held.empty() || worker->recalling || worker->stopping) continue;
    worker->recalling = true;  // what is not started may run elsewhere, and the slot may serve another pool
    out.emplace_back(Recall{node->id, worker->id, static_cast<std::uint32_t>(worker->held.size())});
  }
}

void Scheduler::on(const OutcomesAcknowledged& event, TimePoint now, Commands& out) {
  state_->thaw(now);
  Pool* pool = state_->find_pool(event.pool);
  if (!pool) return;
  for (const JobSequence sequence : event.sequences) {
    const Job* job = State::find_job(*pool, sequence);
    if (!job) continue;  // acknowledged before
    if (job->state != JobState::done) {
      out.emplace_back(Contradiction{fmt::format("AckOutcomes of job {}, which has not ended", sequence)});
      return;
    }
    state_->forget(*pool, sequence, out);
  }
}

void Scheduler::on(const JobsRecalled& event, TimePoint now, Commands& out) {
  State& state = *state_;
  state.thaw(now);
  if (std::string wrong = state.wrong_in(event); !wrong.empty()) {
    out.emplace_back(Contradiction{std::move(wrong)});
    return;
  }
  Worker* worker = state.find_worker(event.worker);
  if (!worker) return;
  worker->recalling = false;
  std::vector<JobSequence> again;
  for (const Attempt& attempt : event.attempts) {
    if (worker->pool && State::current(*worker->pool, attempt)) again.push_back(attempt.sequence);
  }
  for (const Attempt& attempt : event.attempts) state.release(*worker, attempt, now, out);
  if (worker->pool) state.requeue(*worker->pool, std::move(again));
}

}  // namespace dc::scheduler

// What a node cannot say: it would contradict what this head knows. A head must not stop for it, nor take it for true.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "scheduler/state.hpp"

namespace dc::scheduler {
namespace {

bool holds(const Worker& worker, const Attempt& attempt) {
  return std::any_of(worker.held.begin(), worker.held.end(), [&](const Held& held) { return held.attempt == attempt; });
}

/// Of attempts that a worker gives back: each once, and only what it has. (A worker of a closed pool has nothing.)
std::string wrong_in(const Worker* worker, std::vector<Attempt> attempts) {
  for (const Attempt& attempt : attempts) {
    if (worker && worker->pool && !holds(*worker, attempt))
      return fmt::format("with job {}, which the worker does not have", attempt.sequence);
  }
  std::sort(attempts.begin(), attempts.end());
  const auto twice = std::adjacent_find(attempts.begin(), attempts.end());
  return twice == attempts.end() ? "" : fmt::format("with job {} twice", twice->sequence);
}

std::string sentence(const char* message, const std::string& wrong) {
  return wrong.empty() ? wrong : fmt::format("{} {}", message, wrong);
}

}  // namespace

bool Scheduler::State::may_exist(WorkerId worker) const {
  const bool is_ours = worker.value >> 32 == epoch;
  return worker.value != 0 && (!is_ours || (worker.value & 0xffffffff) < next_worker);
}

/// A worker that is gone may still be spoken of.
std::string Scheduler::State::foreign(WorkerId id, NodeId node) const {
  const auto found = workers.find(id);
  if (found != workers.end()) return found->second->node->id == node ? "" : "of another node's worker";
  return may_exist(id) ? "" : "of a worker that never was";
}

/// `job`: the job, if this is its current attempt. Who had a result before it knew of a new head may send it for a
/// worker that is gone.
std::string Scheduler::State::wrong_in(const JobFinished& event, const Worker* worker, const Job* job) const {
  if (worker && worker->node->id != event.node) return "a result of another node's worker";
  if (worker && worker->pool && worker->pool_id != event.pool) return "a result of another pool than its worker's";
  if (!job || job->token() != event.attempt.token) return {};
  const Progress& progress = *job->progress;
  if (progress.node == event.node && (progress.worker.value == 0 || progress.worker == event.worker)) return {};
  return fmt::format("a result of job {}, which it was not given", event.attempt.sequence);
}

std::string Scheduler::State::wrong_in(const WorkerExited& event) const {
  if (const std::string wrong = foreign(event.worker, event.node); !wrong.empty())
    return sentence("WorkerExited", wrong);
  if (event.running.size() > 1) return "WorkerExited with more than one job that ran";
  const auto worker = workers.find(event.worker);
  std::vector<Attempt> all = event.unstarted;
  all.insert(all.end(), event.running.begin(), event.running.end());
  return sentence("WorkerExited",
                  scheduler::wrong_in(worker == workers.end() ? nullptr : worker->second, std::move(all)));
}

std::string Scheduler::State::wrong_in(const JobsRecalled& event) const {
  if (const std::string wrong = foreign(event.worker, event.node); !wrong.empty())
    return sentence("JobsRecalled", wrong);
  const auto worker = workers.find(event.worker);
  if (worker != workers.end() && !worker->second->recalling) return "JobsRecalled, which nobody asked for";
  return sentence("JobsRecalled",
                  scheduler::wrong_in(worker == workers.end() ? nullptr : worker->second, event.attempts));
}

/// A journal may have lost updates that workers have.
std::string Scheduler::State::wrong_in(const UpdatesApplied& event) const {
  if (const std::string wrong = foreign(event.worker, event.node); !wrong.empty())
    return sentence("UpdatesApplied", wrong);
  const auto worker = workers.find(event.worker);
  const Pool* pool = worker == workers.end() ? nullptr : worker->second->pool;
  if (event.number > limits::number_max || (pool && !pool->earlier && event.number > pool->updates))
    return fmt::format("UpdatesApplied of update {}, which is not there", event.number);
  return {};
}

/// The node says that it runs this attempt, or has its result.
std::string Scheduler::State::wrong_claim(PoolId id, const Attempt& attempt, NodeId node) const {
  if (attempt.sequence > limits::number_max) return fmt::format("with the number {} of a job", attempt.sequence);
  const auto pool = pools.find(id);
  if (pool == pools.end()) return {};
  const auto found = pool->second->jobs.find(attempt.sequence);
  if (found == pool->second->jobs.end()) return {};
  const Job& job = found->second;
  const std::uint32_t attempts = job.progress ? job.progress->attempts : pool->second->attempts_before;
  if (attempt.token.epoch == epoch && attempt.token.attempt > attempts)
    return fmt::format("with job {}, which was never given to it", attempt.sequence);
  if (job.state == JobState::assigned && job.token() == attempt.token && job.progress->node != node)
    return fmt::format("with job {} of another node", attempt.sequence);
  return {};
}

std::string Scheduler::contradiction(const NodeJoined& event) const {
  const State& state = *state_;
  using Claim = std::pair<PoolId, Attempt>;
  std::vector<Claim> claims;
  std::set<PoolId> pools;
  for (const NodeJoined::HeldPool& held : event.pools) {
    if (!pools.insert(held.pool).second) return "with one pool twice";
    if (held.updates > limits::number_max) return fmt::format("with {} updates", held.updates);
    for (const Attempt& attempt : held.finished) claims.emplace_back(held.pool, attempt);
  }
  for (const WorkerReport& report : event.workers) {
    const auto worker = state.workers.find(report.worker);
    if (worker != state.workers.end() && worker->second->pool && worker->second->pool_id != report.pool)
      return "with a worker of another pool than it was started for";
    if (report.updates_applied > limits::number_max) return fmt::format("with {} updates", report.updates_applied);
    for (const Attempt& attempt : report.held) claims.emplace_back(report.pool, attempt);
  }
  for (const auto& [pool, attempt] : claims) {
    if (std::string wrong = state.wrong_claim(pool, attempt, event.node); !wrong.empty()) return wrong;
  }
  std::sort(claims.begin(), claims.end());
  const auto twice = std::adjacent_find(claims.begin(), claims.end());
  return twice == claims.end() ? "" : fmt::format("with job {} twice", twice->second.sequence);
}

}  // namespace dc::scheduler

// The node and its workers: starting, feeding, limiting, and judging how each one ended.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "node/node_machine.hpp"

namespace dc::node {

void NodeMachine::on(wire::StartWorker&& message, TimePoint now, Effects& out) {
  const auto [entry, is_new] = workers_.try_emplace(message.worker);
  if (!is_new) return;
  Worker& worker = entry->second;
  worker.id = message.worker;
  worker.pool = message.pool;
  worker.slot = message.slot;
  worker.skip_updates = message.skip_updates;
  if (!pools_.contains(message.pool)) {
    worker_exited(worker.id, {{}, {}, {}, "the pool is not known to this node"}, out);
    return;
  }
  spawn_if_possible(worker, now, out);
}

void NodeMachine::spawn_if_possible(Worker& worker, TimePoint, Effects& out) {
  const PoolOptions& options = pools_[worker.pool].options;
  const std::string& hash = options.program_hash;
  if (!hash.empty() && !facts_.programs.contains(hash)) {
    worker.phase = Phase::waits_for_program;
    if (programs_asked_.insert(hash).second) to_head(wire::NeedProgram{hash}, wire::control_lane, out);
    return;
  }
  worker.phase = Phase::spawning;
  out.emplace_back(SpawnWorker{worker.id, worker.slot, options});
}

void NodeMachine::worker_spawned(WorkerId id, pid_t pid, wire::Claims* claims, TimePoint now, Effects& out) {
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  worker.pid = pid;
  worker.claims = claims;
  worker.phase = Phase::constructing;
  const auto known = pools_.find(worker.pool);
  if (known == pools_.end()) return end_worker(worker, ExitCause::requested, "its pool was closed", 0s, out, now);
  Pool& pool = known->second;
  if (pool.options.init_timeout.count() > 0) worker.init_deadline = now + pool.options.init_timeout;
  out.emplace_back(ToWorker{id, wire::Begin{pool.options, facts_.host, worker.slot, pool.spec}});
  worker.updates_sent = std::max(pool.first_update, worker.skip_updates);
  while (worker.updates_sent < pool.first_update + pool.updates.size()) send_update(worker, pool, out);
  worker.updates_applied = worker.updates_sent;
  out.emplace_back(ToWorker{id, wire::HistoryEnd{}});
}

/// The next update that the worker has not been sent.
void NodeMachine::send_update(Worker& worker, const Pool& pool, Effects& out) {
  if (worker.updates_sent < worker.skip_updates) {
    worker.updates_sent = worker.skip_updates;
    return;
  }
  ++worker.updates_sent;
  const Payload& payload = pool.updates[worker.updates_sent - pool.first_update - 1];
  out.emplace_back(ToWorker{worker.id, wire::WorkerUpdate{worker.updates_sent, payload}});
}

void NodeMachine::on(wire::StopWorker&& message, TimePoint now, Effects& out) {
  const auto found = workers_.find(message.worker);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  if (worker.phase == Phase::ready && worker.given.empty()) {
    out.emplace_back(ToWorker{worker.id, wire::Stop{}});
    return end_worker(worker, ExitCause::requested, "the head took its slot back", 2s, out, now);
  }
  end_worker(worker, ExitCause::requested, "the head took its slot back", 0s, out, now);
}

/// The worker shall end: SIGTERM after `patience`, SIGKILL some time later.
void NodeMachine::end_worker(Worker& worker, ExitCause cause, std::string text, Duration patience, Effects& out,
                             TimePoint now) {
  if (!worker.cause) {
    worker.cause = cause;
    worker.cause_text = std::move(text);
  }
  if (worker.pid == 0) return;  // worker_spawned or worker_exited comes
  if (patience == 0s) {
    if (worker.kill_at == never) out.emplace_back(SignalWorker{worker.id, SIGTERM});
    worker.terminate_at = never;
    worker.kill_at = std::min(worker.kill_at, now + limits::terminate_grace);
  } else {
    worker.terminate_at = std::min(worker.terminate_at, now + patience);
  }
}

void NodeMachine::watch_limits(Worker& worker, TimePoint now, Effects& out) {
  const auto pool = pools_.find(worker.pool);
  if (worker.kill_at <= now) {
    out.emplace_back(SignalWorker{worker.id, SIGKILL});
    worker.kill_at = now + 1s;
  } else if (worker.terminate_at <= now) {
    end_worker(worker, ExitCause::requested, "", 0s, out, now);
  } else if (worker.phase == Phase::constructing && worker.init_deadline <= now) {
    worker.init_deadline = never;
    end_worker(
        worker, ExitCause::init_failed,
        fmt::format("its constructor took longer than init_timeout ({} ms)", pool->second.options.init_timeout.count()),
        0s, out, now);
  }
  if (pool != pools_.end() && pool->second.options.job_timeout.count() > 0 && !worker.given.empty() && !worker.cause) {
    const Duration limit = pool->second.options.job_timeout;
    if (worker.claims->started(worker.given.front().index)) {
      const TimePoint since{Duration(worker.claims->started_at_ns.load())};
      if (now - since > limit) {
        end_worker(worker, ExitCause::job_timeout,
                   fmt::format("the job ran longer than job_timeout ({} ms)", pool->second.options.job_timeout.count()),
                   0s, out, now);
      }
    }
    next_deadline_ = std::min<TimePoint>(next_deadline_, now + std::clamp<Duration>(limit / 10, 10ms, 500ms));
  }
  next_deadline_ = std::min({next_deadline_, worker.kill_at, worker.terminate_at});
  if (worker.phase == Phase::constructing) next_deadline_ = std::min(next_deadline_, worker.init_deadline);
}

// --- What workers say -------------------------------------------------------------------------------------------

void NodeMachine::on_worker_messages(WorkerId id, std::vector<wire::FromWorker>&& messages, TimePoint, Effects& out) {
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  for (wire::FromWorker& message : messages) {
    std::visit([&](auto&& body) { on_worker(found->second, std::move(body), out); }, std::move(message));
  }
}

void NodeMachine::on_worker(Worker& worker, wire::WorkerConstructed&&, Effects& out) {
  worker.phase = Phase::ready;
  to_head(wire::WorkerReady{worker.id, static_cast<std::uint32_t>(worker.pid)}, worker.id.value, out);
  pump(worker, out);
}

void NodeMachine::on_worker(Worker& worker, wire::ConstructionFailed&& message, Effects&) {
  worker.init_error = std::move(message.error);
}

/// The job with this index leaves the worker's hands; those before it that were taken back were skipped.
std::optional<Attempt> NodeMachine::take_given(Worker& worker, std::uint64_t index) {
  worker.passed_index = std::max(worker.passed_index, index + 1);
  const auto given =
      std::find_if(worker.given.begin(), worker.given.end(), [&](const Given& entry) { return entry.index == index; });
  if (given == worker.given.end()) return std::nullopt;
  const Attempt attempt = given->attempt;
  worker.given.erase(given);
  return attempt;
}

void NodeMachine::on_worker(Worker& worker, wire::WorkerValue&& message, Effects& out) {
  const auto attempt = take_given(worker, message.index);
  if (attempt) keep(worker, *attempt, message.run_time_us, {std::move(message.value), {}}, out);
  if (!worker.waiting.empty()) pump(worker, out);
}

void NodeMachine::on_worker(Worker& worker, wire::WorkerError&& message, Effects& out) {
  const auto attempt = take_given(worker, message.index);
  if (attempt)
    keep(worker, *attempt, message.run_time_us, {std::move(message.exception), std::move(message.error)}, out);
  if (!worker.waiting.empty()) pump(worker, out);
}

void NodeMachine::on_worker(Worker& worker, wire::UpdateDone&& message, Effects& out) {
  worker.updates_applied = std::max(worker.updates_applied, message.number);
  worker.update_report = true;
  if (!message.error.empty()) {
    to_head(wire::UpdatesApplied{worker.id, message.number, std::move(message.error)}, worker.id.value, out);
  }
}

void NodeMachine::keep(Worker& worker, const Attempt& attempt, std::uint32_t run_time_us, Outcome outcome,
                       Effects& out) {
  const auto pool = pools_.find(worker.pool);
  if (pool == pools_.end()) return;
  Kept& kept = pool->second.kept[attempt.sequence];
  kept = {attempt.token, worker.id, run_time_us, std::move(outcome)};
  if (connected_ && pool->second.active) report_result(&worker, worker.pool, attempt.sequence, kept, out);
}

void NodeMachine::report_result(Worker* worker, PoolId pool_id, JobSequence sequence, const Kept& kept, Effects& out) {
  const Attempt attempt{sequence, kept.token};
  if (kept.outcome.error) {
    to_head(wire::JobFailed{kept.worker, pool_id, attempt, kept.run_time_us, *kept.outcome.error, kept.outcome.payload},
            kept.worker.value, out);
    return;
  }
  wire::FinishedItem item{attempt, kept.run_time_us, kept.outcome.payload};
  if (worker && kept.outcome.payload.size() <= limits::inline_payload_max) {
    worker->done.items.push_back(std::move(item));
    return;
  }
  wire::JobsDone done{kept.worker, pool_id, {}};
  done.items.push_back(std::move(item));
  to_head(std::move(done), kept.worker.value, out);
}

void NodeMachine::worker_printed(WorkerId id, std::vector<std::string> lines, Effects& out) {
  const auto worker = workers_.find(id);
  if (worker == workers_.end()) return;
  const auto pool = pools_.find(worker->second.pool);
  if (pool == pools_.end() || !pool->second.options.forward_output) return;
  to_head(wire::OutputLines{worker->second.pool, facts_.host, worker->second.slot, std::move(lines)},
          wire::control_lane, out);
}

// --- The end of a worker ----------------------------------------------------------------------------------------

ErrorInfo NodeMachine::end_error(const Worker& worker, const ProcessEnd& end, bool ran) const {
  ErrorInfo error;
  error.host = facts_.host;
  error.slot = worker.slot;
  error.traceback = end.last_output;
  error.exit_status = end.exit_status.value_or(-1);
  error.signal = end.signal.value_or(0);
  if (!end.spawn_error.empty()) {
    error.message =
        fmt::format("the worker on {} slot {} cannot be started: {}", facts_.host, worker.slot, end.spawn_error);
    return error;
  }
  const char* doing = worker.phase == Phase::constructing ? "while it constructed the class"
                      : ran                               ? "while it ran the job"
                                                          : "between jobs";
  const std::string how = end.signal ? fmt::format("was killed by signal {} (SIG{})", *end.signal,
                                                   ::sigabbrev_np(*end.signal) ? ::sigabbrev_np(*end.signal) : "?")
                                     : fmt::format("ended with exit status {}", error.exit_status);
  error.message =
      fmt::format("the worker on {} slot {} (pid {}) {} {}", facts_.host, worker.slot, worker.pid, how, doing);
  if (!worker.cause_text.empty()) error.message += ": " + worker.cause_text;
  return error;
}

void NodeMachine::worker_exited(WorkerId id, const ProcessEnd& end, Effects& out) {
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  if (!worker.done.items.empty()) {
    worker.done.worker = id;
    worker.done.pool = worker.pool;
    to_head(std::exchange(worker.done, {}), id.value, out);
  }
  wire::WorkerExited message;
  message.worker = id;
  for (const Given& given : worker.given) {
    const bool started = message.running.empty() && message.unstarted.empty() && worker.claims->started(given.index);
    (started ? message.running : message.unstarted).push_back(given.attempt);
  }
  for (const wire::RunItem& item : worker.waiting) message.unstarted.push_back(item.attempt);
  const bool constructed = worker.phase == Phase::ready;
  message.cause = worker.cause.value_or(constructed ? ExitCause::died : ExitCause::init_failed);
  message.error = end_error(worker, end, !message.running.empty());
  if (!constructed && worker.init_error && message.cause == ExitCause::init_failed) message.error = *worker.init_error;
  to_head(std::move(message), id.value, out);
  workers_.erase(found);
}

}  // namespace dc::node

// The life of a worker as the node sees it: started, fed with updates, limited in time, ended, and what is said of its
// end.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "node/node_machine.hpp"

namespace dc::node {
namespace {

constexpr auto hang_up_grace = 1s;  ///< a worker that closed its channel is gone by then, or is ended
constexpr auto kill_again = 1s;

/// How soon to look again whether something takes longer than `limit`.
Duration look_again(Duration limit) { return std::clamp<Duration>(limit / 10, 10ms, 500ms); }

double seconds(std::chrono::milliseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

// --- Birth ------------------------------------------------------------------------------------------------------

void NodeMachine::on(wire::StartWorker&& message, TimePoint now, Effects& out) {
  const auto [entry, is_new] = workers_.try_emplace(message.worker);
  if (!is_new) return;
  forget_ended_worker(message);
  Worker& worker = entry->second;
  worker.id = message.worker;
  worker.pool = message.pool;
  worker.slot = message.slot;
  worker.more_slots = std::move(message.more_slots);
  worker.devices = devices_of(worker);
  worker.skip_updates = worker.updates_applied = message.skip_updates;
  worker.phase = Phase::waits_for_program;
  const Pool* pool = find_pool(message.pool);
  if (stopped_early_.erase(worker.id) > 0) {
    worker.cause = ExitCause::requested;
  } else if (leaving_) {
    worker.cause = ExitCause::drained;
    worker.cause_text = "its node is leaving";
  } else if (!pool) {
    worker_exited(worker.id, {{}, {}, {}, "its pool is not known to this node"}, out);
  } else {
    spawn_if_possible(worker, *pool, now, out);
  }
}

void NodeMachine::spawn_if_possible(Worker& worker, const Pool& pool, TimePoint now, Effects& out) {
  const std::string& hash = pool.options.program_hash;
  if (!hash.empty() && !programs_sound_.contains(hash)) {
    worker.phase = Phase::waits_for_program;
    return get_program(hash, out);
  }
  if (devices_.blocked(worker.devices, now)) {
    worker.phase = Phase::waits_for_device;
  } else if (!hash.empty()) {
    worker.phase = Phase::waits_for_disk;
    out.emplace_back(UseProgram{worker.id, hash});
  } else {
    spawn(worker, pool, out);
  }
}

void NodeMachine::spawn(Worker& worker, const Pool& pool, Effects& out) {
  worker.phase = Phase::spawning;
  std::string shown = pool.name.empty() ? fmt::format("{:016x}", worker.pool.value) : pool.name;
  out.emplace_back(SpawnWorker{worker.id, worker.slot, worker.more_slots, pool.options, worker.pool, std::move(shown)});
}

void NodeMachine::worker_spawned(WorkerId id, pid_t pid, wire::Claims* claims, TimePoint now, Effects& out) {
  Worker* worker = find_worker(id);
  if (!worker) return;
  worker->pid = pid;
  worker->claims = claims;
  worker->phase = Phase::constructing;
  devices_.worker_started(worker->devices, pid);
  const Pool* pool = find_pool(worker->pool);
  if (worker->cause || !pool) return end_worker(*worker, ExitCause::requested, "its pool was closed", now, out);
  if (pool->options.init_timeout.count() > 0) worker->init_deadline = now + pool->options.init_timeout;
  PoolOptions options = pool->options;
  options.environment.clear();  // the process was born with it, and a packet has little room
  out.emplace_back(ToWorker{id, wire::Begin{std::move(options), facts_.host, worker->slot, pool->spec}});
  worker->updates_applied = worker->updates_sent = std::max(pool->first_update, worker->skip_updates);
  send_updates(*worker, *pool, out);
  out.emplace_back(ToWorker{id, wire::HistoryEnd{}});
  forget_updates(worker->pool, pools_.at(worker->pool));
}

/// Every update that the worker has not been sent.
void NodeMachine::send_updates(Worker& worker, const Pool& pool, Effects& out) {
  worker.updates_sent = std::max(worker.updates_sent, pool.first_update);
  while (worker.updates_sent < pool.last_update()) {
    ++worker.updates_sent;
    const Payload& payload = pool.updates[worker.updates_sent - pool.first_update - 1];
    out.emplace_back(ToWorker{worker.id, wire::WorkerUpdate{worker.updates_sent, payload}});
  }
}

// --- Limits -----------------------------------------------------------------------------------------------------

void NodeMachine::on(wire::StopWorker&& message, TimePoint now, Effects& out) {
  Worker* worker = find_worker(message.worker);
  if (!worker) {
    stopped_early_.insert(message.worker);
    return;
  }
  if (worker->cause) return;
  if (worker->phase == Phase::ready) return stop_politely(*worker, now, out);
  end_worker(*worker, ExitCause::requested, "the head took its slot back", now, out);
}

void NodeMachine::take_back_unstarted(Worker& worker) {
  for (auto given = worker.given.rbegin(); given != worker.given.rend(); ++given) {
    if (!worker.claims->take_back(given->index)) break;
  }
}

/// Nothing of the user's runs there, nor will: for one from which all was taken back that could be.
bool NodeMachine::is_idle(const Worker& worker) {
  return worker.phase == Phase::ready && worker.updates_sent == worker.updates_applied &&
         std::none_of(worker.given.begin(), worker.given.end(),
                      [&](const Given& given) { return worker.claims->started(given.index); });
}

void NodeMachine::send_stop(Worker& worker, bool terminated, Effects& out) {
  if (!std::exchange(worker.stop_sent, true)) out.emplace_back(ToWorker{worker.id, wire::Stop{terminated ? 1U : 0U}});
}

/// An idle worker ends by itself: what its class does at its end is not cut short. False: it is busy, or had its time.
bool NodeMachine::lets_it_close(Worker& worker, Duration grace, TimePoint now, Effects& out) {
  if (worker.kill_at != never || !is_idle(worker)) return false;
  if (std::exchange(worker.closing, true)) return true;
  send_stop(worker, false, out);
  worker.terminate_at = now + grace;
  return true;
}

/// The worker ends after its current job. Those behind it are not started.
void NodeMachine::stop_politely(Worker& worker, TimePoint now, Effects& out) {
  worker.cause = ExitCause::requested;
  worker.cause_text = "the head took its slot back";
  take_back_unstarted(worker);
  if (lets_it_close(worker, limits::lend_grace, now, out)) return;
  send_stop(worker, false, out);
  worker.terminate_at = now + limits::lend_grace;
}

/// The worker shall end now: by itself, if it is idle and nothing is wrong with it. Else SIGTERM to its process group,
/// SIGKILL a while later. The first cause given is the one reported.
void NodeMachine::end_worker(Worker& worker, ExitCause cause, std::string text, TimePoint now, Effects& out) {
  if (!worker.cause) {
    worker.cause = cause;
    worker.cause_text = std::move(text);
  }
  if (worker.pid == 0) return;  // worker_spawned asks for its end, or remove_unborn_workers
  take_back_unstarted(worker);
  const bool at_once = cause == ExitCause::requested || cause == ExitCause::drained;
  if (at_once && lets_it_close(worker, limits::close_grace, now, out)) return;
  if (worker.kill_at == never) {
    worker.terminated_at = now;
    out.emplace_back(SignalWorker{worker.id, SIGTERM});
    // For one whose class has a handler, and lives on: what is left to do at its end it does.
    if (worker.phase == Phase::ready) send_stop(worker, true, out);
  }
  worker.terminate_at = never;
  worker.kill_at = std::min(worker.kill_at,
                            now + (at_once ? Duration(limits::quick_kill_grace) : Duration(limits::terminate_grace)));
}

void NodeMachine::remove_unborn_workers(Effects& out) {
  std::vector<WorkerId> unborn;
  for (const auto& [id, worker] : workers_) {
    if (worker.cause && worker.phase <= Phase::waits_for_device) unborn.push_back(id);
  }
  for (const WorkerId id : unborn) worker_exited(id, {}, out);
}

/// What was decided about the worker's end is carried through.
void NodeMachine::watch_end(Worker& worker, TimePoint now, Effects& out) {
  if (worker.hung_up_at != never && worker.hung_up_at + hang_up_grace <= now) {
    worker.hung_up_at = never;
    end_worker(worker, worker.phase == Phase::ready ? ExitCause::died : ExitCause::init_failed,
               "it had closed its channel to the node", now, out);
  }
  if (worker.stop_sent) lets_it_close(worker, limits::lend_grace, now, out);  // its last job may have ended
  if (worker.kill_at <= now) {
    out.emplace_back(SignalWorker{worker.id, SIGKILL});
    worker.kill_at = now + kill_again;
  } else if (worker.terminate_at <= now) {
    worker.terminate_at = never;
    worker.terminated_at = now;
    out.emplace_back(SignalWorker{worker.id, SIGTERM});
    worker.kill_at = now + (worker.closing ? Duration(limits::quick_kill_grace) : Duration(limits::terminate_grace));
  }
  if (worker.hung_up_at != never) wake_at(worker.hung_up_at + hang_up_grace);
  wake_at(std::min(worker.kill_at, worker.terminate_at));
}

/// An update may be under way in the constructor's phase too: the history is applied then.
bool NodeMachine::over_update_timeout(const Worker& worker, const Pool& pool, TimePoint now) {
  const Duration limit = pool.options.update_timeout;
  if (limit <= 0s || !worker.claims || worker.updates_sent <= worker.updates_applied) return false;
  const TimePoint started{Duration(worker.claims->update_started_at_ns.load())};
  if (started != TimePoint{} && now - started > limit) return true;
  wake_at(now + look_again(limit));
  return false;
}

/// init_timeout, update_timeout and job_timeout.
void NodeMachine::watch_limits(Worker& worker, TimePoint now, Effects& out) {
  if (worker.cause) return;
  const Pool* pool = find_pool(worker.pool);
  if (!pool) return;
  if (worker.phase == Phase::constructing && worker.init_deadline != never) {
    if (now >= worker.init_deadline) {
      const std::string text =
          fmt::format("the constructor took longer than init_timeout ({:g} s)", seconds(pool->options.init_timeout));
      end_worker(worker, ExitCause::init_failed, text, now, out);
      return wake_at(worker.kill_at);
    }
    wake_at(worker.init_deadline);
  }
  if (over_update_timeout(worker, *pool, now)) {
    const std::string text =
        fmt::format("handle_update ran longer than update_timeout ({:g} s)", seconds(pool->options.update_timeout));
    end_worker(worker, worker.phase == Phase::ready ? ExitCause::died : ExitCause::init_failed, text, now, out);
    return wake_at(worker.kill_at);
  }
  const Duration limit = pool->options.job_timeout;
  if (limit <= 0s || worker.given.empty()) return;
  // The turn has read what workers sent before it ends: a result that waited while this process was frozen is in, and
  // its job no longer in `given`.
  const bool runs = worker.claims->started(worker.given.front().index);
  const TimePoint started{Duration(worker.claims->started_at_ns.load())};
  if (!runs || now - started <= limit) return wake_at(now + look_again(limit));
  end_worker(worker, ExitCause::job_timeout,
             fmt::format("the job ran longer than job_timeout ({:g} s)", seconds(pool->options.job_timeout)), now, out);
  wake_at(worker.kill_at);
}

// --- Death ------------------------------------------------------------------------------------------------------

void NodeMachine::worker_hung_up(WorkerId id, TimePoint now) {
  if (Worker* worker = find_worker(id); worker && worker->phase >= Phase::constructing) worker->hung_up_at = now;
}

void NodeMachine::channel_broke(WorkerId id, std::string why, TimePoint now, Effects& out) {
  Worker* worker = find_worker(id);
  if (!worker) return;
  end_worker(*worker, worker->phase == Phase::ready ? ExitCause::died : ExitCause::init_failed, std::move(why), now,
             out);
  worker->kill_at = now;
}

void NodeMachine::worker_exited(WorkerId id, const ProcessEnd& end, Effects& out) {
  Worker* worker = find_worker(id);
  if (!worker) return;
  if (doubts_program(*worker, end)) return doubt_program(*worker, end, out);
  send_reports(*worker, out);
  if (leaving_ && end.signal == SIGTERM && !worker->cause) {
    // Whoever told the node to leave told its workers too: no fault of a job.
    worker->cause = ExitCause::drained;
    worker->cause_text = "its node is leaving";
  }
  wire::WorkerExited message;
  message.worker = id;
  // The job that ran is the latest one that was started. Those before it were finished too, but their answers died with
  // the process: they run again, and must not be blamed.
  const auto ran = std::find_if(worker->given.rbegin(), worker->given.rend(),
                                [&](const Given& given) { return worker->claims->started(given.index); });
  if (ran != worker->given.rend()) message.running.push_back(ran->attempt);
  for (auto given = worker->given.rbegin(); given != worker->given.rend(); ++given) {
    if (given != ran) message.unstarted.push_back(given->attempt);
  }
  std::reverse(message.unstarted.begin(), message.unstarted.end());
  for (const wire::RunItem& item : worker->waiting) message.unstarted.push_back(item.attempt);

  if (worker->claims && worker->claims->update_started_at_ns.load() != 0)
    message.updating = worker->claims->update_number.load();
  if (message.updating == 0) message.updating = worker->update_cut_short;
  const bool constructed = worker->phase == Phase::ready;
  const ExitCause by_itself = end.out_of_memory ? ExitCause::out_of_memory : ExitCause::died;
  message.cause = worker->cause.value_or(constructed ? by_itself : ExitCause::init_failed);
  message.error = describe_end(
      {facts_.host, worker->slot, worker->pid, message.cause, worker->cause_text, constructed, !message.running.empty(),
       number_for_user(worker->pool, message.updating), devices_.scene_of_death(worker->devices, worker->pid)},
      end);
  if (message.cause == ExitCause::init_failed && worker->init_error) {
    worker->init_error->exit_status = message.error.exit_status;
    if (worker->init_error->traceback.empty()) worker->init_error->traceback = std::move(message.error.traceback);
    message.error = std::move(*worker->init_error);
  }
  if (worker->pid != 0) devices_.worker_ended(worker->devices, worker->pid, end.at);
  if (message.cause == ExitCause::init_failed) devices_.constructor_failed(worker->devices, worker->pool);
  const PoolId pool_id = worker->pool;
  Pool* told_later = find_pool(pool_id);
  if (told_later && constructed) keep_end(*told_later, report_of(*worker), message);
  if (connected_ && told_later && !told_later->active) {
    told_later->exits.push_back(std::move(message));
  } else {
    to_head(std::move(message), id.value, out);
  }
  workers_.erase(id);
  if (Pool* pool = find_pool(pool_id)) forget_updates(pool_id, *pool);
}

}  // namespace dc::node

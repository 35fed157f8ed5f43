// The node and the head: what is reported after a (re)connection, and what each message about pools and jobs does.
#include "node/node_machine.hpp"

#include <algorithm>
#include <utility>

#include "core/mutation.hpp"
#include "core/text.hpp"

namespace dc::node {
namespace {

/// Results that the head has not acknowledged hold a leaving node up at most this long: the head has them already, and
/// would need them again only if it died just now.
constexpr auto settle_time = 1s;
constexpr std::size_t stopped_early_max = 1024;

}  // namespace

void NodeMachine::to_head(wire::Message message, wire::Lane lane, Effects& out) const {
  if (connected_) out.emplace_back(ToHead{std::move(message), lane});
}

NodeMachine::Pool* NodeMachine::find_pool(PoolId id) {
  const auto found = pools_.find(id);
  return found == pools_.end() ? nullptr : &found->second;
}

NodeMachine::Worker* NodeMachine::find_worker(WorkerId id) {
  const auto found = workers_.find(id);
  return found == workers_.end() ? nullptr : &found->second;
}

// --- Session ----------------------------------------------------------------------------------------------------

WorkerReport NodeMachine::report_of(const Worker& worker) const {
  WorkerReport report;
  report.worker = worker.id;
  report.pool = worker.pool;
  report.slot = worker.slot;
  report.more_slots = worker.more_slots;
  report.ready = worker.phase == Phase::ready;
  report.pid = static_cast<std::uint32_t>(worker.pid);
  report.updates_applied = worker.updates_applied;
  for (const Given& given : worker.given) report.held.push_back(given.attempt);
  for (const wire::RunItem& item : worker.waiting) report.held.push_back(item.attempt);
  return report;
}

void NodeMachine::session_opened(TimePoint, Effects& out) {
  connected_ = true;
  programs_asked_.clear();
  stopped_early_.clear();
  wire::NodeState state;
  state.slots = facts_.slots;
  for (auto& [id, pool] : pools_) {
    pool.active = false;
    pool.exits.clear();  // what is not in this report, the node does not have
    pool.full_said = false;
    pool.results.session_over();
    const std::vector<Attempt> finished = pool.results.attempts();
    auto begin = finished.begin();
    do {  // no list is longer than a receiver takes
      const auto end = begin + std::min<std::ptrdiff_t>(finished.end() - begin, limits::sequences_per_message);
      state.pools.push_back({id, pool.last_update(), {begin, end}});
      begin = end;
    } while (begin != finished.end());
  }
  for (auto& [id, worker] : workers_) {
    worker.done = {};  // kept, and sent again when the head asks
    worker.update_report = false;
    state.workers.push_back(report_of(worker));
  }
  report_updates(state);
  state.programs.assign(facts_.programs.begin(), facts_.programs.end());
  to_head(std::move(state), wire::control_lane, out);
  if (leaving_) to_head(wire::NodeLeaving{"leaving"}, wire::control_lane, out);
  for (const auto& [id, worker] : workers_) {
    const Pool* pool = find_pool(worker.pool);
    if (worker.phase == Phase::waits_for_program && pool) get_program(pool->options.program_hash, out);
  }
}

void NodeMachine::session_closed() { connected_ = head_refused_ = false; }

void NodeMachine::on_messages(std::vector<wire::Message>&& messages, TimePoint now, Effects& out) {
  for (wire::Message& message : messages) {
    if (head_refused_) return;
    std::visit(
        [&](auto&& body) {
          std::string wrong = contradiction(body);
          head_refused_ = !wrong.empty();
          head_refused_ ? void(out.emplace_back(RefuseHead{std::move(wrong)})) : on(std::move(body), now, out);
        },
        std::move(message));
  }
}

// --- Pools ------------------------------------------------------------------------------------------------------

void NodeMachine::on(wire::OpenPoolHere&& message, TimePoint, Effects& out) {
  Pool& pool = pools_.try_emplace(message.pool, facts_.results).first->second;
  pool.options = std::move(message.options);
  // They go on to workers, whose channel has no room for texts of any length.
  for (std::string* text : {&pool.options.label, &pool.options.python_version, &pool.options.program_hash})
    if (text->size() > limits::label_bytes_max) *text = shortened(*text, limits::label_bytes_max);
  pool.name = std::move(message.pool_name);
  pool.spec = message.spec.compact();
  activate(message.pool, pool, out);
}

void NodeMachine::on(wire::ClosePoolHere&& message, TimePoint now, Effects& out) {
  if (Pool* pool = find_pool(message.pool)) send_exits(*pool, out);
  pools_.erase(message.pool);
  std::erase_if(ended_, [&](const Ended& ended) { return ended.report.pool == message.pool; });
  devices_.pool_closed(message.pool);
  for (auto& [id, worker] : workers_) {
    if (worker.pool != message.pool) continue;
    worker.done = {};
    end_worker(worker, ExitCause::requested, "its pool was closed", now, out);
  }
}

void NodeMachine::on(wire::ActivatePool&& message, TimePoint, Effects& out) {
  if (Pool* pool = find_pool(message.pool)) activate(message.pool, *pool, out);
}

/// The head has the pool's jobs again: everything that it may have missed is sent, the oldest job first, as far as
/// there is room.
void NodeMachine::activate(PoolId id, Pool& pool, Effects& out) {
  if (std::exchange(pool.active, true)) return;
  std::map<WorkerId, Batch> batches;
  for (const Attempt& attempt : pool.results.attempts()) {
    Kept& kept = pool.results.at(attempt.sequence);
    report_or_park(batches[kept.worker], id, pool, attempt.sequence, kept, out);
  }
  for (auto& [worker, batch] : batches) send_batch(batch, out);
  send_failed_updates(pool, out);
  send_exits(pool, out);
  say_full(id, pool, out);
}

void NodeMachine::send_exits(Pool& pool, Effects& out) {
  for (wire::WorkerExited& exit : std::exchange(pool.exits, {})) {
    const wire::Lane lane = exit.worker.value;
    to_head(std::move(exit), lane, out);
  }
}

void NodeMachine::on(wire::PoolUpdate&& message, TimePoint, Effects& out) {
  Pool* pool = find_pool(message.pool);
  if (!pool || message.number <= pool->last_update()) return;  // sent twice
  if (message.number > pool->last_update() + 1) {
    // The head itself no longer has those in between (keep_updates_history=False).
    pool->updates.clear();
    pool->first_update = message.number - 1;
  }
  pool->updates.push_back(message.payload.compact());
  pool->keeps_updates = message.keep;
  for (auto& [id, worker] : workers_) {
    if (worker.pool != message.pool || worker.phase < Phase::constructing || worker.cause) continue;
    send_updates(worker, *pool, out);
    pump(worker, out);
  }
  forget_updates(message.pool, *pool);
}

/// Without history only those updates are kept that a worker still has to be sent, once the pool has had one.
void NodeMachine::forget_updates(PoolId id, Pool& pool) {
  if (pool.options.keep_updates_history || pool.keeps_updates) return;
  UpdateNumber needed_after = pool.last_update();
  for (const auto& [worker_id, worker] : workers_) {
    if (worker.pool == id && worker.phase < Phase::constructing) {
      needed_after = std::min(needed_after, std::max(worker.skip_updates, pool.first_update));
    }
  }
  for (; pool.first_update < needed_after; ++pool.first_update) pool.updates.pop_front();
}

void NodeMachine::on(wire::AckResults&& message, TimePoint, Effects& out) {
  Pool* pool = find_pool(message.pool);
  if (!pool) return;
  for (const Attempt& attempt : message.attempts) pool->results.acknowledge(attempt);
  report_parked(message.pool, *pool, out);
}

void NodeMachine::on(wire::ResultWindow&& message, TimePoint, Effects& out) {
  Pool* pool = find_pool(message.pool);
  if (!pool) return;
  pool->results.window(message.bytes);
  for (const Attempt& attempt : message.turn) pool->results.turn(attempt);
  report_parked(message.pool, *pool, out);
}

// --- Jobs of the head -------------------------------------------------------------------------------------------

void NodeMachine::on(wire::RunJobs&& message, TimePoint, Effects& out) {
  Worker* worker = find_worker(message.worker);
  if (!worker) return;  // WorkerExited is on its way to the head
  if (Pool* pool = find_pool(worker->pool)) activate(worker->pool, *pool, out);
  for (wire::RunItem& item : message.items) {
    if (item.label && item.label->key.size() > limits::job_key_bytes_max)  // shortened, as other texts
      item.label->key.resize(limits::job_key_bytes_max);
    worker->waiting.push_back(std::move(item));
  }
  pump(*worker, out);
}

/// Hands jobs to the worker as far as updates and the page of claims allow.
void NodeMachine::pump(Worker& worker, Effects& out) {
  if (worker.phase != Phase::ready || worker.cause) return;
  const auto has_its_updates = [&](const wire::RunItem& item) {
    return item.after_update <= worker.updates_sent || mutation::no_update_barrier;
  };
  while (!worker.waiting.empty() && has_its_updates(worker.waiting.front()) &&
         worker.next_index - worker.passed_index < limits::claims - 1) {
    wire::RunItem& item = worker.waiting.front();
    const std::uint64_t index = worker.next_index++;
    worker.claims->hand(index);
    worker.given.push_back({item.attempt, index});
    out.emplace_back(ToWorker{
        worker.id, wire::WorkerJob{index, std::move(item.arguments), item.attempt.sequence, std::move(item.label)}});
    worker.waiting.pop_front();
  }
}

void NodeMachine::on(wire::RecallJobs&& message, TimePoint, Effects& out) {
  Worker* worker = find_worker(message.worker);
  if (!worker) return;
  wire::JobsRecalled answer{message.worker, {}};
  while (answer.attempts.size() < message.count && !worker->waiting.empty()) {
    answer.attempts.push_back(worker->waiting.back().attempt);
    worker->waiting.pop_back();
  }
  // The worker skips jobs that were taken back without an answer, so their entries count as in use until it answers a
  // later job. Were the whole page full of them, no answer would ever come: half of it is kept for jobs that run.
  const bool has_room = worker->next_index - worker->passed_index <= limits::claims / 2;
  while (has_room && answer.attempts.size() < message.count && !worker->given.empty() &&
         worker->claims->take_back(worker->given.back().index)) {
    answer.attempts.push_back(worker->given.back().attempt);
    worker->given.pop_back();
  }
  to_head(std::move(answer), worker->id.value, out);
}

// --- Leaving and flush ------------------------------------------------------------------------------------------

void NodeMachine::leave(const std::string& reason, TimePoint deadline, Effects& out) {
  if (!std::exchange(leaving_, true)) to_head(wire::NodeLeaving{reason}, wire::control_lane, out);
  leave_deadline_ = std::min(leave_deadline_, deadline);
}

/// Jobs are finished first, then their results get a moment to be acknowledged, then the workers end, then the node.
void NodeMachine::go_on_leaving(TimePoint now, Effects& out) {
  bool running = false, unacknowledged = false;  // who has results that had no room so far is not done either
  for (const auto& [id, worker] : workers_) running |= !worker.given.empty() || !worker.waiting.empty();
  for (const auto& [id, pool] : pools_) {
    if (!connected_ || !pool.active) continue;
    running |= pool.results.any_parked();
    unacknowledged |= !pool.results.empty();
  }
  if (running && now < leave_deadline_) return wake_at(leave_deadline_);
  if (unacknowledged && now < leave_deadline_) {
    settle_deadline_ = std::min({settle_deadline_, now + settle_time, leave_deadline_});
    if (now < settle_deadline_) return wake_at(settle_deadline_);
  }
  for (auto& [id, worker] : workers_) {
    end_worker(worker, ExitCause::drained, "its node is leaving", now, out);
    wake_at(std::min(worker.kill_at, worker.terminate_at));
  }
  remove_unborn_workers(out);
  if (!workers_.empty()) return;
  left_ = true;
  out.emplace_back(Left{});
}

void NodeMachine::flush(TimePoint now, Effects& out) {
  next_deadline_ = never;
  while (stopped_early_.size() > stopped_early_max) stopped_early_.erase(stopped_early_.begin());
  for (auto& [id, worker] : workers_) {
    send_reports(worker, out);
    watch_end(worker, now, out);
    watch_limits(worker, now, out);
  }
  watch_devices(now, out);
  remove_unborn_workers(out);
  if (leaving_ && !left_) go_on_leaving(now, out);
}

}  // namespace dc::node

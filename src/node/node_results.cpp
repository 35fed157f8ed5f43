// What workers say: results are kept until the head acknowledges them, and reported once per turn and worker.
#include <algorithm>
#include <utility>

#include "core/mutation.hpp"
#include "node/node_machine.hpp"

namespace dc::node {
namespace {

constexpr std::size_t item_overhead_bytes = 32;

}  // namespace

void NodeMachine::on_worker_messages(WorkerId id, std::vector<wire::FromWorker>&& messages, TimePoint now,
                                     Effects& out) {
  Worker* worker = find_worker(id);
  if (!worker) return;
  const UpdateNumber applied = worker->updates_applied;
  for (wire::FromWorker& message : messages) {
    const std::string wrong = std::visit([&](const auto& body) { return contradiction(*worker, body); }, message);
    if (!wrong.empty()) return channel_broke(id, "it broke the protocol (" + wrong + ")", now, out);
    std::visit([&](auto&& body) { on_worker(*worker, std::move(body), out); }, std::move(message));
  }
  // A long history is no reason to give a worker up: init_timeout is for the constructor and for each update of it.
  const Pool* pool = find_pool(worker->pool);
  if (pool && worker->init_deadline != never && worker->updates_applied > applied)
    worker->init_deadline = now + pool->options.init_timeout;
  pump(*worker, out);  // there may be room in the claims again
}

void NodeMachine::on_worker(Worker& worker, wire::WorkerConstructed&&, Effects& out) {
  worker.phase = Phase::ready;
  devices_.constructed(worker.devices, worker.pool);
  if (!worker.cause)
    to_head(wire::WorkerReady{worker.id, static_cast<std::uint32_t>(worker.pid)}, worker.id.value, out);
}

void NodeMachine::on_worker(Worker& worker, wire::ConstructionFailed&& message, Effects&) {
  worker.init_error = std::move(*message.error);
}

void NodeMachine::on_worker(Worker& worker, wire::WorkerValue&& message, Effects& out) {
  finished(worker, message.index, message.run_time_us, {std::move(message.value), {}}, out);
}

/// The job ended after the worker was sent SIGTERM: the error may be how its class ends on that (a handler that calls
/// sys.exit is told as one). What becomes of the job depends on why, as if the worker had died of the signal.
bool NodeMachine::was_cut_short(const Worker& worker, const wire::WorkerError& error) {
  if (worker.terminated_at == never || !worker.claims->started(error.index)) return false;
  const bool is_last = std::none_of(worker.given.begin(), worker.given.end(), [&](const Given& given) {
    return given.index > error.index && worker.claims->started(given.index);
  });
  const TimePoint started{Duration(worker.claims->started_at_ns.load())};
  return is_last && started + std::chrono::microseconds(error.run_time_us) >= worker.terminated_at;
}

void NodeMachine::on_worker(Worker& worker, wire::WorkerError&& message, Effects& out) {
  if (was_cut_short(worker, message)) return;
  finished(worker, message.index, message.run_time_us, {std::move(message.exception), std::move(*message.error)}, out);
}

/// The job with this index leaves the worker's hands. Nothing, if it had been taken back.
std::optional<Attempt> NodeMachine::take_given(Worker& worker, std::uint64_t index) {
  worker.passed_index = std::max(worker.passed_index, index + 1);
  const auto given =
      std::find_if(worker.given.begin(), worker.given.end(), [&](const Given& entry) { return entry.index == index; });
  if (given == worker.given.end()) return std::nullopt;
  const Attempt attempt = given->attempt;
  worker.given.erase(given);
  return attempt;
}

void NodeMachine::finished(Worker& worker, std::uint64_t index, std::uint32_t run_time_us, Outcome outcome,
                           Effects& out) {
  const auto attempt = take_given(worker, index);
  Pool* pool = find_pool(worker.pool);
  if (!attempt || !pool) return;
  Kept& kept = pool->results.add(attempt->sequence, {attempt->token, worker.id, run_time_us, std::move(outcome)});
  if (!connected_ || !pool->active) return;
  report_or_park(worker.done, worker.pool, *pool, attempt->sequence, kept, out);
  say_full(worker.pool, *pool, out);
}

/// Within the pool's window at once; else the head hears only that it is there, so that the worker is free.
void NodeMachine::report_or_park(Batch& batch, PoolId id, Pool& pool, JobSequence sequence, Kept& kept, Effects& out) {
  if (pool.results.offer(sequence, kept)) return report_result(batch, id, {sequence, kept.token}, kept, out);
  park(batch, id, sequence, kept);
}

void NodeMachine::park(Batch& batch, PoolId pool, JobSequence sequence, const Kept& kept) {
  batch.parked.worker = kept.worker;
  batch.parked.pool = pool;
  batch.parked.items.push_back({{sequence, kept.token}, kept.large ? kept.cost : 0});
}

/// There may be room again.
void NodeMachine::report_parked(PoolId id, Pool& pool, Effects& out) {
  if (connected_ && pool.active && pool.results.any_parked()) {
    std::map<WorkerId, Batch> batches;
    while (const auto sequence = pool.results.next()) {
      const Kept& kept = pool.results.at(*sequence);
      report_result(batches[kept.worker], id, {*sequence, kept.token}, kept, out);
    }
    for (const JobSequence sequence : pool.results.new_asks()) {
      const Kept& kept = pool.results.at(sequence);
      park(batches[kept.worker], id, sequence, kept);
    }
    for (auto& [worker, batch] : batches) send_batch(batch, out);
  }
  say_full(id, pool, out);
}

void NodeMachine::say_full(PoolId id, Pool& pool, Effects& out) {
  if (!connected_ || !pool.active || pool.results.full(pool.full_said) == pool.full_said) return;
  pool.full_said = !pool.full_said;
  to_head(wire::ResultsFull{id, pool.full_said}, wire::control_lane, out);
}

/// Values gather in the batch; errors and large values travel alone.
void NodeMachine::report_result(Batch& batch, PoolId pool, const Attempt& attempt, const Kept& kept, Effects& out) {
  const Outcome& outcome = kept.outcome;
  if (outcome.error) {
    to_head(wire::JobFailed{kept.worker, pool, attempt, kept.run_time_us, *outcome.error, outcome.payload},
            kept.worker.value, out);
    return;
  }
  wire::FinishedItem item{attempt, kept.run_time_us, outcome.payload};
  if (outcome.payload.size() > limits::inline_payload_max) {
    wire::JobsDone alone{kept.worker, pool, {}};
    alone.items.push_back(std::move(item));
    return to_head(std::move(alone), kept.worker.value, out);
  }
  batch.message.worker = kept.worker;
  batch.message.pool = pool;
  batch.message.items.push_back(std::move(item));
  batch.bytes += outcome.payload.size() + item_overhead_bytes;
  if (batch.bytes < limits::batch_bytes_max) return;  // a message must fit into a frame
  const wire::Lane lane = batch.message.worker.value;
  to_head(std::exchange(batch.message, {}), lane, out);
  batch.bytes = 0;
}

void NodeMachine::send_batch(Batch& batch, Effects& out) {
  if (!batch.message.items.empty()) {
    const wire::Lane lane = batch.message.worker.value;
    to_head(std::exchange(batch.message, {}), lane, out);
    batch.bytes = 0;
  }
  if (batch.parked.items.empty() || mutation::park_silently) return;
  const wire::Lane lane = batch.parked.worker.value;
  to_head(std::exchange(batch.parked, {}), lane, out);
}

/// What the worker did in this turn.
void NodeMachine::send_reports(Worker& worker, Effects& out) {
  send_batch(worker.done, out);
  std::vector<wire::UpdatesApplied> errors = std::exchange(worker.update_errors, {});
  const Pool* pool = find_pool(worker.pool);
  if (!connected_ || !pool || !pool->active) return;  // said when it is active again
  for (wire::UpdatesApplied& error : errors) to_head(std::move(error), worker.id.value, out);
  if (std::exchange(worker.update_report, false)) {
    to_head(wire::UpdatesApplied{worker.id, worker.updates_applied}, worker.id.value, out);
  }
}

void NodeMachine::worker_printed(WorkerId id, Printed printed, Effects& out) {
  const Worker* worker = find_worker(id);
  const Pool* pool = worker ? find_pool(worker->pool) : nullptr;
  if (!pool || pool->options.forward_output == ForwardOutput::none) return;
  to_head(wire::OutputLines{worker->pool, facts_.host, worker->slot, std::move(printed.lines), printed.stream,
                            printed.left_out},
          wire::control_lane, out);
}

}  // namespace dc::node

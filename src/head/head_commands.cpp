// Commands of the scheduler become messages: those of one kind that stand together become one.
#include <fmt/format.h>

#include <algorithm>

#include "core/check.hpp"
#include "head/head_machine.hpp"

namespace dc::head {
namespace {

/// Room that a job or a value takes in a message beside its payload, at most.
constexpr std::size_t item_bytes = 48;
/// Jobs that end with one error, in one message.
constexpr std::size_t errors_at_once = limits::batch_bytes_max / 16;

}  // namespace

void HeadMachine::carry_out(scheduler::Commands& commands, Effects& out) {
  DC_CHECK(!std::exchange(carrying_out_, true));
  for (scheduler::Command& command : commands) {
    std::visit(
        [&](auto& body) {
          using Body = std::decay_t<decltype(body)>;
          // A message of another kind must not overtake, nor be overtaken by, what is being collected.
          constexpr bool collected = std::is_same_v<Body, scheduler::RunJob> ||
                                     std::is_same_v<Body, scheduler::DeliverOutcome> ||
                                     std::is_same_v<Body, scheduler::AckResult>;
          if (!collected) flush_batches(out);
          carry_out(body, out);
        },
        command);
  }
  commands.clear();
  carrying_out_ = false;
}

void HeadMachine::flush_run(Effects& out) {
  run_bytes_ = 0;
  if (run_.items.empty()) return;
  const wire::Lane lane = run_.worker.value;
  send_to_node(run_node_, std::exchange(run_, {}), lane, out);
}

void HeadMachine::flush_values(Effects& out) {
  values_bytes_ = 0;
  if (values_.items.empty()) return;
  const PoolId pool = values_.pool;
  send_to_client(pool, std::exchange(values_, {}), wire::control_lane, out);
}

/// One job alone is told as any other.
void HeadMachine::flush_errors(Effects& out) {
  if (errors_.sequences.empty()) return;
  std::vector<JobSequence> sequences = std::exchange(errors_.sequences, {});
  const SharedError error = std::exchange(errors_.error, {});
  const PoolId pool = errors_.pool;
  if (sequences.size() == 1) {
    send_to_client(pool, wire::JobError{pool, sequences.front(), *error, {}}, wire::control_lane, out);
  } else {
    send_to_client(pool, wire::JobErrors{pool, std::move(sequences), *error}, wire::control_lane, out);
  }
}

void HeadMachine::flush_batches(Effects& out) {
  flush_run(out);
  flush_values(out);
  flush_errors(out);
  for (auto& [key, attempts] : acks_) {
    while (attempts.size() > limits::sequences_per_message) {
      const auto from = attempts.end() - static_cast<std::ptrdiff_t>(limits::sequences_per_message);
      send_to_node(key.first, wire::AckResults{key.second, {from, attempts.end()}}, wire::control_lane, out);
      attempts.erase(from, attempts.end());
    }
    send_to_node(key.first, wire::AckResults{key.second, std::move(attempts)}, wire::control_lane, out);
  }
  acks_.clear();
}

void HeadMachine::send_to_client(PoolId pool, wire::Message message, wire::Lane lane, Effects& out) {
  const HeadPool* found = find_pool(pool);
  const SessionId session = found ? found->holder().session : SessionId{};
  if (session.value != 0) out.emplace_back(Send{session, std::move(message), lane});  // else it will ask for it
}

// --- To nodes ---------------------------------------------------------------------------------------------------
// What must stay in order travels in one lane: the pool's for its class, updates and workers; the worker's for its
// jobs.

void HeadMachine::carry_out(scheduler::OpenPoolOnNode& command, Effects& out) {
  const HeadPool& pool = *pools_.at(command.pool);
  const std::string& hash = pool.options.program_hash;
  const auto node = nodes_.find(command.node);
  const wire::Lane lane = command.pool.value;
  if (!hash.empty() && node != nodes_.end() && node->second.programs.insert(hash).second) {
    send_to_node(command.node, wire::Program{hash, programs_.at(hash)}, lane, out);
  }
  send_to_node(command.node, wire::OpenPoolHere{command.pool, pool.options, pool.spec, pool.name()}, lane, out);
  ResultFlow::Says says;
  flow_.add(command.pool, command.node, pools_.at(command.pool)->keeps(), says);
  tell_nodes(std::move(says), out);
}

void HeadMachine::carry_out(scheduler::ClosePoolOnNode& command, Effects& out) {
  send_to_node(command.node, wire::ClosePoolHere{command.pool}, command.pool.value, out);
  ResultFlow::Says says;
  flow_.remove(command.pool, command.node, says);
  tell_nodes(std::move(says), out);
}

void HeadMachine::carry_out(scheduler::ActivatePoolOnNode& command, Effects& out) {
  send_to_node(command.node, wire::ActivatePool{command.pool}, command.pool.value, out);
  ResultFlow::Says says;
  flow_.add(command.pool, command.node, pools_.at(command.pool)->keeps(), says);
  tell_nodes(std::move(says), out);
}

/// Behind the pool's class, of which a node must have heard first.
void HeadMachine::tell_nodes(ResultFlow::Says&& says, Effects& out) {
  for (const ResultFlow::Say& say : says) {
    wire::ResultWindow window{say.pool, say.window, {}};
    if (say.turn) window.turn.push_back(*say.turn);
    send_to_node(say.node, std::move(window), say.pool.value, out);
  }
}

void HeadMachine::carry_out(scheduler::SendUpdate& command, Effects& out) {
  send_to_node(command.node, wire::PoolUpdate{command.pool, command.number, std::move(command.payload), command.keep},
               command.pool.value, out);
}

void HeadMachine::carry_out(scheduler::StartWorker& command, Effects& out) {
  places_[command.worker] = {command.node, command.slot, command.pool, command.more_slots};
  if (const auto node = nodes_.find(command.node); node != nodes_.end()) node->second.workers.insert(command.worker);
  send_to_node(command.node,
               wire::StartWorker{command.worker, command.pool, command.slot, command.skip_updates,
                                 std::move(command.more_slots)},
               command.pool.value, out);
}

void HeadMachine::carry_out(scheduler::StopWorker& command, Effects& out) {
  // Behind its StartWorker, which may wait for a large class.
  send_to_node(command.node, wire::StopWorker{command.worker}, lane_of_pool(command.worker), out);
}

wire::Lane HeadMachine::lane_of_pool(WorkerId worker) const {
  const auto place = places_.find(worker);
  return place == places_.end() ? wire::control_lane : place->second.pool.value;
}

/// Nothing for most jobs.
std::shared_ptr<JobLabel> HeadMachine::label_of(const scheduler::RunJob& command) const {
  const HeadPool* pool = find_pool(command.pool);
  const std::string* key = pool ? pool->key_of(command.sequence) : nullptr;
  if (!key && command.tries == 1) return nullptr;
  return std::make_shared<JobLabel>(JobLabel{command.tries, key ? *key : std::string()});
}

void HeadMachine::carry_out(scheduler::RunJob& command, Effects& out) {
  auto label = label_of(command);
  const std::size_t bytes = command.arguments.size() + (label ? label->key.size() : 0) + item_bytes;
  const bool large = command.arguments.size() > limits::inline_payload_max;
  if (run_.worker != command.worker || large || run_bytes_ + bytes > limits::batch_bytes_max) flush_run(out);
  run_node_ = command.node;
  run_.worker = command.worker;
  run_.items.push_back(
      {{command.sequence, command.token}, command.after_update, std::move(command.arguments), std::move(label)});
  run_bytes_ += bytes;
  if (large) flush_run(out);
}

void HeadMachine::carry_out(scheduler::Recall& command, Effects& out) {
  send_to_node(command.node, wire::RecallJobs{command.worker, command.count}, command.worker.value, out);
}

void HeadMachine::carry_out(scheduler::AckResult& command, Effects& out) {
  acks_[{command.node, command.pool}].push_back(command.attempt);
  ResultFlow::Says says;
  flow_.acknowledged(command.pool, command.node, command.attempt, says);
  if (!says.empty()) tell_nodes(std::move(says), out);
}

void HeadMachine::carry_out(scheduler::ResultsStranded& command, Effects& out) {
  ResultFlow::Says says;
  flow_.strand(command.pool, command.bytes, says);
  if (!says.empty()) tell_nodes(std::move(says), out);
}

// --- To clients -------------------------------------------------------------------------------------------------

void HeadMachine::carry_out(scheduler::DeliverOutcome& command, Effects& out) {
  HeadPool* pool = find_pool(command.pool);
  if (pool) with(*pool, out, [&](auto& it, auto& effects) { it.ended(std::move(command), effects); });
}

void HeadMachine::send_outcome(PoolId pool, JobSequence sequence, Outcome&& outcome, Effects& out) {
  // Outcomes are independent of each other: a large one has a lane of its own and delays nothing.
  const bool large = outcome.payload.size() > limits::inline_payload_max;
  const wire::Lane lane = large ? (std::uint64_t{1} << 62) | next_lane_++ : wire::control_lane;
  if (outcome.error && outcome.payload.empty()) {
    const bool alike = errors_.pool == pool && errors_.error.same_as(outcome.error);
    if (!alike || errors_.sequences.size() >= errors_at_once) flush_errors(out);
    errors_.pool = pool;
    errors_.error = std::move(outcome.error);
    errors_.sequences.push_back(sequence);
    return;
  }
  if (outcome.error) {
    send_to_client(pool, wire::JobError{pool, sequence, *outcome.error, std::move(outcome.payload)}, lane, out);
    return;
  }
  if (large) {
    wire::JobValues values{pool, {}};
    values.items.push_back({sequence, std::move(outcome.payload)});
    send_to_client(pool, std::move(values), lane, out);
    return;
  }
  const std::size_t bytes = outcome.payload.size() + item_bytes;
  if (values_.pool != pool || values_bytes_ + bytes > limits::batch_bytes_max) flush_values(out);
  values_.pool = pool;
  values_.items.push_back({sequence, std::move(outcome.payload)});
  values_bytes_ += bytes;
}

void HeadMachine::carry_out(scheduler::MissingJobs& command, Effects& out) {
  const auto updates = scheduler_.pool_status(command.pool).updates;
  send_to_client(command.pool, wire::PoolKnown{command.pool, true, updates, std::move(command.sequences)},
                 wire::control_lane, out);
}

void HeadMachine::carry_out(scheduler::UpdateAccepted& command, Effects& out) {
  send_to_client(command.pool, wire::UpdateAccepted{command.pool, command.number}, wire::control_lane, out);
}

void HeadMachine::carry_out(scheduler::UpdateAppliedEverywhere& command, Effects& out) {
  send_to_client(command.pool, wire::UpdateApplied{command.pool, command.number}, wire::control_lane, out);
}

void HeadMachine::carry_out(scheduler::UpdateFailed& command, Effects& out) {
  Outcome& outcome = command.outcome;
  if (outcome.error->kind == ErrorKind::worker_died)
    out.emplace_back(Log{fmt::format("pool {:x}: {}", command.pool.value, outcome.error->message)});
  HeadPool* pool = find_pool(command.pool);
  if (!pool) return;
  // The exception is small: it need not leave the lane in which UpdateApplied comes behind it.
  const bool small = outcome.payload.size() <= limits::inline_payload_max;
  wire::UpdateFailed failed{command.pool, command.number, std::move(*outcome.error),
                            small ? std::move(outcome.payload) : Payload{}};
  with(*pool, out, [&](auto& it, auto& effects) { it.update_failed(std::move(failed), effects); });
}

void HeadMachine::carry_out(scheduler::PoolFailed& command, Effects& out) {
  out.emplace_back(Log{fmt::format("pool {:x} has failed: {}", command.pool.value, command.error.message)});
  HeadPool* pool = find_pool(command.pool);
  if (pool) with(*pool, out, [&](auto& it, auto& effects) { it.failed(std::move(command.error), effects); });
}

void HeadMachine::carry_out(scheduler::ClientStuck& command, Effects& out) {
  HeadPool* pool = find_pool(command.pool);
  if (pool) with(*pool, out, [&](auto& it, auto& effects) { it.client_stuck(std::move(command.error), effects); });
}

void HeadMachine::carry_out(scheduler::PoolChanged& command, Effects& out) {
  if (!scheduler_.has_pool(command.pool)) return;
  const scheduler::PoolStatus status = scheduler_.pool_status(command.pool);
  HeadPool& pool = *pools_.at(command.pool);
  pool.most_workers = std::max<std::uint64_t>(pool.most_workers, status.workers_ready);
  send_to_client(command.pool,
                 wire::PoolState{command.pool, status.workers_ready, status.workers_starting, status.nodes,
                                 status.slots_total, status.slots_eligible},
                 wire::control_lane, out);
}

void HeadMachine::carry_out(scheduler::Notice& command, Effects& out) {
  out.emplace_back(Log{fmt::format("pool {:x}: {}", command.pool.value, command.text)});
  send_to_client(command.pool, wire::Notice{command.pool, std::move(command.text)}, wire::control_lane, out);
}

}  // namespace dc::head

// Updates that failed: handle_update raised, or the worker ended in it. Nobody acknowledges what the head is told of
// them, and who waits for such an update must never take it for applied. So it is all kept, and every session hears it
// again: the first report tells no more of such a worker's updates than goes before the failure, and then, when the
// head has the pool, come the failure and the rest.
#include <algorithm>
#include <utility>

#include "core/text.hpp"
#include "node/node_machine.hpp"

namespace dc::node {
namespace {

/// Behind many others.
void keep_message_alone(wire::UpdatesApplied& failure) {
  failure.error.message = shortened(failure.error.message, limits::update_error_bytes);
  failure.error.traceback.clear();
  failure.exception = {};
}

}  // namespace

void NodeMachine::on_worker(Worker& worker, wire::UpdateDone&& message, Effects&) {
  if (message.failed && worker.terminated_at != never) {  // as with a job
    worker.update_cut_short = message.number;
    return;
  }
  worker.updates_applied = std::max(worker.updates_applied, message.number);
  worker.update_report = true;
  if (!message.failed) return;
  wire::UpdatesApplied failure{worker.id, message.number, true, std::move(*message.error), message.exception.compact()};
  Pool* pool = find_pool(worker.pool);
  if (pool) keep_failure(*pool, failure);
  if (!pool || !pool->active || !connected_) return;
  if (worker.update_errors.size() >= limits::update_errors_whole) keep_message_alone(failure);
  worker.update_errors.push_back(std::move(failure));
}

void NodeMachine::keep_failure(Pool& pool, wire::UpdatesApplied failure) {
  auto& kept = pool.failed_updates;
  if (kept.contains(failure.number)) return;
  if (kept.size() >= limits::update_errors_whole) keep_message_alone(failure);
  kept.emplace(failure.number, std::move(failure));
  if (kept.size() > limits::failed_updates_kept) kept.erase(kept.begin());
}

/// Updates that define what the client's script has are not counted among the user's.
UpdateNumber NodeMachine::number_for_user(PoolId id, UpdateNumber number) const {
  const auto found = pools_.find(id);
  if (found == pools_.end() || number <= found->second.first_update) return number;
  const auto& updates = found->second.updates;
  const auto end = updates.begin() + static_cast<std::ptrdiff_t>(
                                         std::min<std::size_t>(number - found->second.first_update, updates.size()));
  return number - static_cast<UpdateNumber>(std::count_if(updates.begin(), end, [](const Payload& update) {
           return update.view().starts_with(definitions_mark);
         }));
}

/// Its jobs are given out again when the next session hears that it has none. That it died was said, or is of no
/// account any more, unless an update was why.
void NodeMachine::keep_end(Pool& pool, WorkerReport report, wire::WorkerExited exit) {
  const bool died =
      exit.cause == ExitCause::died || exit.cause == ExitCause::job_timeout || exit.cause == ExitCause::out_of_memory;
  const bool in_update = exit.updating != 0 && died;
  const bool raised = std::any_of(pool.failed_updates.begin(), pool.failed_updates.end(),
                                  [&](const auto& failed) { return failed.second.worker == exit.worker; });
  if (!in_update && !raised) return;
  if (!in_update) exit.cause = ExitCause::requested;
  report.held.clear();
  exit.running.clear();
  exit.unstarted.clear();
  ended_.push_back({std::move(report), std::move(exit)});
}

/// The head knows of the end of the worker that had its slot.
void NodeMachine::forget_ended_worker(const wire::StartWorker& successor) {
  std::vector<std::uint32_t> slots = successor.more_slots;
  slots.push_back(successor.slot);
  const auto has = [&](std::uint32_t slot) { return std::find(slots.begin(), slots.end(), slot) != slots.end(); };
  std::erase_if(ended_, [&](const Ended& ended) {
    const auto& more = ended.report.more_slots;
    if (!has(ended.report.slot) && std::none_of(more.begin(), more.end(), has)) return false;
    if (Pool* pool = find_pool(ended.report.pool)) {
      std::erase_if(pool->failed_updates,
                    [&](const auto& failed) { return failed.second.worker == ended.report.worker; });
    }
    return true;
  });
}

/// No more than what goes before the first of its failures.
UpdateNumber NodeMachine::updates_to_say(const Pool& pool, const WorkerReport& report) {
  for (const auto& [number, failure] : pool.failed_updates) {
    if (failure.worker == report.worker) return std::min(report.updates_applied, number - 1);
  }
  return report.updates_applied;
}

/// Of the workers that live too.
void NodeMachine::report_updates(wire::NodeState& state) {
  for (const Ended& ended : ended_) {
    state.workers.push_back(ended.report);
    if (Pool* pool = find_pool(ended.report.pool)) pool->exits.push_back(ended.exit);
  }
  for (WorkerReport& report : state.workers) {
    if (const Pool* pool = find_pool(report.pool)) report.updates_applied = updates_to_say(*pool, report);
  }
}

void NodeMachine::send_failed_updates(const Pool& pool, Effects& out) {
  for (const auto& [number, failure] : pool.failed_updates) {
    to_head(failure, failure.worker.value, out);
    if (Worker* worker = find_worker(failure.worker)) worker->update_report = true;
  }
}

}  // namespace dc::node

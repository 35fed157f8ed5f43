// See head_process.hpp.
#include "head_process.hpp"

#include <algorithm>
#include <utility>

#include "text.hpp"
#include "wire/framing.hpp"

namespace dc::sim {
namespace {

using scheduler::JobView;

/// What a message says of finished attempts.
std::vector<std::pair<PoolId, Attempt>> finished_in(const wire::Message& message) {
  std::vector<std::pair<PoolId, Attempt>> all;
  if (const auto* done = std::get_if<wire::JobsDone>(&message)) {
    for (const wire::FinishedItem& item : done->items) all.emplace_back(done->pool, item.attempt);
  } else if (const auto* failed = std::get_if<wire::JobFailed>(&message)) {
    all.emplace_back(failed->pool, failed->attempt);
  }
  return all;
}

}  // namespace

// --- Sessions ---------------------------------------------------------------------------------------------------

void HeadProcess::opened(const ConnectionPtr& connection) {
  if (!is_head()) return connection->close(Side::head, false);
  const PeerIdentity& who = connection->who;
  sessions_[connection->session] = connection;
  head::HeadshipEffects todo;
  headship_->session_opened(connection->session, who.term, todo);
  carry_out(todo);
  world_.note(name(), "accepts {} as session {}", who.host, connection->session.value);
  machine_->session_opened(connection->session, {who.role, who.id, who.host, 1, who.host}, world_.now(), effects_);
  if (who.role == wire::Role::node) excuse_later(who.host, limits::node_return_grace);
  schedule_flush();
}

void HeadProcess::excuse_later(const std::string& host, Duration grace, bool restart) {
  away_.push_back({world_.now() + grace, host, cluster_.heads.reports[host], restart});
}

/// A node with something of an earlier head is here: the others have time anew.
void HeadProcess::note_back(const std::string& host, const wire::NodeState& state) {
  if (!back_.insert(host).second || (state.pools.empty() && state.workers.empty())) return;
  for (Away& node : away_) {
    if (node.restart) node.lost_at = world_.now() + limits::recovery_hold;
  }
}

/// A node that does not say in time what it has loses its jobs to others. The machine finds that out in a flush.
void HeadProcess::excuse_lost() {
  std::erase_if(away_, [this](const Away& node) {
    if (node.lost_at > world_.now()) return false;
    if (cluster_.heads.reports[node.host] == node.reports) ledger_.excuse_host(node.host);
    return true;
  });
}

void HeadProcess::received(const ConnectionPtr& connection, std::vector<wire::Message>&& messages) {
  if (!is_head() || !headship_->has(connection->session)) return;
  for (wire::Message& message : messages) {
    note_message(world_, connection->who.host, name(), message);
    note_said(connection, message);
    if (const auto* state = std::get_if<wire::NodeState>(&message)) {
      excuse_lost();
      note_back(connection->who.host, *state);
      ++cluster_.heads.reports[connection->who.host];
      for (const WorkerReport& worker : state->workers)
        cluster_.heads.pools_of[worker.worker] = cluster_.journal.pool_of(worker.pool);
    }
    if (std::holds_alternative<wire::Goodbye>(message)) left_.insert(connection->session);
    hear(connection, std::move(message));
  }
  schedule_flush();
}

/// A result with a token that is not the job's current one changes nothing.
void HeadProcess::hear(const ConnectionPtr& connection, wire::Message&& message) {
  const scheduler::Scheduler& scheduler = machine_->scheduler();
  const auto finished = finished_in(message);
  std::vector<std::optional<JobView>> before;
  for (const auto& [pool, attempt] : finished) before.push_back(scheduler.find_job(pool, attempt.sequence));
  std::vector<wire::Message> one;
  one.push_back(std::move(message));
  machine_->on_messages(connection->session, std::move(one), world_.now(), effects_);
  for (std::size_t i = 0; i < finished.size(); ++i) {
    const auto& [pool, attempt] = finished[i];
    const bool current = before[i] && before[i]->state == JobView::State::assigned && before[i]->token == attempt.token;
    if (!current && scheduler.find_job(pool, attempt.sequence) != before[i])
      world_.violation("attempt {} at job {} of pool {} is stale and counted", attempt.token.attempt, attempt.sequence,
                       short_name(pool.value));
  }
}

void HeadProcess::closed(const ConnectionPtr& connection) {
  if (sessions_.erase(connection->session) == 0) return;
  broken_off_[connection->session] = connection->who;
  head::HeadshipEffects todo;
  headship_->session_closed(connection->session, journal_.hold(), world_.now(), todo);
  carry_out(todo);
}

// --- Turns ------------------------------------------------------------------------------------------------------

void HeadProcess::schedule_flush() {
  if (std::exchange(flush_scheduled_, true)) return;
  run_after(world_.chance.skewed(1us, plan_.turn_max), [this] { flush(); });
}

void HeadProcess::flush() {
  flush_scheduled_ = false;
  if (!is_head()) return;
  excuse_lost();
  machine_->flush(world_.now(), effects_);
  std::map<SessionId, std::vector<wire::Outgoing>> sends;
  for (head::Effect& effect : std::exchange(effects_, {})) {
    std::visit([&](auto& body) { carry_out(body, sends); }, effect);
  }
  for (auto& [id, messages] : sends) {
    if (const auto session = sessions_.find(id); session != sessions_.end())
      session->second->send(Side::head, std::move(messages));
  }
  if (++turns_ % plan_.turns_between_looks == 0) machine_->check_invariants();
  arm(machine_->next_deadline());
}

void HeadProcess::arm(TimePoint when) {
  if (when == never || when >= armed_for_) return;
  armed_for_ = when;
  run_at(std::max(when, world_.now() + 1us), [this, when] {
    if (armed_for_ != when) return;
    armed_for_ = never;
    schedule_flush();
  });
}

void HeadProcess::carry_out(head::Send& effect, std::map<SessionId, std::vector<wire::Outgoing>>& sends) {
  if (const auto* applied = std::get_if<wire::UpdateApplied>(&effect.message)) check_applied(*applied);
  cluster_.journal.check_told(effect.message);
  if (const auto session = sessions_.find(effect.session); session != sessions_.end()) {
    check_holder(effect.message, session->first);
    note_work(effect.message, session->first);
  }
  world_.note(name(), "sends {} in session {}", wire::name_of(effect.message), effect.session.value);
  sends[effect.session].push_back({std::move(effect.message), effect.lane});
}

/// Which job was given to whom.
void HeadProcess::note_work(const wire::Message& message, SessionId session) {
  if (const auto* start = std::get_if<wire::StartWorker>(&message)) {
    cluster_.heads.pools_of[start->worker] = cluster_.journal.pool_of(start->pool);
    check_start(*start, session);
  }
  if (const auto* over = std::get_if<wire::PoolFailed>(&message);
      over && over->error.kind == ErrorKind::no_device && !ledger_.pool(cluster_.journal.pool_of(over->pool)).named)
    check_no_device(over->pool);
  if (const auto* stop = std::get_if<wire::StopWorker>(&message)) check_waste(*stop);
  if (const auto* opened = std::get_if<wire::PoolOpened>(&message)) opened_.insert(opened->id);
  // Its nodes forget what was finished. If the head crashes now, nobody else knows that the pool is over.
  if (const auto* close = std::get_if<wire::ClosePoolHere>(&message); close && closed_.insert(close->pool).second)
    ledger_.excuse_pool(cluster_.journal.pool_of(close->pool));
  // The pool has failed while its client was away, which opens it again, with what was finished forgotten.
  if (const auto* known = std::get_if<wire::PoolKnown>(&message);
      known && !known->known && opened_.contains(known->pool) &&
      !ledger_.pool(cluster_.journal.pool_of(known->pool)).named)
    ledger_.excuse_pool(known->pool);
  const auto* run = std::get_if<wire::RunJobs>(&message);
  if (!run) return;
  const std::string& host = sessions_.at(session)->who.host;
  const PoolId pool = cluster_.heads.pools_of.at(run->worker);
  for (const wire::RunItem& item : run->items) {
    cluster_.journal.check_handed(pool, item.attempt.sequence);
    ledger_.handed(pool, item.attempt.sequence, host);
  }
}

void HeadProcess::carry_out(head::CloseSession& effect, std::map<SessionId, std::vector<wire::Outgoing>>& sends) {
  const auto session = sessions_.find(effect.session);
  if (session == sessions_.end()) return;
  const ConnectionPtr connection = session->second;
  world_.note(name(), "closes session {}: {}", effect.session.value, effect.reason);
  if (effect.reason.starts_with("you broke the protocol")) world_.violation("{} says: {}", name(), effect.reason);
  if (const auto queued = sends.find(effect.session); queued != sends.end())
    connection->send(Side::head, std::exchange(queued->second, {}));
  connection->close(Side::head, true);
  std::erase_if(holders_, [&](const auto& holder) { return holder.second == effect.session; });
  run_after(1us, [this, connection] { closed(connection); });
}

void HeadProcess::carry_out(head::HashProgram& effect, std::map<SessionId, std::vector<wire::Outgoing>>&) {
  run_after(world_.chance.skewed(100us, 100ms), [this, asked = std::make_shared<head::HashProgram>(effect)] {
    if (!is_head()) return;
    machine_->program_hashed(std::move(*asked), asked->hash, world_.now(), effects_);
    schedule_flush();
  });
}

/// Workers are dear: slots must not change hands again and again before anything has run. Short bursts of short jobs
/// may cost some.
void HeadProcess::check_waste(const wire::StopWorker& stop) {
  const WorkerProcess* worker = cluster_.find_worker(stop.worker);
  if (worker && worker->ready()) return;
  wasted_.push_back(world_.now());
  while (wasted_.front() < world_.now() - 1s) wasted_.pop_front();
  std::size_t slots = 0;
  for (const auto& node : machine_->scheduler().status().nodes) slots += node.slots.size();
  if (wasted_.size() > 60 + 10 * slots)
    world_.violation("{} workers were stopped before they were ready within a second on {} slots", wasted_.size(),
                     slots);
}

// --- Devices ----------------------------------------------------------------------------------------------------

void HeadProcess::note_said(const ConnectionPtr& connection, const wire::Message& message) {
  const auto* state = std::get_if<wire::NodeState>(&message);
  const auto* changed = std::get_if<wire::SlotsChanged>(&message);
  for (const SlotInfo& slot : state ? state->slots : changed ? changed->slots : std::vector<SlotInfo>{})
    slots_[connection->session][slot.slot] = slot;
  const auto* opened = std::get_if<wire::OpenPool>(&message);
  if (opened && opened->resumed) cluster_.heads.resumed.insert(opened->pool);
}

/// With history a worker gets all updates. Without it the first one ever does, and those that start after that get none
/// that came before them. (A restarted head, or one to which a pool comes back that it has given up, cannot always know
/// which one is the first.)
void HeadProcess::check_skipped(const wire::StartWorker& start) const {
  const PoolId pool = start.pool;
  const PoolRecord& record = ledger_.pool(cluster_.journal.pool_of(pool));
  const bool history = record.options.keep_updates_history;
  if (start.skip_updates > 0 &&
      (history || (cluster_.heads.lives == 1 && !cluster_.heads.resumed.contains(pool) && !record.had_worker)))
    world_.violation("worker {} of pool {} gets no update up to {}", name_of_worker(start.worker),
                     short_name(pool.value), start.skip_updates);
  if (history || !machine_->scheduler().has_pool(pool)) return;
  const scheduler::PoolStatus status = machine_->scheduler().pool_status(pool);
  if (status.workers_ready > 0 && start.skip_updates < status.updates)
    world_.violation("a later worker of pool {} gets updates after {}, of {}", short_name(pool.value),
                     start.skip_updates, status.updates);
}

/// A worker starts on slots that nobody else has, without trouble, with memory enough, and on different GPUs.
void HeadProcess::check_start(const wire::StartWorker& start, SessionId session) const {
  const PoolOptions& options = ledger_.pool(cluster_.journal.pool_of(start.pool)).options;
  check_skipped(start);
  const std::string& host = sessions_.at(session)->who.host;
  std::vector<std::uint32_t> slots = start.more_slots;
  slots.push_back(start.slot);
  std::set<std::string> gpus;
  for (const std::uint32_t number : slots) {
    const SlotInfo& slot = slots_.at(session).at(number);
    gpus.insert(slot.gpu);
    if (!slot.trouble.empty()) world_.violation("a worker starts on slot {} of {}: {}", number, host, slot.trouble);
    if (slot.gpu_memory_mib < options.min_gpu_memory_mib || slot.gpu_memory_free_mib < options.min_gpu_memory_mib)
      world_.violation("a worker starts on slot {} of {} with {} MiB free", number, host, slot.gpu_memory_free_mib);
    if (slot.gpu.empty() ? options.device == DeviceWish::gpu : options.device == DeviceWish::cpu)
      world_.violation("a worker starts on slot {} of {}, of the wrong kind", number, host);
  }
  if (gpus.size() != options.gpus_per_worker || slots.size() != gpus.size() || (slots.size() > 1 && gpus.contains("")))
    world_.violation("a worker of {} GPUs has {} slots and {} GPUs", options.gpus_per_worker, slots.size(),
                     gpus.size());
  for (const scheduler::NodeStatus& node : machine_->scheduler().status().nodes) {
    for (const scheduler::SlotStatus& slot : node.slots) {
      const bool given = node.host == host && std::find(slots.begin(), slots.end(), slot.slot) != slots.end();
      if (slot.worker == start.worker && !given) world_.violation("a worker has slot {} unasked", slot.slot);
    }
  }
}

/// A pool may end for lack of a device only while none is there.
void HeadProcess::check_no_device(PoolId pool) {
  PoolRecord& record = ledger_.pool(pool);
  record.no_device = true;
  const PoolOptions& options = record.options;
  for (const scheduler::NodeStatus& node : machine_->scheduler().status().nodes) {
    if (!node.connected || node.leaving) continue;
    std::set<std::string> gpus;
    for (const scheduler::SlotStatus& status : node.slots) {
      const SlotInfo& slot = status.info;
      const bool kind = slot.gpu.empty() ? options.device != DeviceWish::gpu : options.device != DeviceWish::cpu;
      if (kind && slot.gpu_memory_mib >= options.min_gpu_memory_mib) gpus.insert(slot.gpu);
    }
    if (options.gpus_per_worker > 1) gpus.erase("");
    if (gpus.size() >= options.gpus_per_worker)
      world_.violation("pool {} ends for lack of a device, and {} has some", short_name(pool.value), node.host);
  }
}

// --- Checks -----------------------------------------------------------------------------------------------------

/// The client is told that all present workers have these updates: those that the head counts on have.
void HeadProcess::check_applied(const wire::UpdateApplied& message) const {
  for (const scheduler::NodeStatus& node : machine_->scheduler().status().nodes) {
    for (const scheduler::SlotStatus& slot : node.slots) {
      const bool ready = slot.state == scheduler::SlotState::idle || slot.state == scheduler::SlotState::busy;
      if (slot.pool != message.pool || !ready) continue;
      const WorkerProcess* worker = cluster_.find_worker(slot.worker);
      if (worker && worker->alive() && worker->updates_applied() < message.number)
        world_.violation("update {} of pool {} counts as applied, but worker {} has only {}", message.number,
                         short_name(message.pool.value), name_of_worker(slot.worker), worker->updates_applied());
    }
  }
}

}  // namespace dc::sim

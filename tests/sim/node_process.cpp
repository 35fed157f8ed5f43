// See node_process.hpp.
#include "node_process.hpp"

#include <algorithm>
#include <utility>

namespace dc::sim {

NodeProcess::NodeProcess(World& world, Ledger& ledger, Network& network, const Plan& plan, NodePlan facts)
    : Peer(world, network, facts.host), ledger_(ledger), plan_(plan), facts_(std::move(facts)), slots_(facts_.slots) {}

void NodeProcess::start() {
  id_ = world_.chance.id();
  node::NodeFacts facts{facts_.host, facts_.slots, programs_};
  if (plan_.result_window > 0) facts.results = {plan_.result_window / 8, 2 * plan_.result_window, 20};
  machine_.emplace(std::move(facts));
  Chance& chance = world_.chance;
  stop_ = node::StopMachine(chance.percent(15) ? std::optional(chance.skewed(100ms, 20s)) : std::nullopt);
  deaths_ = {};
  effects_ = {};
  drain_timeout_ = chance.between(100ms, 10s);
  devices_watched_ = chance.percent(40);
  flush_scheduled_ = reported_ = head_said_goodbye_ = leaves_with_head_ = stops_soon_ = false;
  armed_for_ = never;
  world_.note(name(), "starts as node {}", short_name(id_));
  start_dialling({wire::Role::node, id_, facts_.host});
}

void NodeProcess::crash() {
  if (!alive()) return;
  world_.note(name(), "is switched off with {} workers", workers_.size());
  end(world_.chance.percent(50));
}

void NodeProcess::end(bool in_order) {
  ledger_.excuse_host(name());
  end_dialling(in_order);
  machine_.reset();
  workers_.clear();
  skips_.clear();
  places_.clear();
  stopped_with_us_.clear();
  to_head_.clear();
  to_workers_.clear();
}

void NodeProcess::signal(int number) {
  if (!alive()) return;
  world_.note(name(), "gets signal {}", number);
  run([this, number] {
    take(stop_.signalled(number, world_.now()));
    if (alive()) schedule_flush();
  });
}

void NodeProcess::stop_service() {
  if (!alive()) return;
  Chance& chance = world_.chance;
  const auto later = [&] { return chance.skewed(1us, Duration(limits::terminated_with_us) / 4); };
  world_.note(name(), "is stopped with all its workers");
  stops_soon_ = true;
  for (auto& [id, worker] : workers_) {
    if (!worker->alive()) continue;
    stopped_with_us_.insert(id);
    happens_after(later(), [this, id = id] {
      if (const auto found = workers_.find(id); found != workers_.end()) found->second->signal(SIGTERM);
    });
  }
  happens_after(later(), [this] { signal(SIGTERM); });
}

void NodeProcess::take(node::StopMachine::Step step) {
  const TimePoint now = world_.now();
  switch (step) {
    case node::StopMachine::Step::nothing:
      return;
    case node::StopMachine::Step::leave_in_order:
      return machine_->leave("asked to", now + drain_timeout_, effects_.back());
    case node::StopMachine::Step::leave_with_head:
      world_.note(name(), "leaves with its head");
      leaves_with_head_ = true;
      return machine_->leave("its head has ended", now, effects_.back());
    case node::StopMachine::Step::leave:
      return machine_->leave("asked to", now, effects_.back());
    case node::StopMachine::Step::end_at_once:
      world_.note(name(), "ends at once");
      end(true);
  }
}

void NodeProcess::kill_worker() {
  std::vector<WorkerProcess*> living;
  for (auto& [id, worker] : workers_) {
    if (worker->alive()) living.push_back(worker.get());
  }
  if (living.empty()) return;
  WorkerProcess* worker = living[world_.chance.below(living.size())];
  kill(*worker);
}

void NodeProcess::kill(WorkerProcess& worker) {
  world_.note(name(), "kills {}", name_of_worker(worker.facts.id));
  if (!worker.ready()) ++ledger_.pool(worker.facts.pool).constructors_failed;
  worker.signal(SIGKILL);
}

void NodeProcess::change_slot() {
  if (!alive()) return;
  Chance& chance = world_.chance;
  SlotInfo& slot = slots_[chance.below(slots_.size())];
  const SlotInfo& sound = facts_.slots.at(slot.slot);
  const bool was_well = slot == sound;
  slot = sound;
  if (was_well && chance.percent(50)) slot.trouble = chance.percent(50) ? "lost" : "held by python (pid 17)";
  if (was_well && (slot.trouble.empty() || chance.percent(30))) slot.gpu_memory_free_mib /= 1 + chance.below(4);
  world_.note(name(), "slot {} has {} MiB free, trouble: {}", slot.slot, slot.gpu_memory_free_mib, slot.trouble);
  to_report_.insert(slot.slot);
  run([this] { schedule_flush(); });
  if (slot.trouble.empty() || !chance.percent(50)) return;
  for (auto& [id, worker] : workers_) {
    const auto& place = places_[id];
    if (worker->alive() && std::find(place.begin(), place.end(), slot.slot) != place.end()) kill(*worker);
  }
}

void NodeProcess::end_trouble() {
  slots_ = facts_.slots;
  for (const SlotInfo& slot : slots_) to_report_.insert(slot.slot);
  if (alive()) run([this] { schedule_flush(); });
}

/// Behind NodeState, which tells the latest itself.
void NodeProcess::report_slots() {
  if (!connected() || !reported_ || to_report_.empty()) return;
  wire::SlotsChanged changed;
  for (const std::uint32_t slot : std::exchange(to_report_, {})) changed.slots.push_back(slots_.at(slot));
  to_head_.push_back({std::move(changed)});
}

wire::NodeState NodeProcess::state() const {
  node::NodeMachine copy = *machine_;
  node::Effects effects;
  copy.session_opened(world_.now(), effects);
  return std::get<wire::NodeState>(*std::get<node::ToHead>(effects.front()).message);
}

// --- The session ------------------------------------------------------------------------------------------------

void NodeProcess::session_opened() {
  reported_ = head_said_goodbye_ = false;
  stop_.head_is_here();
  machine_->session_opened(world_.now(), effects_.back());
  schedule_flush();
}

void NodeProcess::heard(std::vector<wire::Message>&& messages) {
  for (const wire::Message& message : messages) {
    head_said_goodbye_ |= std::holds_alternative<wire::Goodbye>(message);
    const auto* start = std::get_if<wire::StartWorker>(&message);
    if (!start) continue;
    skips_[start->worker] = start->skip_updates;
    auto& place = places_[start->worker] = start->more_slots;
    place.insert(place.begin(), start->slot);
  }
  machine_->on_messages(std::move(messages), world_.now(), effects_.back());
  schedule_flush();
}

void NodeProcess::session_closed() {
  reported_ = false;
  machine_->session_closed();
  effects_.session_closed();
  stop_.head_is_gone(head_said_goodbye_, world_.now());
  schedule_flush();
}

// --- Turns ------------------------------------------------------------------------------------------------------

void NodeProcess::schedule_flush() {
  if (std::exchange(flush_scheduled_, true)) return;
  run_after(world_.chance.skewed(1us, plan_.turn_max), [this] { flush(); });
}

void NodeProcess::flush() {
  flush_scheduled_ = false;
  take(stop_.look(world_.now()));
  bury(deaths_.due(world_.now()));
  machine_->flush(world_.now(), effects_.back());
  effects_.carry_out([this](auto& body) {
    if (alive()) this->carry_out(body);
  });
  if (!alive()) return;
  report_slots();
  send_gathered();
  arm(std::min({machine_->next_deadline(), deaths_.next_deadline(), stop_.next_deadline()}));
}

void NodeProcess::arm(TimePoint when) {
  if (when == never || when >= armed_for_) return;
  armed_for_ = when;
  run_at(std::max(when, world_.now() + 1us), [this, when] {
    if (armed_for_ != when) return;
    armed_for_ = never;
    schedule_flush();
  });
}

void NodeProcess::send_gathered() {
  send(std::exchange(to_head_, {}));
  for (auto& [id, packet] : std::exchange(to_workers_, {})) {
    if (const auto worker = workers_.find(id); worker != workers_.end()) worker->second->receive(std::move(packet));
  }
}

void NodeProcess::carry_out(node::ToHead& effect) {
  if (!connected()) return;
  if (auto* state = std::get_if<wire::NodeState>(&*effect.message)) {
    state->slots = slots_;
    for (WorkerReport& worker : state->workers) {
      const auto& place = places_.at(worker.worker);
      worker.more_slots.assign(place.begin() + 1, place.end());
    }
    to_report_.clear();
    reported_ = true;
  }
  to_head_.push_back({std::move(*effect.message), effect.lane});
}

void NodeProcess::carry_out(node::ToWorker& effect) {
  if (workers_.contains(effect.worker)) to_workers_[effect.worker].push_back(std::move(effect.message));
}

void NodeProcess::carry_out(node::SignalWorker& effect) {
  if (const auto worker = workers_.find(effect.worker); worker != workers_.end()) worker->second->signal(effect.signal);
}

void NodeProcess::carry_out(node::StoreProgram& effect) {
  run_after(world_.chance.skewed(100us, 200ms), [this, hash = effect.hash] {
    programs_.insert(hash);
    machine_->program_stored(hash, "", world_.now(), effects_.back());
    schedule_flush();
  });
}

/// A file of an earlier life may be damaged.
void NodeProcess::carry_out(node::CheckProgram& effect) {
  run_after(world_.chance.skewed(100us, 200ms), [this, hash = effect.hash] {
    if (world_.chance.percent(plan_.faults.program_lost)) programs_.erase(hash);
    machine_->program_checked(hash, programs_.contains(hash), world_.now(), effects_.back());
    schedule_flush();
  });
}

/// Or removed behind our back.
void NodeProcess::carry_out(node::UseProgram& effect) {
  run_after(world_.chance.skewed(10us, 20ms), [this, hash = effect.hash, id = effect.worker] {
    if (world_.chance.percent(plan_.faults.program_lost)) {
      programs_.erase(hash);
      machine_->program_missing(id, world_.now(), effects_.back());
    } else {
      machine_->program_usable(id, world_.now(), effects_.back());
    }
    schedule_flush();
  });
}

void NodeProcess::carry_out(node::RefuseHead& effect) {
  world_.violation("{} refuses what the head says: {}", name(), effect.what);
}

void NodeProcess::carry_out(node::Left&) {
  world_.note(name(), "has left");
  to_head_.push_back({wire::Goodbye{"the node is leaving"}});
  send(std::exchange(to_head_, {}));
  end(true);
  if (!leaves_with_head_) return;  // else who has stopped it starts it again
  world_.after(world_.chance.skewed(100ms, 10s), [this] { alive() ? void() : start(); });
}

// --- Workers ----------------------------------------------------------------------------------------------------

WorkerConduct NodeProcess::conduct_for(const PoolPlan& pool, std::uint32_t slot) {
  Chance& chance = world_.chance;
  const bool faulty = world_.now() < TimePoint(std::chrono::hours(1)) + plan_.faults_end;
  WorkerConduct conduct;
  conduct.construction = chance.skewed(1ms, std::max<Duration>(2ms, pool.construction));
  conduct.update = chance.skewed(10us, std::max<Duration>(20us, pool.update_time));
  conduct.update_raises = chance.percent(pool.update_raises);
  conduct.ignores_sigterm = chance.percent(plan_.faults.stubborn_workers);
  conduct.hangs_up = faulty && chance.percent(plan_.faults.workers_hang_up);
  const bool bad_slot = (std::hash<std::string>{}(facts_.host) + slot * 7) % 100 < pool.constructor.bad_slots;
  conduct.constructor_raises = bad_slot || (faulty && chance.percent(pool.constructor.raises));
  conduct.constructor_dies = faulty && chance.percent(pool.constructor.dies);
  conduct.constructor_hangs = faulty && chance.percent(pool.constructor.hangs);
  return conduct;
}

void NodeProcess::carry_out(node::SpawnWorker& effect) {
  schedule_flush();  // the machine has new deadlines
  const WorkerId id = effect.worker;
  const auto [pool, plan] = pool_of_label(effect.options->label);
  if (world_.chance.percent(plan_.faults.spawn_fails)) {
    ++ledger_.pool(pool).constructors_failed;
    return machine_->worker_exited(id, {{}, {}, {}, "no more processes"}, effects_.back());
  }
  const UpdateNumber base = skips_[id];
  auto conduct = conduct_for(plan_.pools.at(plan), effect.slot);
  if (conduct.constructor_raises || conduct.constructor_dies || conduct.constructor_hangs)
    ++ledger_.pool(pool).constructors_failed;
  WorkerProcess::Signs signs{[this, id] { worker_readable(id); }, [this, id] { worker_hung_up(id); },
                             [this, id] { worker_ended(id); }};
  workers_[id] = std::make_unique<WorkerProcess>(world_, ledger_, WorkerProcess::Facts{id, pool, name(), base}, conduct,
                                                 std::move(signs));
  machine_->worker_spawned(id, ++pids_, workers_[id]->claims(), world_.now(), effects_.back());
}

void NodeProcess::worker_readable(WorkerId id) {
  run_after(world_.chance.skewed(5us, 200us), [this, id] {
    const auto worker = workers_.find(id);
    if (worker == workers_.end()) return;
    auto messages = worker->second->take_sent();
    if (messages.empty()) return;
    machine_->on_worker_messages(id, std::move(messages), world_.now(), effects_.back());
    schedule_flush();
  });
}

void NodeProcess::worker_hung_up(WorkerId id) {
  run_after(world_.chance.skewed(20us, 2ms), [this, id] {
    machine_->worker_hung_up(id, world_.now());
    schedule_flush();
  });
}

/// Results that were sent before the end count.
void NodeProcess::worker_ended(WorkerId id) {
  run_after(world_.chance.skewed(20us, 2ms), [this, id] {
    const auto worker = workers_.find(id);
    if (auto messages = worker->second->take_sent(); !messages.empty())
      machine_->on_worker_messages(id, std::move(messages), world_.now(), effects_.back());
    node::ProcessEnd end = worker->second->end();
    end.at = world_.now();
    const bool expected = stop_.stopping() || machine_->ends(id);
    if (deaths_.ended({id, end}, {devices_watched_, expected})) bury({node::DeathBook::Dead{id, end}});
    if (devices_watched_) {  // a driver may hang
      run_after(world_.chance.skewed(1ms, 2 * Duration(limits::look_at_death_patience)),
                [this, taken_at = world_.now()] {
                  bury(deaths_.looked_at(taken_at));
                  schedule_flush();
                });
    }
    schedule_flush();
  });
}

void NodeProcess::bury(const std::vector<node::DeathBook::Dead>& all) {
  for (const node::DeathBook::Dead& dead : all) {
    if (stopped_with_us_.erase(dead.worker) > 0 && dead.end.signal == SIGTERM && !stop_.stopping() &&
        !machine_->ends(dead.worker))
      world_.violation("{} reports that {} died, and is told to end with it", name(), name_of_worker(dead.worker));
    machine_->worker_exited(dead.worker, dead.end, effects_.back());
    workers_.erase(dead.worker);
  }
}

}  // namespace dc::sim

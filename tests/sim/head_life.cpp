// How a head process comes to its store, speaks, holds back, goes on and ends: what head_service.cpp and take_store.cpp
// do around their machines.
#include <charconv>
#include <utility>

#include "head_process.hpp"

namespace dc::sim {

HeadProcess::HeadProcess(World& world, Ledger& ledger, const Plan& plan, Cluster cluster, std::size_t place)
    : Endpoint(world, place == 0 ? "head" : fmt::format("head{}", place)),
      ledger_(ledger),
      plan_(plan),
      cluster_(std::move(cluster)),
      place_(place),
      journal_(world, ledger, plan, cluster_.journal, place) {}

void HeadProcess::start(bool standby) {
  begin_life();
  ended_ = door_open_ = flush_scheduled_ = false;
  armed_for_ = never;
  candidate_.emplace(standby);
  if (plan_.standby) world_.note(name(), "starts{}", standby ? " as a standby" : "");
  journal_.begin({[this](Duration delay, World::Action action) { run_after(delay, std::move(action)); },
                  [this](Duration delay, World::Action action) { happens_after(delay, std::move(action)); },
                  [this](World::Action action) { run(std::move(action)); }, [this] { journal_moved(); }});
  try_store(world_.now());
}

/// The answer to a question of then.
void HeadProcess::try_store(TimePoint asked) {
  SimStore& store = journal_.store();
  store.asked_at(asked);
  const bool away = store.away();
  const Result<std::uint64_t> term = store.acquire({name(), 1});
  if (term) {
    candidate_->taken(store.description());
  } else if (candidate_->refused(term.error(), store.may_be_gone()) == head::CandidateMachine::Next::give_up) {
    world_.note(name(), "gives up: {}", term.error().message);
    return run_after(1us, [this] {
      ended_ = true;
      stop(false);
    });
  }
  if (const std::string note = candidate_->take_note(); !note.empty()) world_.note(name(), "{}", note);
  if (term) return has_store(store.leased() ? term.value() : 0);
  run_after(away ? Duration(limits::store_call_timeout) : limits::standby_look_interval, [this] {
    run_after(world_.chance.skewed(10us, 20ms), [this, asked = world_.now()] { try_store(asked); });
  });
}

void HeadProcess::has_store(std::uint64_t term) {
  ++cluster_.heads.lives;
  started_at_ = world_.now();
  const auto epoch = static_cast<std::uint32_t>(world_.chance.id());
  world_.note(name(), "is the head with epoch {:x} and term {}", epoch & 0xfff, term);
  head::HeadFacts facts{epoch, 1, 8899, "head", "head", true};
  // Named pools are called by the number that the ledger knows them by.
  facts.log_of_name = [](std::string_view name) -> store::LogId {
    store::LogId log = 0;
    std::from_chars(name.data(), name.data() + name.size(), log, 16);
    return log;
  };
  if (plan_.result_window > 0) facts.results = {plan_.result_window, plan_.result_window / 8, 2 * plan_.result_window};
  facts.bounds.bytes_max = plan_.pool_bytes_max;
  facts.bounds.dead_entries_max = plan_.dead_entries_max;
  headship_.emplace(term);
  machine_.emplace(std::move(facts), world_.now());
  away_.clear();
  slots_.clear();
  back_.clear();
  opened_.clear();
  closed_.clear();
  wasted_.clear();
  effects_.clear();
  broken_off_.clear();
  journal_.keep();
  find_pools();
  const Duration silence = journal_.store().silence_left();
  if (silence == Duration::zero()) return open_door();
  run_after(silence, [this] { open_door(); });
}

/// The named pools that an earlier head kept: they are read when the door is open.
void HeadProcess::find_pools() {
  holders_.clear();
  left_.clear();
  journal_.start();
  ledger_.head_restarted();
  reads_slowly_ = world_.chance.percent(30);
  std::vector<store::LogId> logs;
  for (const auto& [log, entries] : cluster_.journal.logs()) logs.push_back(log);
  machine_->await_pools(logs, {}, world_.now(), effects_);
}

void HeadProcess::carry_out(head::JournalRead& effect, std::map<SessionId, std::vector<wire::Outgoing>>&) {
  run_after(world_.chance.skewed(1us, reads_slowly_ ? Duration(8s) : 1ms), [this, log = effect.log] { has_read(log); });
}

void HeadProcess::has_read(store::LogId log) {
  if (headship_->over()) return;
  if (!is_head()) return run_after(limits::store_hold_look_interval, [this, log] { has_read(log); });
  world_.note(name(), "has pool {} from its journal", short_name(log));
  machine_->pool_read(log, cluster_.journal.read(log), "", world_.now(), effects_);
  schedule_flush();
}

void HeadProcess::open_door() {
  world_.note(name(), "opens its door");
  door_open_ = true;
  machine_->door_opened(world_.now());
  for (const auto& [host, reports] : cluster_.heads.reports) excuse_later(host, limits::recovery_hold, true);
  schedule_flush();
  look_at_hold();
}

void HeadProcess::stop(bool in_order) {
  if (!alive()) return;
  world_.note(name(), "{}", ended_ ? "ends" : in_order ? "shuts down" : "crashes");
  if (headship_) (void)headship_->end();
  end_life();
  journal_.end(in_order || ended_);
  for (auto& [id, connection] : std::exchange(sessions_, {})) {
    if (in_order) connection->send(Side::head, {{wire::Goodbye{"the head is shutting down"}}});
    connection->close(Side::head, in_order || world_.chance.percent(50));
  }
  door_open_ = false;
  machine_.reset();
  headship_.reset();
}

// --- Is this still the head? ------------------------------------------------------------------------------------

bool HeadProcess::is_head() {
  head::HeadshipEffects todo;
  const bool is = headship_->look(journal_.hold(), world_.now(), todo);
  if (is) journal_.store().check_alone();
  carry_out(todo);
  return is;
}

void HeadProcess::look_at_hold() {
  if (headship_->term() == 0) return;
  journal_.store().moved(store::Part::loop);
  (void)is_head();
  run_after(limits::store_hold_look_interval, [this] { look_at_hold(); });
}

void HeadProcess::journal_moved() {
  if (!door_open_ || headship_->over()) return;
  if (journal_.hold() == store::Hold::lost) return (void)is_head();
  if (journal_.raised_term() > headship_->term()) headship_->term_raised(journal_.raised_term());
  if (!is_head()) return;
  take_done();
}

void HeadProcess::take_done() {
  machine_->journaled(journal_.take_done(), world_.now(), effects_);
  schedule_flush();
}

void HeadProcess::carry_out(head::HeadshipEffects& todo) {
  for (head::HeadshipEffect& effect : todo) std::visit([this](auto& body) { carry_out(body); }, effect);
}

void HeadProcess::carry_out(const head::BreakOff& effect) {
  if (effect.begins) world_.note(name(), "is not certain to be the head, and breaks off {} sessions", sessions_.size());
  for (auto& [id, connection] : std::exchange(sessions_, {})) {
    broken_off_[id] = connection->who;
    connection->close(Side::head, world_.chance.percent(50));
  }
}

void HeadProcess::carry_out(const head::GoOn& effect) {
  world_.note(name(), "goes on as the head");
  take_done();
  run_at(effect.look_at, [this] { (void)is_head(); });
}

void HeadProcess::carry_out(const head::LoseSession& effect) {
  const auto broken = broken_off_.find(effect.session);
  if (broken != broken_off_.end() && broken->second.role == wire::Role::node)
    excuse_later(broken->second.host, limits::node_return_grace);
  broken_off_.erase(effect.session);
  machine_->session_closed(effect.session, world_.now(), effects_);
  schedule_flush();
}

void HeadProcess::carry_out(const head::StepDown&) {
  world_.note(name(), "steps down");
  run_after(1us, [this] {
    ended_ = true;
    stop(false);
  });
}

}  // namespace dc::sim

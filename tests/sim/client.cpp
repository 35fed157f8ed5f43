// See client.hpp.
#include "client.hpp"

#include <algorithm>

namespace dc::sim {

ErrorInfo closed_by_user() {
  ErrorInfo error;
  error.kind = ErrorKind::pool_closed;
  error.message = "the pool is closed";
  return error;
}

Client::Client(World& world, Ledger& ledger, Network& network, const Plan& plan, std::size_t number, std::string name)
    : Peer(world, network, std::move(name)), ledger_(ledger), plan_(plan.pools.at(number)), number_(number) {}

// --- The thread around the machines -----------------------------------------------------------------------------

void Client::begin(client::ClientMachine::Config config, PeerIdentity identity) {
  machine_.emplace(std::move(config));
  leaving_ = client::LeavingMachine();
  armed_for_ = never;
  start_dialling(std::move(identity));
  if (plan_.wants_workers > 0) machine_->want_workers(plan_.wants_workers);
}

void Client::session_opened() {
  machine_->session_opened(limits::payload_bytes_max_default, world_.now());
  flush();
}

void Client::heard(std::vector<wire::Message>&& messages) {
  for (wire::Message& message : messages) machine_->receive(std::move(message));
  flush();
}

void Client::session_closed() {
  machine_->session_closed("the connection broke");
  flush();
}

void Client::flush() {
  client::Effects effects = machine_->take_effects(world_.now());
  send(std::move(effects.sends));
  take(effects);
  look_at_leaving();
  arm(std::min(machine_->next_deadline(), leaving_.next_deadline()));
}

void Client::begin_leaving() {
  if (leaving_.leave()) machine_->leave();
  flush();
}

void Client::begin_closing() {
  switch (leaving_.close(close_timeout, world_.now())) {
    case client::LeavingMachine::Close::nothing:
      return;
    case client::LeavingMachine::Close::pool:
      machine_->close(closed_by_user());
      break;
    case client::LeavingMachine::Close::abandon:
      machine_->abandon(closed_by_user());
  }
  flush();
}

void Client::look_at_leaving() {
  switch (leaving_.look({connected(), machine_->closed_at_head(), machine_->unsettled()}, world_.now())) {
    case client::LeavingMachine::Step::wait:
    case client::LeavingMachine::Step::end:
      return;
    case client::LeavingMachine::Step::abandon:
      abandons();
      machine_->abandon(closed_by_user());
      return flush();
    case client::LeavingMachine::Step::say_goodbye:
      send({{wire::Goodbye{leaving_.goodbye()}}});
      run_after(0us, [this] { ends(); });
  }
}

void Client::arm(TimePoint when) {
  if (when == never || when >= armed_for_) return;
  armed_for_ = when;
  run_at(std::max(when, world_.now() + 1us), [this, when] {
    if (armed_for_ != when) return;
    armed_for_ = never;
    flush();
  });
}

// --- Its jobs ---------------------------------------------------------------------------------------------------

JobRecord& Client::new_record(PoolId pool) {
  JobRecord& record = ledger_.pool(pool).jobs.emplace_back();
  record.conduct = draw_conduct();
  record.duration = world_.chance.skewed(plan_.job_min, plan_.job_max);
  record.result_bytes = world_.chance.percent(plan_.large_share) ? plan_.result_bytes : 0;
  return record;
}

Conduct Client::draw_conduct() {
  const std::uint64_t draw = world_.chance.below(100);
  std::uint64_t below = plan_.raises;
  if (draw < below) return Conduct::raises;
  if (draw < (below += plan_.poison)) return Conduct::poison;
  if (draw < (below += plan_.ends_worker)) return Conduct::ends_worker;
  if (draw < (below += plan_.hangs)) return Conduct::hangs;
  return Conduct::value;
}

Payload Client::payload(const std::string& text, std::size_t bytes) {
  std::string whole = text;
  if (bytes > text.size()) whole += " " + std::string(bytes - text.size(), '.');
  return Payload(std::move(whole));
}

}  // namespace dc::sim

// See client_process.hpp.
#include "client_process.hpp"

#include <algorithm>

namespace dc::sim {

ClientProcess::ClientProcess(World& world, Ledger& ledger, Network& network, const Plan& plan, std::size_t number)
    : Client(world, ledger, network, plan, number, fmt::format("client{}", number)) {}

void ClientProcess::start() {
  pool_ = PoolId{world_.chance.id()};
  client::ClientMachine::Config config;
  config.pool = pool_;
  config.options = plan_.options;
  config.options.label = label_of(pool_, number_);
  config.spec = payload("spec", plan_.spec_bytes);
  config.head_name = "head";
  if (!config.options.program_hash.empty()) config.program = payload("program", plan_.spec_bytes);
  ledger_.open(pool_, config.options);
  world_.note(name(), "starts with pool {}", short_name(pool_.value));
  begin(std::move(config), {wire::Role::client, world_.chance.id(), name()});
  wake_user(0us);
}

void ClientProcess::crash() {
  if (!alive() || leaving_.closing()) return;
  world_.note(name(), "crashes");
  ledger_.pool(pool_).gone = true;
  over_ = true;
  end_dialling(world_.chance.percent(50));
}

void ClientProcess::close() {
  if (!alive() || leaving_.closing()) return;
  world_.note(name(), "closes its pool");
  ledger_.pool(pool_).closed = true;
  begin_closing();
}

void ClientProcess::ends() {
  world_.note(name(), "ends");
  over_ = true;
  end_dialling(true);
}

// --- The machine ------------------------------------------------------------------------------------------------

void ClientProcess::session_opened() {
  // So long away: the pool was perhaps closed, and is opened again with nothing done.
  if (world_.now() - last_session_ > limits::client_return_grace - 8s) ledger_.excuse_pool(pool_);
  Client::session_opened();
}

void ClientProcess::session_closed() {
  last_session_ = world_.now();
  Client::session_closed();
}

void ClientProcess::take(client::Effects& effects) {
  for (const client::Report& report : effects.reports) take(report);
  for (const client::Delivery& delivery : effects.deliveries) {
    for (const client::Completed& completed : delivery.completed) {
      world_.note(name(), "gets job {}: {}", completed.sequence,
                  completed.outcome.error ? completed.outcome.error->message : "a value");
      ledger_.outcome(pool_, delivery.stream, completed.sequence, completed.outcome);
      arrived_.push_back(completed.sequence);
    }
  }
  if (!arrived_.empty()) consume();
}

void ClientProcess::take(const client::Report& report) {
  if (const auto* over = std::get_if<client::PoolIsOver>(&report)) {
    world_.note(name(), "is told that its pool is over: {}", over->error.message);
    PoolRecord& record = ledger_.pool(pool_);
    const ErrorKind kind = over->error.kind;
    if (kind == ErrorKind::worker_init_error || kind == ErrorKind::no_device) record.failed = true;
    if (!record.failed && !record.closed)
      world_.violation("pool {} ended without reason: {}", short_name(pool_.value), over->error.message);
    ended_ = true;
    wake_user(10ms);
  } else if (const auto* done = std::get_if<client::UpdatesDone>(&report)) {
    if (done->number > updates_) world_.violation("update {} is applied and was never sent", done->number);
  }
}

// --- The user ---------------------------------------------------------------------------------------------------

void ClientProcess::wake_user(Duration delay) {
  if (std::exchange(user_awake_, true)) return;
  run_after(delay + world_.chance.skewed(10us, 20ms), [this] {
    user_awake_ = false;
    user_acts();
  });
}

void ClientProcess::user_acts() {
  if (leaving_.closing()) return;
  if (ended_) return close();
  if (submitted_ < plan_.jobs) {
    submit_some();
    if (updates_ < plan_.updates && world_.chance.percent(30)) send_update();
    if (plan_.drops_a_stream && world_.chance.percent(5)) maybe_drop_stream();
    if (plan_.closes_early && world_.chance.percent(3)) return close();
    flush();
    const bool full = plan_.window > 0 && submitted_ - consumed_ >= plan_.window;
    if (!full) wake_user(plan_.thinking);
    return;
  }
  if (updates_ < plan_.updates) {
    send_update();
    flush();
  }
  if (all_consumed()) close();
}

bool ClientProcess::all_consumed() const { return submitted_ == plan_.jobs && consumed_ == submitted_; }

void ClientProcess::submit_some() {
  const std::size_t room =
      plan_.window > 0 ? plan_.window - std::min(plan_.window, submitted_ - consumed_) : plan_.jobs;
  const std::size_t count = std::min({room, plan_.jobs - submitted_, world_.chance.between(1, plan_.jobs / 4 + 1)});
  std::vector<client::NewJob> jobs;
  for (std::size_t i = 0; i < count; ++i) jobs.push_back(new_job());
  if (jobs.empty()) return;
  world_.note(name(), "submits {} jobs after update {}", jobs.size(), updates_);
  machine_->submit(std::move(jobs));
}

client::NewJob ClientProcess::new_job() {
  const JobSequence sequence = ++submitted_;
  JobRecord& record = new_record(pool_);
  record.after_update = updates_;
  record.stream = 1 + sequence * plan_.waves / (plan_.jobs + 1);
  return {record.stream,
          {sequence, updates_,
           payload(fmt::format("{}", sequence), world_.chance.percent(plan_.large_share) ? plan_.arguments_bytes : 0)}};
}

/// The consumer takes one outcome after the other.
void ClientProcess::consume() {
  if (plan_.consuming == 0s) {
    consumed_ += arrived_.size();
    arrived_.clear();
    return wake_user(0us);
  }
  if (std::exchange(consuming_, true)) return;
  run_after(plan_.consuming, [this] {
    consuming_ = false;
    arrived_.pop_front();
    ++consumed_;
    wake_user(0us);
    if (!arrived_.empty()) consume();
  });
}

void ClientProcess::send_update() {
  ++updates_;
  ledger_.pool(pool_).updates = updates_;
  world_.note(name(), "sends update {}", updates_);
  machine_->update(updates_, payload(fmt::format("u{}", updates_),
                                     world_.chance.percent(plan_.large_share) ? plan_.update_bytes : 0));
}

/// Nobody waits for one of the maps any more.
void ClientProcess::maybe_drop_stream() {
  const std::uint64_t stream = world_.chance.between(1, plan_.waves);
  std::size_t dropped = 0;
  for (JobRecord& job : ledger_.pool(pool_).jobs) {
    if (job.stream != stream || job.delivered > 0 || std::exchange(job.dropped, true)) continue;
    ++dropped;
  }
  if (dropped == 0) return;
  world_.note(name(), "drops {} jobs of stream {}", dropped, stream);
  consumed_ += dropped;
  machine_->drop_stream(stream);
  wake_user(0us);
}

}  // namespace dc::sim

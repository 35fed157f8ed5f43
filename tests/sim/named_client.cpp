// See named_client.hpp.
#include "named_client.hpp"

#include <algorithm>
#include <utility>

namespace dc::sim {
namespace {

constexpr client::StreamId streams = 3;

/// The last program comes when nothing of the others is on its way any more: what asked for a pool of this name and was
/// delayed would open it again after it has been closed for good.
constexpr auto silence_before_last = 3s;

}  // namespace

NamedStory::NamedStory(World& world, Ledger& ledger, const PoolPlan& plan, std::size_t plan_number)
    : pool{world.chance.id()},
      number(plan_number),
      options(plan.options),
      jobs_left(plan.jobs),
      updates_left(plan.updates) {
  options.label = label_of(pool, number);
  ledger.open_named(pool, options);
}

NamedClient::NamedClient(World& world, Ledger& ledger, Network& network, const Plan& plan,
                         std::shared_ptr<NamedStory> story, std::size_t place)
    : Client(world, ledger, network, plan, story->number, fmt::format("client{}{:c}", story->number, 'a' + place)),
      story_(std::move(story)),
      place_(place) {}

// --- Programs come and go ---------------------------------------------------------------------------------------

void NamedClient::start() {
  if (alive() || story_->closed || (story_->ending && place_ > 0)) return;
  if (story_->ending && world_.now() < story_->ended + silence_before_last) {
    return world_.after(story_->ended + silence_before_last - world_.now(), [this] { start(); });
  }
  now_ = {};
  client::ClientMachine::Config config = draw_program();
  now_.id = ClientId{world_.chance.id()};
  begin(std::move(config), {wire::Role::client, now_.id.value, name()});
  if (!now_.program.last) run_after(world_.chance.skewed(1ms, 15s), [this] { finish(); });
}

client::ClientMachine::Config NamedClient::draw_program() {
  Chance& chance = world_.chance;
  Program& program = now_.program;
  program.number = ++story_->programs;
  program.last = story_->ending;
  program.reads = program.last || chance.percent(60);
  program.in_order = chance.percent(30);
  program.submits = program.last         ? story_->jobs_left
                    : chance.percent(20) ? 0
                                         : std::min(story_->jobs_left, chance.between(1, plan_.jobs));
  if (chance.percent(25)) program.end = End::crashes;
  if (plan_.closes_early && chance.percent(15)) program.end = End::closes;
  if (chance.percent(50)) program.acknowledges_after = chance.skewed(100us, 2s);
  if (chance.percent(15)) program.stops_waiting_after = chance.skewed(1ms, 5s);
  client::ClientMachine::Config config;
  config.pool = story_->pool;
  config.name = fmt::format("{:016x}", story_->pool.value);
  config.options = story_->options;
  config.spec = payload("spec", plan_.spec_bytes);
  config.head_name = "head";
  config.attach_only = !program.last && program.number > 1 && chance.percent(30);
  config.steal = program.last || chance.percent(20);
  if (!config.options.program_hash.empty()) config.program = payload("program", plan_.spec_bytes);
  world_.note(name(), "starts program {} with pool {}{}", program.number, short_name(story_->pool.value),
              program.last ? ", the last one" : "");
  return config;
}

void NamedClient::faults_are_over() {
  story_->ending = true;
  if (alive() && !now_.program.last) leave();
}

/// The program's time is over.
void NamedClient::finish() {
  if (leaving_.leaving() || leaving_.closing()) return;
  if (now_.program.end == End::crashes) return crash();
  now_.program.end == End::closes&& now_.open ? close() : leave();
}

void NamedClient::crash() {
  if (!alive() || now_.program.last) return;
  world_.note(name(), "crashes");
  end_process(world_.chance.percent(50));
}

void NamedClient::leave() {
  if (leaving_.leaving() || leaving_.closing()) return;
  world_.note(name(), "leaves");
  if (now_.open && !now_.ended) {
    now_.left_at = world_.now();
    now_.taken = now_.unacknowledged;
    for (const JobSequence sequence : now_.arrived) now_.taken.erase(sequence);
  }
  machine_->consumed(std::exchange(now_.done, {}));
  if (now_.program.stops_waiting_after > 0s) {
    run_after(now_.program.stops_waiting_after, [this] {
      world_.note(name(), "does not wait any more");
      begin_closing();
    });
  }
  begin_leaving();
}

void NamedClient::close() {
  if (leaving_.closing()) return;
  world_.note(name(), "closes the pool for good");
  if (now_.program.last) ledger_.nothing_lost(story_->pool);
  ledger_.closing(story_->pool);
  ++ledger_.pool(story_->pool).closing;
  begin_closing();
}

/// Who leaves waits for the head long enough.
void NamedClient::abandons() {
  world_.note(name(), "gives up");
  const TimePoint away_since = connected() ? never : std::max(connected_until(), now_.left_at);
  const bool away = away_since != never && world_.now() - away_since >= limits::leave_patience;
  const bool stuck = world_.now() - std::max(now_.settled_at, now_.left_at) >= limits::leave_progress_patience;
  if (!away && !stuck) world_.violation("{} gives up a pool that it leaves before its time", name());
  // A head that is there takes what it is sent, or refuses it.
  if (connected() && world_.now() - connected_since() >= limits::leave_progress_patience)
    world_.violation("{} gives up a pool that it leaves, and the head was there all the time", name());
}

/// Who has left in order knows of all that it has submitted whether the head has it, or was told that it does not know.
void NamedClient::check_settled() const {
  if (now_.left_at == never || now_.unsettled.empty() || now_.told_of_loss) return;
  world_.violation("{} has left, and it is not known whether the head has {} of its jobs, the first one of which is {}",
                   name(), now_.unsettled.size(), *now_.unsettled.begin());
}

void NamedClient::ends() {
  check_settled();
  const bool for_good = leaving_.closing() && !leaving_.leaving();
  if (now_.program.last && for_good && !now_.robbed && connected() && machine_->closed_at_head()) story_->closed = true;
  end_process(true);
}

/// Another program comes later.
void NamedClient::end_process(bool in_order) {
  world_.note(name(), "ends");
  if (leaving_.closing() && !leaving_.leaving()) --ledger_.pool(story_->pool).closing;
  end_dialling(in_order);
  story_->gone.insert(now_.id);
  story_->ended = world_.now();
  world_.after(world_.chance.skewed(1ms, 4s), [this] { start(); });
}

// --- The machine ------------------------------------------------------------------------------------------------

void NamedClient::heard(std::vector<wire::Message>&& messages) {
  for (const wire::Message& message : messages) hear(message);
  Client::heard(std::move(messages));
}

void NamedClient::take(client::Effects& effects) {
  const client::PoolIsOver* over = nullptr;
  for (const client::Report& report : effects.reports) {
    if (const auto* end = std::get_if<client::PoolIsOver>(&report)) over = end;
  }
  for (const client::Delivery& delivery : effects.deliveries) {
    for (const client::Completed& completed : delivery.completed) {
      // What the machine says of jobs at its end is no outcome of theirs.
      const bool local = over && completed.outcome.error == over->error;
      if (!local) take(delivery.stream, completed);
    }
  }
  for (const client::Report& report : effects.reports) take(report);
  if (!now_.arrived.empty()) consume();
  look_for_holder();
}

/// As the product does every quarter of a second; half of the programs run on another machine, and cannot see it.
void NamedClient::look_for_holder() {
  const client::Holder* holder = machine_->holder();
  if (!holder || now_.looking) return;
  if (story_->gone.contains(holder->client) && now_.program.number % 2 == 0) {
    world_.note(name(), "sees that the one before it is gone");
    machine_->holder_is_gone();
    return run_after(0us, [this] { flush(); });
  }
  now_.looking = true;
  run_after(250ms, [this] {
    now_.looking = false;
    look_for_holder();
  });
}

/// What the head says counts, whatever the machine makes of it.
void NamedClient::hear(const wire::Message& message) {
  if (const auto* accepted = std::get_if<wire::JobsAccepted>(&message)) {
    for (const JobSequence sequence : accepted->sequences) {
      if (now_.own.contains(sequence)) ledger_.accepted(story_->pool, now_.own.at(sequence));
      settled(sequence);
    }
  } else if (const auto* refused = std::get_if<wire::JobsRefused>(&message)) {
    for (const JobSequence sequence : refused->sequences) {
      if (!now_.own.contains(sequence)) continue;
      ledger_.refused(story_->pool, now_.own.at(sequence), refused->error);
      now_.waits_for.erase(sequence);
      settled(sequence);
    }
  } else if (const auto* update = std::get_if<wire::UpdateAccepted>(&message)) {
    if (update->number > std::exchange(now_.updates_settled, std::max(now_.updates_settled, update->number)))
      now_.settled_at = world_.now();
  } else if (const auto* kept = std::get_if<wire::AcksKept>(&message)) {
    for (const JobSequence sequence : kept->sequences) {
      // Those of its forerunner are perhaps among them.
      if (now_.unacknowledged.erase(sequence) > 0) ledger_.kept(story_->pool, job_of(sequence));
    }
    wake_user(0us);
  } else if (std::get_if<wire::PoolClosed>(&message)) {
    if (now_.robbed) return;  // what it had taken before is nobody's again
    for (const JobSequence sequence : now_.taken) ledger_.job(story_->pool, job_of(sequence)).taken_for_good = true;
  } else if (std::get_if<wire::PoolFailed>(&message)) {
    now_.robbed = true;
  } else if (const auto* known = std::get_if<wire::PoolKnown>(&message)) {
    now_.robbed |= !known->known;
  }
}

void NamedClient::settled(JobSequence sequence) {
  if (now_.unsettled.erase(sequence) > 0) now_.settled_at = world_.now();
}

JobId NamedClient::job_of(JobSequence sequence) const {
  const auto own = now_.own.find(sequence);
  return own != now_.own.end() ? own->second : now_.generation->numbers.at(sequence);
}

void NamedClient::take(client::StreamId stream, const client::Completed& completed) {
  const JobSequence sequence = completed.sequence;
  const JobId id = job_of(sequence);
  world_.note(name(), "gets job {} ({}): {}", sequence, id,
              completed.outcome.error ? completed.outcome.error->message : "a value");
  ledger_.named_outcome(story_->pool, now_.program.number, id, completed.outcome);
  const bool own = now_.own.contains(sequence);
  if (stream != (own ? ledger_.job(story_->pool, id).stream : client::earlier_stream))
    world_.violation("job {} of pool {} was delivered to stream {}", id, short_name(story_->pool.value), stream);
  if (!own) --now_.earlier_left;
  now_.waits_for.erase(sequence);
  settled(sequence);
  if (ledger_.job(story_->pool, id).refused) return wake_user(0us);
  now_.unacknowledged.insert(sequence);
  now_.arrived.push_back(sequence);
}

void NamedClient::take(const client::Report& report) {
  if (const auto* open = std::get_if<client::PoolIsOpen>(&report)) {
    world_.note(name(), "has the pool: {} jobs and {} updates, {} outcomes remain", open->last_sequence, open->updates,
                open->remaining);
    now_.open = true;
    now_.generation = ledger_.pool(story_->pool).generation;
    now_.last_job = open->last_sequence;
    now_.last_update = open->updates;
    now_.earlier_left = open->remaining;
    if (now_.program.reads) machine_->read_earlier(now_.program.in_order);
    wake_user(0us);
  } else if (const auto* over = std::get_if<client::PoolIsOver>(&report)) {
    is_over(over->error);
  } else if (const auto* done = std::get_if<client::UpdatesDone>(&report)) {
    if (done->number > now_.last_update) world_.violation("update {} is applied and was never sent", done->number);
  } else if (const auto* note = std::get_if<client::Note>(&report)) {
    now_.told_of_loss |= note->text.starts_with("it is not known whether ");
  }
}

void NamedClient::is_over(const ErrorInfo& error) {
  world_.note(name(), "is told that its pool is over: {}", error.message);
  const PoolRecord& record = ledger_.pool(story_->pool);
  const bool has_failed = error.kind == ErrorKind::worker_init_error || error.kind == ErrorKind::no_device;
  if (has_failed && !record.failed) world_.violation("a named pool ended without reason: {}", error.message);
  now_.ended = true;
  run_after(world_.chance.skewed(1us, 10ms), [this] { leave(); });
}

// --- The user ---------------------------------------------------------------------------------------------------

void NamedClient::wake_user(Duration delay) {
  if (std::exchange(now_.user_awake, true)) return;
  run_after(delay + world_.chance.skewed(10us, 20ms), [this] {
    now_.user_awake = false;
    user_acts();
  });
}

void NamedClient::user_acts() {
  if (!now_.open || leaving_.leaving() || leaving_.closing() || now_.ended) return;
  if (now_.program.submits > 0) {
    submit_some();
    if (story_->updates_left > 0 && world_.chance.percent(30)) send_update();
    if (plan_.drops_a_stream && !now_.program.last && world_.chance.percent(10)) drop_stream();
    flush();
    const bool full = plan_.window > 0 && now_.waits_for.size() + now_.arrived.size() >= plan_.window;
    if (!full) wake_user(plan_.thinking);
    return;
  }
  flush();
  if (!has_all()) return;
  if (!now_.program.last && world_.chance.percent(50)) return;  // stays for its time
  if (!now_.program.last) return leave();
  if (now_.unacknowledged.empty()) close();
}

bool NamedClient::has_all() const {
  return now_.waits_for.empty() && now_.arrived.empty() && (now_.earlier_left == 0 || !now_.program.reads);
}

void NamedClient::submit_some() {
  std::size_t count = std::min(now_.program.submits, world_.chance.between(1, plan_.jobs / 4 + 1));
  if (plan_.window > 0) {
    const std::size_t under_way = now_.waits_for.size() + now_.arrived.size();
    count = std::min(count, plan_.window - std::min(plan_.window, under_way));
  }
  count = std::min(count, story_->jobs_left);
  if (story_->jobs_left == 0) now_.program.submits = 0;  // others were quicker
  std::vector<client::NewJob> jobs;
  for (std::size_t i = 0; i < count; ++i) jobs.push_back(new_job());
  if (jobs.empty()) return;
  world_.note(name(), "submits {} jobs up to {} after update {}", jobs.size(), now_.last_job, now_.last_update);
  machine_->submit(std::move(jobs));
}

client::NewJob NamedClient::new_job() {
  --story_->jobs_left;
  --now_.program.submits;
  JobRecord& record = new_record(story_->pool);
  const JobId id = ledger_.pool(story_->pool).jobs.size();
  const JobSequence sequence = ++now_.last_job;
  record.after_update = now_.last_update;
  record.stream = world_.chance.between(1, streams);
  record.closing = ledger_.pool(story_->pool).closing > 0;
  if (world_.chance.percent(plan_.keyed)) record.key = fmt::format("k{}", world_.chance.below(1 + plan_.jobs / 3));
  now_.own[sequence] = id;
  now_.waits_for.insert(sequence);
  now_.unsettled.insert(sequence);
  const std::size_t bytes = world_.chance.percent(plan_.large_share) ? plan_.arguments_bytes : 0;
  return {record.stream, {sequence, now_.last_update, payload(fmt::format("{}", id), bytes), record.key}};
}

void NamedClient::send_update() {
  --story_->updates_left;
  ++now_.last_update;
  world_.note(name(), "sends update {}", now_.last_update);
  machine_->update(now_.last_update, payload(fmt::format("u{}", now_.last_update),
                                             world_.chance.percent(plan_.large_share) ? plan_.update_bytes : 0));
}

/// Nobody waits for one of the maps here any more; a later program gets its outcomes.
void NamedClient::drop_stream() {
  const client::StreamId stream = world_.chance.between(1, streams);
  world_.note(name(), "drops stream {}", stream);
  std::erase_if(now_.waits_for, [&](JobSequence sequence) {
    return ledger_.job(story_->pool, now_.own.at(sequence)).stream == stream;
  });
  machine_->drop_stream(stream);
}

/// The consumer takes one outcome after the other, and acknowledges some of them together.
void NamedClient::consume() {
  if (std::exchange(now_.consuming, true)) return;
  run_after(plan_.consuming, [this] {
    now_.consuming = false;
    const std::size_t count = plan_.consuming == 0s ? now_.arrived.size() : 1;
    now_.done.insert(now_.done.end(), now_.arrived.begin(), now_.arrived.begin() + static_cast<std::ptrdiff_t>(count));
    now_.arrived.erase(now_.arrived.begin(), now_.arrived.begin() + static_cast<std::ptrdiff_t>(count));
    if (!std::exchange(now_.acknowledging, true)) run_after(now_.program.acknowledges_after, [this] { acknowledge(); });
    wake_user(0us);
    if (!now_.arrived.empty()) consume();
  });
}

void NamedClient::acknowledge() {
  now_.acknowledging = false;
  machine_->consumed(std::exchange(now_.done, {}));
  flush();
}

}  // namespace dc::sim

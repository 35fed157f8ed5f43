// See worker_process.hpp.
#include "worker_process.hpp"

#include <algorithm>

#include "text.hpp"

namespace dc::sim {
namespace {

constexpr auto flush_delay = 500us;  ///< as in worker/outbox.cpp

}  // namespace

WorkerProcess::WorkerProcess(World& world, Ledger& ledger, Facts given, WorkerConduct conduct, Signs signs)
    : facts(std::move(given)), world_(world), ledger_(ledger), conduct_(conduct), signs_(std::move(signs)) {}

WorkerProcess::~WorkerProcess() {
  if (!end_) blame();
}

void WorkerProcess::later(Duration delay, World::Action action) {
  world_.after(delay, [watch = std::weak_ptr<int>(life_), action = std::move(action)] {
    if (!watch.expired()) action();
  });
}

void WorkerProcess::receive(std::vector<wire::ToWorker> packet) {
  if (end_) return;
  for (const wire::ToWorker& message : packet) {
    if (const auto* update = std::get_if<wire::WorkerUpdate>(&message)) claims_->update_sent.store(update->number);
  }
  inbox_.push_back(std::move(packet));
  if (activity_ == Activity::nothing) later(world_.chance.skewed(5us, 300us), [this] { go_on(); });
}

/// The loop of the process, until it is busy or has nothing to do.
void WorkerProcess::go_on() {
  using Step = worker::WorkerMachine::Step;
  while (activity_ == Activity::nothing && !end_) {
    switch (machine_.next(claims_->update_sent.load())) {
      case Step::construct:
        construct();
        break;
      case Step::apply_update:
        begin_update();
        break;
      case Step::receive_update:
        if (!outbox_.empty()) later(flush_delay, [this] { flush(); });
        if (!read()) return;
        break;
      case Step::tell_constructed:
        constructed_ = true;
        ledger_.pool(facts.pool).had_worker = true;
        append(wire::WorkerConstructed{});
        break;
      case Step::run_job:
        begin_job();
        break;
      case Step::receive:
        flush();
        if (!read()) return;
        break;
      case Step::end:
        flush();
        return die({machine_.exit_code(), {}, {}, {}});
    }
  }
}

bool WorkerProcess::read() {
  if (inbox_.empty()) return false;
  std::vector<wire::ToWorker> packet = std::move(inbox_.front());
  inbox_.pop_front();
  for (wire::ToWorker& message : packet) machine_.take(std::move(message));
  return true;
}

void WorkerProcess::construct() {
  activity_ = Activity::constructing;
  applied_ = facts.base;
  if (conduct_.constructor_hangs) return;
  later(conduct_.construction, [this] {
    activity_ = Activity::nothing;
    if (conduct_.constructor_dies) return die({{}, SIGSEGV, {}, {}});
    if (conduct_.constructor_raises) {
      ErrorInfo error;
      error.kind = ErrorKind::worker_init_error;
      error.message = "the constructor raised";
      append(wire::ConstructionFailed{error});
      flush();
      return die({1, {}, {}, {}});
    }
    machine_.constructed();
    go_on();
  });
}

// --- Updates ----------------------------------------------------------------------------------------------------

void WorkerProcess::begin_update() {
  const wire::WorkerUpdate update = machine_.next_update();
  const UpdateNumber number = update.number;
  const std::string_view payload = update.payload.view();
  if (payload.substr(0, payload.find(' ')) != fmt::format("u{}", number))
    world_.violation("update {} of pool {} arrives as \"{}\"", number, short_name(facts.pool.value),
                     payload.substr(0, 40));
  if (number != applied_ + 1)
    world_.violation("worker {} of pool {} gets update {} after update {}", name_of_worker(facts.id),
                     short_name(facts.pool.value), number, applied_);
  if (!outbox_.empty()) later(flush_delay, [this] { flush(); });
  activity_ = Activity::updating;
  later(conduct_.update, [this, number] {
    activity_ = Activity::nothing;
    applied_ = number;
    world_.note("worker", "{} has applied update {}", name_of_worker(facts.id), number);
    ErrorInfo error;
    if (conduct_.update_raises) error.message = "handle_update raised";
    append(wire::UpdateDone{number, conduct_.update_raises, error, {}});
    go_on();
  });
}

void WorkerProcess::check_updates_before(JobId sequence, const JobRecord& job) {
  if (!constructed_) world_.violation("job {} runs before its worker is constructed", sequence);
  if (job.after_update > applied_)
    world_.violation("job {} of pool {} runs on worker {} after update {}, but was submitted after update {}", sequence,
                     short_name(facts.pool.value), name_of_worker(facts.id), applied_, job.after_update);
}

// --- Jobs -------------------------------------------------------------------------------------------------------

void WorkerProcess::begin_job() {
  const wire::WorkerJob message = machine_.next_job();
  const auto now = static_cast<std::uint64_t>(world_.now().time_since_epoch().count());
  if (!claims_->start(message.index, now)) return;  // the node took it back
  if (!outbox_.empty()) later(flush_delay, [this] { flush(); });
  const JobId sequence = job_in(message.arguments.view());
  JobRecord& job = ledger_.job(facts.pool, sequence);
  check_updates_before(sequence, job);
  activity_ = Activity::running;
  running_ = sequence;
  ledger_.started(facts.pool, sequence, facts.host);
  world_.note("worker", "{} runs job {} of pool {}", name_of_worker(facts.id), sequence, short_name(facts.pool.value));
  const bool dies = job.conduct == Conduct::poison || (job.conduct == Conduct::ends_worker && job.started == 1);
  if (dies) return later(job.duration, [this] { die({{}, SIGSEGV, {}, {}}); });
  if (conduct_.hangs_up) return signs_.hung_up();
  if (job.conduct == Conduct::hangs) return;
  later(job.duration, [this, index = message.index, sequence] { finish_job(index, sequence); });
}

void WorkerProcess::finish_job(std::uint64_t index, JobId sequence) {
  JobRecord& job = ledger_.job(facts.pool, sequence);
  ++job.finished;
  const Duration limit = ledger_.pool(facts.pool).options.job_timeout;
  const bool too_late = limit > 0s && job.duration >= limit;  // its node may have given it up just before
  job.excuses += too_late;
  job.deaths += too_late;
  activity_ = Activity::nothing;
  running_ = 0;
  unsent_.push_back(sequence);
  const auto elapsed =
      static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(job.duration).count());
  if (job.conduct == Conduct::raises) {
    ErrorInfo error;
    error.message = "run raised";
    append(wire::WorkerError{index, elapsed, error, {}});
  } else {
    std::string value = Ledger::value_of(facts.pool, sequence);
    if (job.result_bytes > value.size()) value += " " + std::string(job.result_bytes - value.size(), '.');
    const bool large = value.size() > limits::inline_payload_max;
    append(wire::WorkerValue{index, elapsed, Payload(std::move(value))}, large);
  }
  go_on();
}

void WorkerProcess::append(wire::FromWorker message, bool large) {
  outbox_.push_back(std::move(message));
  if (large) flush();
}

void WorkerProcess::flush() {
  if (outbox_.empty() || end_) return;
  std::move(outbox_.begin(), outbox_.end(), std::back_inserter(socket_));
  outbox_.clear();
  unsent_.clear();
  signs_.readable();
}

// --- The end ----------------------------------------------------------------------------------------------------

void WorkerProcess::signal(int number) {
  if (end_ || (number == SIGTERM && conduct_.ignores_sigterm)) return;
  later(world_.chance.skewed(50us, 20ms), [this, number] { die({{}, number, {}, {}}); });
}

/// For the job that ran, and those whose answers die with the process. The node cannot tell the latest of these from a
/// job that still ran.
void WorkerProcess::blame() {
  if (running_ != 0) unsent_.push_back(running_);
  for (const JobId sequence : unsent_) ++ledger_.job(facts.pool, sequence).excuses;
  if (!unsent_.empty()) ++ledger_.job(facts.pool, unsent_.back()).deaths;
}

void WorkerProcess::die(node::ProcessEnd end) {
  if (end_) return;
  world_.note("worker", "{} ends ({})", name_of_worker(facts.id), end.signal.value_or(end.exit_status.value_or(0)));
  blame();
  end_ = std::move(end);
  outbox_.clear();
  life_.reset();
  signs_.ended();
}

}  // namespace dc::sim

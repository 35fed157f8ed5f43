// See ledger.hpp.
#include "ledger.hpp"

#include <algorithm>

namespace dc::sim {

void Ledger::started(PoolId id, JobId sequence, const std::string& host) {
  PoolRecord& in = pool(id);
  JobRecord& record = job(id, sequence);
  ++jobs_run;
  const int retries = in.options.retry_exceptions && record.conduct == Conduct::raises ? record.finished : 0;
  if (++record.started > 1 + record.excuses + retries && !record.closing)
    world_.violation("job {} of pool {} runs on {} for the {}. time, with {} reasons to run again", sequence,
                     short_name(id.value), host, record.started, record.excuses + retries);
  if (record.refused && !record.haunts)
    world_.violation("job {} of pool {} was refused and runs", sequence, short_name(id.value));
}

void Ledger::excuse_host(const std::string& host) {
  for (auto& [id, in] : pools_) {
    for (JobRecord& record : in.jobs) {
      const bool copy = std::find(record.copies.begin(), record.copies.end(), host) != record.copies.end();
      record.excuses += !record.answered && (record.host == host || copy);
    }
  }
}

void Ledger::excuse_pool(PoolId id) {
  for (JobRecord& record : pool(id).jobs) record.excuses += !record.answered;
}

void Ledger::outcome(PoolId id, std::uint64_t stream, JobSequence sequence, const Outcome& outcome) {
  const std::string name = fmt::format("job {} of pool {}", sequence, short_name(id.value));
  PoolRecord& in = pool(id);
  if (sequence == 0 || sequence > in.jobs.size()) world_.violation("{} was never submitted and has an outcome", name);
  JobRecord& job = in.jobs[sequence - 1];
  ++outcomes;
  job.answered |= !outcome.error || outcome.error->kind != ErrorKind::pool_closed;
  if (++job.delivered > 1) world_.violation("{} was delivered twice", name);
  if (job.stream != stream) world_.violation("{} was delivered to stream {}", name, stream);
  if (job.dropped) world_.violation("{} was delivered though nobody wants it", name);
  if (outcome.error) return check_error(name, in, job, *outcome.error);
  const std::string expected = value_of(id, sequence);
  const std::string_view value = outcome.payload.view();
  if (job.finished == 0) world_.violation("{} has a value and never ran to its end", name);
  if (job.conduct == Conduct::raises || job.conduct == Conduct::poison)
    world_.violation("{} has a value and cannot", name);
  if (value.substr(0, value.find(' ')) != expected) world_.violation("{} has the value {}", name, value.substr(0, 60));
}

void Ledger::check_error(const std::string& name, const PoolRecord& in, const JobRecord& job,
                         const ErrorInfo& error) const {
  const auto allowed = static_cast<int>(std::max(1U, in.options.max_retries));
  switch (error.kind) {
    case ErrorKind::job_error:
      if (job.conduct != Conduct::raises) world_.violation("{} has an error that it did not raise", name);
      return;
    case ErrorKind::worker_died:
    case ErrorKind::job_timeout:
      // An exception that is retried counts like a death.
      if (job.deaths + (in.options.retry_exceptions ? job.finished : 0) < allowed)
        world_.violation("{} is blamed for {} deaths, but saw only {}: {}", name, allowed, job.deaths, error.message);
      return;
    case ErrorKind::worker_init_error:
      if (!in.failed || in.constructors_failed == 0)
        world_.violation("{} is blamed on a constructor that did not fail: {}", name, error.message);
      return;
    case ErrorKind::no_device:
      if (!in.failed || !in.no_device)
        world_.violation("{} is blamed on devices that are there: {}", name, error.message);
      return;
    case ErrorKind::pool_closed:
      if (!in.closed) world_.violation("{} ended with its pool, which is open: {}", name, error.message);
      return;
    case ErrorKind::too_large:
    case ErrorKind::serialization:
    case ErrorKind::not_stored:
    case ErrorKind::pool_busy:
    case ErrorKind::pool_not_found:
    case ErrorKind::pool_deadlock:
      world_.violation("{} has an error that cannot be: {}", name, error.message);
  }
}

void Ledger::all_delivered() const {
  for (const auto& [id, in] : pools_) {
    if (in.named) nothing_lost(id);
    if (in.gone || in.named) continue;
    for (std::size_t i = 0; i < in.jobs.size(); ++i) {
      const JobRecord& job = in.jobs[i];
      if (job.delivered == 0 && !job.dropped)
        world_.violation("job {} of pool {} has no outcome at the end", i + 1, short_name(id.value));
    }
  }
}

}  // namespace dc::sim

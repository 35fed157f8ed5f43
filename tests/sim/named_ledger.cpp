// The promises of named pools, see ledger.hpp.
#include <algorithm>
#include <charconv>

#include "ledger.hpp"

namespace dc::sim {
namespace {

std::string name_of(PoolId pool, JobId id) {
  return fmt::format("job {} of named pool {}", id, short_name(pool.value));
}

}  // namespace

JobRecord& Ledger::numbered(PoolId id, JobSequence sequence) {
  PoolRecord& in = pool(id);
  return job(id, in.named ? in.generation->numbers.at(sequence) : sequence);
}

void Ledger::handed(PoolId id, JobSequence sequence, const std::string& host) {
  JobRecord& record = numbered(id, sequence);
  if (record.stored)
    world_.violation("job {} of pool {} is handed out, and its outcome is in the journal", sequence,
                     short_name(id.value));
  record.host = host;
  record.copies.clear();
  if (std::find(record.sent_to.begin(), record.sent_to.end(), host) == record.sent_to.end())
    record.sent_to.push_back(host);
}

// --- The head and its journal -----------------------------------------------------------------------------------

void Ledger::open_named(PoolId id, PoolOptions options) {
  open(id, std::move(options));
  pool(id).named = true;
}

void Ledger::born(PoolId id) { pool(id).generation = std::make_shared<Generation>(); }

void Ledger::taken(PoolId id, JobSequence sequence, JobId number) {
  PoolRecord& in = pool(id);
  JobRecord& record = job(id, number);
  const auto [entry, is_new] = in.generation->numbers.try_emplace(sequence, number);
  if (const JobRecord& other = job(id, entry->second); entry->second != number && other.accepted && !other.closing)
    world_.violation("{} gets the number {} of {}, which was accepted", name_of(id, number), sequence,
                     name_of(id, entry->second));
  if (record.refused && !record.haunts) world_.violation("{} is taken and was refused", name_of(id, number));
  entry->second = number;
  record.generation = in.generation;
}

void Ledger::sent_to_client(PoolId id, JobSequence sequence) const {
  const PoolRecord& in = pools_.at(id);
  const auto number = in.generation->numbers.find(sequence);
  if (number == in.generation->numbers.end() || !in.jobs.at(number->second - 1).taken_for_good) return;
  world_.violation("{} is sent again, though who acknowledged it has left in order", name_of(id, number->second));
}

void Ledger::outcome_stored(PoolId id, JobSequence sequence) {
  JobRecord& record = numbered(id, sequence);
  record.stored = record.answered = true;
}

void Ledger::broke(PoolId id) {
  PoolRecord& in = pool(id);
  for (const auto& [sequence, number] : in.generation->numbers) {
    JobRecord& record = job(id, number);
    record.stored = record.answered = true;
  }
}

void Ledger::head_restarted() {
  for (auto& [id, in] : pools_) {
    for (JobRecord& record : in.jobs) {
      record.excuses += !record.key.empty() && !record.stored;
      record.copies = record.sent_to;
    }
  }
}

// --- Clients ----------------------------------------------------------------------------------------------------

void Ledger::accepted(PoolId id, JobId number) {
  JobRecord& record = job(id, number);
  if (record.refused) world_.violation("{} was refused and is accepted", name_of(id, number));
  record.accepted = true;
}

void Ledger::refused(PoolId id, JobId number, const ErrorInfo& error) {
  JobRecord& record = job(id, number);
  if (record.accepted) world_.violation("{} was accepted and is refused", name_of(id, number));
  if (record.delivered > 0) world_.violation("{} has an outcome and is refused", name_of(id, number));
  if (error.kind != ErrorKind::not_stored && !pool(id).failed)
    world_.violation("{} is refused because of {}", name_of(id, number), error.message);
  record.refused = true;
}

void Ledger::kept(PoolId id, JobId number) {
  JobRecord& record = job(id, number);
  if (record.delivered == 0) world_.violation("{} counts as acknowledged, and nobody has it", name_of(id, number));
}

void Ledger::named_outcome(PoolId id, std::uint64_t client, JobId number, const Outcome& outcome) {
  const std::string name = name_of(id, number);
  JobRecord& record = job(id, number);
  ++outcomes;
  if (std::exchange(record.given_to, client) == client) world_.violation("{} was delivered twice to one client", name);
  if (record.refused) {
    if (!outcome.error && !record.haunts) world_.violation("{} was refused and has a value", name);
    return;
  }
  ++record.delivered;
  if (outcome.error) return check_error(name, pool(id), record, *outcome.error);
  check_named_value(name, id, number, outcome.payload.view());
}

/// It is the job's own, or that of another one with its key; all have the same one.
void Ledger::check_named_value(const std::string& name, PoolId id, JobId number, std::string_view value) {
  value = value.substr(0, value.find(' '));
  const JobRecord& record = job(id, number);
  JobId from = 0;
  const std::size_t slash = std::min(value.find('/') + 1, value.size());
  std::from_chars(value.data() + slash, value.data() + value.size(), from);
  if (value != value_of(id, from) || from == 0 || from > pool(id).jobs.size())
    world_.violation("{} has the value {}", name, value);
  const JobRecord& source = job(id, from);
  const bool shared = !record.key.empty() && record.key == source.key && record.generation == source.generation;
  if (from != number && !shared) world_.violation("{} has the value of job {}", name, from);
  if (source.finished == 0) world_.violation("{} has a value of a job that never ran to its end", name);
  if (source.conduct == Conduct::raises || source.conduct == Conduct::poison)
    world_.violation("{} has a value and cannot", name);
  if (record.key.empty()) return;
  const std::string& first = record.generation->values.try_emplace(record.key, value).first->second;
  if (first != value) world_.violation("{} has the value {}, and its key the value {}", name, value, first);
}

void Ledger::closing(PoolId id) {
  for (JobRecord& record : pool(id).jobs) record.closing = true;
}

void Ledger::nothing_lost(PoolId id) const {
  const std::vector<JobRecord>& jobs = pools_.at(id).jobs;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (jobs[i].accepted && !jobs[i].closing && jobs[i].delivered == 0)
      world_.violation("{} was accepted and is lost", name_of(id, i + 1));
  }
}

}  // namespace dc::sim

// See journal_record.hpp.
#include "journal_record.hpp"

#include <algorithm>
#include <utility>

#include "text.hpp"
#include "wire/framing.hpp"

namespace dc::sim {
namespace {

head::JournalState read_all(const SimServer::Entries& log) {
  head::JournalState state;
  for (const auto& [number, entry] : log) state.add(number, store::Entry(entry));
  return state;
}

bool same_jobs(const head::JournalState& a, const head::JournalState& b) {
  return std::equal(a.unfinished.begin(), a.unfinished.end(), b.unfinished.begin(), b.unfinished.end(),
                    [](const auto& one, const auto& other) {
                      return static_cast<const SubmittedJob&>(one.second) ==
                             static_cast<const SubmittedJob&>(other.second);
                    });
}

bool same_keys(const head::JournalState& a, const head::JournalState& b) {
  return a.keys.size() == b.keys.size() && std::all_of(a.keys.begin(), a.keys.end(), [&](const auto& key) {
           const auto other = b.keys.find(key.first);
           return other != b.keys.end() && other->second.value == key.second.value;
         });
}

std::vector<JobSequence> numbers_of(const JobTable<head::JournaledOutcome>& outcomes) {
  std::vector<JobSequence> numbers;
  for (const auto& [sequence, outcome] : outcomes) numbers.push_back(sequence);
  return numbers;
}

/// What differs; empty: nothing.
std::string difference(const head::JournalState& a, const head::JournalState& b) {
  if (a.taken.intervals() != b.taken.intervals()) return "the numbers taken";
  if (!same_jobs(a, b)) return "the jobs";
  if (numbers_of(a.undelivered) != numbers_of(b.undelivered)) return "the outcomes";
  for (const auto& [sequence, outcome] : a.undelivered) {
    const head::StoredOutcome& other = b.undelivered.at(sequence);
    const bool same_error = outcome.error ? other.error && *outcome.error == *other.error : !other.error;
    if (outcome.payload != other.payload || !same_error) return "an outcome";
  }
  if (a.updates != b.updates) return "the updates";
  if (!same_keys(a, b)) return "the keys";
  if (a.broken != b.broken) return "its failure";
  if (a.holder != b.holder) return "its client";
  return a.done == b.done ? "" : "the number of outcomes";
}

}  // namespace

PoolId JournalRecord::pool_of(PoolId id) const {
  const auto found = ids_.find(id);
  return found == ids_.end() ? id : found->second;
}

head::JournalState JournalRecord::read(store::LogId log) const {
  head::JournalState state = read_all(logs().at(log));
  if (!state.problem().empty() || !state.born)
    world_.violation("the journal of pool {} cannot be read: {}", short_name(log),
                     state.born ? state.problem() : "no first entry");
  return state;
}

// --- What goes wrong --------------------------------------------------------------------------------------------

void JournalRecord::fill(Duration time) {
  server_.fill(time);
  world_.note("journal", "is full for {} ms", time / 1ms);
}

void JournalRecord::hush(Duration time) {
  server_.hush(time);
  world_.note("journal", "does not answer for {} ms", time / 1ms);
}

// --- What is written --------------------------------------------------------------------------------------------

void JournalRecord::written(store::LogId log, const store::Entry& entry) {
  const auto decoded = head::decode(store::Entry(entry));
  if (!decoded) world_.violation("an entry that cannot be read is written: {}", decoded.error().message);
  if (std::holds_alternative<head::PoolBorn>(decoded.value())) ledger_.born(PoolId{log});
  world_.note("journal", "has an entry of kind {} of pool {}", decoded.value().index() + 1, short_name(log));
  note_written(PoolId{log}, decoded.value());
}

void JournalRecord::removed(store::LogId log) {
  world_.note("journal", "removes pool {}", short_name(log));
  written_.erase(PoolId{log});
}

void JournalRecord::erased(const SimServer::Entries& before, const SimServer::Entries& now) {
  world_.note("journal", "has {} entries of {} left", now.size(), before.size());
  if (const std::string differs = difference(read_all(before), read_all(now)); !differs.empty())
    world_.violation("a journal of which entries were erased means something else: {}", differs);
}

void JournalRecord::note_written(PoolId pool, const head::JournalEntry& entry) {
  Written& written = written_[pool];
  const auto has_outcome = [&](JobSequence sequence) {
    if (!written.jobs.contains(sequence)) return;
    written.outcomes.insert(sequence);
    ledger_.outcome_stored(pool, sequence);
  };
  if (const auto* taken = std::get_if<head::JobsTaken>(&entry)) {
    for (const SubmittedJob& job : taken->jobs) {
      written.jobs.insert(job.sequence);
      ledger_.taken(pool, job.sequence, job_in(job.arguments.view()));
    }
  } else if (const auto* values = std::get_if<head::ValuesCame>(&entry)) {
    for (const wire::ValueItem& item : values->items) has_outcome(item.sequence);
  } else if (const auto* keyed = std::get_if<head::KeyedCame>(&entry)) {
    for (const head::KeyedCame::Item& item : keyed->items) has_outcome(item.sequence);
  } else if (const auto* error = std::get_if<head::ErrorCame>(&entry)) {
    has_outcome(error->sequence);
  } else if (const auto* update = std::get_if<head::UpdateCame>(&entry)) {
    written.updates = std::max(written.updates, update->number);
  } else if (const auto* delivered = std::get_if<head::Delivered>(&entry)) {
    written.delivered.insert(delivered->sequences.begin(), delivered->sequences.end());
  } else if (std::get_if<head::PoolBroke>(&entry)) {
    for (const JobSequence sequence : written.jobs) has_outcome(sequence);
  }
}

void JournalRecord::check_handed(PoolId pool, JobSequence sequence) const {
  if (!ledger_.pool(pool).named) return;
  const auto written = written_.find(pool);
  if (written == written_.end() || !written->second.jobs.contains(sequence))
    world_.violation("job {} of pool {} is handed out before it is in the journal", sequence, short_name(pool.value));
}

void JournalRecord::check_told(const wire::Message& message) const {
  const auto check = [&](PoolId pool, const std::vector<JobSequence>& sequences, std::set<JobSequence> Written::*in) {
    const auto written = written_.find(pool);
    for (const JobSequence sequence : sequences) {
      if (in == &Written::outcomes) ledger_.sent_to_client(pool, sequence);
      if (in == &Written::outcomes && written != written_.end() && written->second.delivered.contains(sequence))
        world_.violation("{} of job {} of pool {} is sent after its acknowledgement was kept", wire::name_of(message),
                         sequence, short_name(pool.value));
      if (written == written_.end() || !(written->second.*in).contains(sequence))
        world_.violation("{} of job {} of pool {} is sent before that is in the journal", wire::name_of(message),
                         sequence, short_name(pool.value));
    }
  };
  const auto check_updates = [&](PoolId pool, UpdateNumber updates) {
    const auto written = written_.find(pool);
    if (updates > (written == written_.end() ? 0 : written->second.updates))
      world_.violation("{} with {} updates of pool {} is sent before they are in the journal", wire::name_of(message),
                       updates, short_name(pool.value));
  };
  if (const auto* accepted = std::get_if<wire::JobsAccepted>(&message)) {
    check(pool_of(accepted->pool), accepted->sequences, &Written::jobs);
  } else if (const auto* kept = std::get_if<wire::AcksKept>(&message)) {
    check(pool_of(kept->pool), kept->sequences, &Written::delivered);
  } else if (const auto* error = std::get_if<wire::JobError>(&message)) {
    if (ledger_.pool(pool_of(error->pool)).named) check(pool_of(error->pool), {error->sequence}, &Written::outcomes);
  } else if (const auto* errors = std::get_if<wire::JobErrors>(&message)) {
    if (ledger_.pool(pool_of(errors->pool)).named) check(pool_of(errors->pool), errors->sequences, &Written::outcomes);
  } else if (const auto* values = std::get_if<wire::JobValues>(&message)) {
    if (!ledger_.pool(pool_of(values->pool)).named) return;
    for (const wire::ValueItem& item : values->items) check(pool_of(values->pool), {item.sequence}, &Written::outcomes);
  } else if (const auto* update = std::get_if<wire::UpdateAccepted>(&message)) {
    if (ledger_.pool(pool_of(update->pool)).named) check_updates(pool_of(update->pool), update->number);
  } else if (const auto* known = std::get_if<wire::PoolKnown>(&message)) {
    const PoolId pool = pool_of(known->pool);
    if (ledger_.pool(pool).named) check_updates(pool, known->updates);
  }
}

}  // namespace dc::sim

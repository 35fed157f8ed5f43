// Jobs, updates and outcomes of named pools: into the journal, and from there to the scheduler and the client.
#include <fmt/format.h>

#include <algorithm>

#include "core/mutation.hpp"
#include "head/head_machine.hpp"

namespace dc::head {
namespace {

/// Outcomes that come in one turn share an entry of about this size.
constexpr std::size_t values_entry_bytes = std::size_t{256} << 10;
/// A journal is shortened when so many outcomes were delivered since, and more than are still to be delivered.
constexpr std::uint64_t compact_after = 20'000;

}  // namespace

// --- Jobs and updates -------------------------------------------------------------------------------------------

void HeadMachine::take_jobs(PoolId id, NamedPool& named, std::vector<SubmittedJob>&& jobs, Effects& out) {
  if (named.broken) {
    wire::JobsRefused refused{id, {}, *named.broken};
    for (const SubmittedJob& job : jobs) refused.sequences.push_back(job.sequence);
    return send_to_client(id, std::move(refused), wire::control_lane, out);
  }
  const auto count = [&](const SubmittedJob& job) {
    ++named.unaccepted.jobs;
    named.unaccepted.argument_bytes += job.arguments.size();
  };
  const auto keep = [&](std::vector<SubmittedJob>&& some) {
    JobsTaken entry{std::move(some)};
    const store::Ticket ticket = ++last_ticket_;
    out.emplace_back(JournalAppend{ticket, named.log, encode(entry), true});
    Pending pending{Pending::Kind::jobs, id};
    pending.jobs = std::move(entry.jobs);  // append() would have to copy them
    ++named.unsettled;
    pending_.emplace(ticket, std::move(pending));
  };
  wire::JobsAccepted again{id, {}};
  std::vector<SubmittedJob> small;
  for (SubmittedJob& job : jobs) {
    if (job.after_update > named.updates) {
      count(job);
      named.early.push_back(std::move(job));
      continue;
    }
    named.highest = std::max(named.highest, job.sequence);
    if (!named.taken.add(job.sequence)) {
      if (named.records.contains(job.sequence)) again.sequences.push_back(job.sequence);
      continue;
    }
    count(job);
    if (mutation::accept_unstored) again.sequences.push_back(job.sequence);
    if (job.arguments.size() <= limits::inline_payload_max) {
      small.push_back(std::move(job));
      continue;
    }
    std::vector<SubmittedJob> alone;  // a large one has an entry of its own
    alone.push_back(std::move(job));
    keep(std::move(alone));
  }
  if (!again.sequences.empty()) send_to_client(id, std::move(again), wire::control_lane, out);
  if (!small.empty()) keep(std::move(small));
}

void HeadMachine::jobs_are_taken(PoolId id, NamedPool& named, std::vector<SubmittedJob>&& jobs, TimePoint now,
                                 Effects& out) {
  wire::JobsAccepted accepted{id, {}};
  named.settled(jobs);
  for (const SubmittedJob& job : jobs) {
    named.records.try_emplace(named.records.end(), job.sequence);
    accepted.sequences.push_back(job.sequence);
  }
  send_to_client(id, std::move(accepted), wire::control_lane, out);
  start_jobs(id, named, std::move(jobs), now, out);
}

/// Hands the jobs to the scheduler, but those whose key has a value or runs already.
void HeadMachine::start_jobs(PoolId id, NamedPool& named, std::vector<SubmittedJob>&& jobs, TimePoint now,
                             Effects& out) {
  if (named.broken) {
    for (const SubmittedJob& job : jobs) keep_outcome(id, named, job.sequence, {{}, named.broken}, out);
    return;
  }
  std::vector<SubmittedJob> started;
  started.reserve(jobs.size());
  for (SubmittedJob& job : jobs) {
    if (job.key.empty()) {
      started.push_back(std::move(job));
      continue;
    }
    if (const auto value = named.values_of_keys.find(job.key); value != named.values_of_keys.end()) {
      keep_outcome(id, named, job.sequence, {value->second, {}}, out);
      continue;
    }
    const auto [running, is_first] = named.running_keys.try_emplace(job.key, job.sequence);
    if (!is_first) {
      named.followers[running->second].push_back(std::move(job));
      continue;
    }
    named.key_of[job.sequence] = job.key;
    started.push_back(std::move(job));
  }
  if (!started.empty()) tell(scheduler::JobsSubmitted{id, std::move(started)}, now, out);
}

void HeadMachine::jobs_are_refused(PoolId id, NamedPool& named, const std::vector<SubmittedJob>& jobs,
                                   const std::string& why, Effects& out) {
  wire::JobsRefused refused{
      id,
      {},
      ErrorInfo::of(ErrorKind::not_stored, fmt::format("a job of pool {} was not accepted: {}", named.quoted(), why))};
  named.settled(jobs);
  for (const SubmittedJob& job : jobs) {
    if (!mutation::keep_refused_numbers) named.taken.remove(job.sequence);
    refused.sequences.push_back(job.sequence);
  }
  send_to_client(id, std::move(refused), wire::control_lane, out);
}

void HeadMachine::take_update(SessionId session, PoolId id, NamedPool& named, wire::AddUpdate&& message, Effects& out) {
  if (named.broken) return send_to_client(id, wire::PoolFailed{id, *named.broken}, wire::control_lane, out);
  if (message.number > named.updates + 1) {
    return refuse(session, fmt::format("AddUpdate of update {} after update {}", message.number, named.updates), out);
  }
  if (message.number <= named.updates) return;  // sent again after a break, and on its way
  ++named.updates;
  Pending pending{Pending::Kind::update, id};
  pending.number = message.number;
  pending.payload = message.payload;
  ++named.unsettled;
  append(std::move(pending), UpdateCame{message.number, message.payload}, false, out);
  named.settled(named.early);
  if (!named.early.empty()) take_jobs(id, named, std::exchange(named.early, {}), out);
}

// --- Outcomes ---------------------------------------------------------------------------------------------------

/// The scheduler says how a job ended. Others with the same key end with it if it has a value; if not, the next of
/// them runs.
void HeadMachine::job_ended(PoolId id, NamedPool& named, scheduler::DeliverOutcome& command, Effects& out) {
  const JobSequence sequence = command.sequence;
  if (const auto key = named.key_of.find(sequence); key != named.key_of.end()) {
    std::vector<SubmittedJob> followers;
    if (const auto found = named.followers.find(sequence); found != named.followers.end()) {
      followers = std::move(found->second);
      named.followers.erase(found);
    }
    named.running_keys.erase(key->second);
    if (!command.outcome.error) named.values_of_keys.try_emplace(key->second, command.outcome.payload.compact());
    named.key_of.erase(key);
    if (!followers.empty()) restart_.emplace_back(id, std::move(followers));
  }
  keep_outcome(id, named, sequence, std::move(command.outcome), out);
}

/// To be called when no commands of the scheduler are being carried out.
void HeadMachine::start_followers(TimePoint now, Effects& out) {
  if (mutation::release_unstored) {
    for (const PoolId id : unkept_) {
      std::vector<JobSequence> sequences;
      if (!pools_.contains(id)) continue;
      for (const wire::ValueItem& item : pools_.at(id).named->values) sequences.push_back(item.sequence);
      tell(scheduler::OutcomesAcknowledged{id, std::move(sequences)}, now, out);
    }
  }
  while (!restart_.empty()) {
    auto [id, jobs] = std::move(restart_.back());
    restart_.pop_back();
    const auto pool = pools_.find(id);
    if (pool != pools_.end() && pool->second.named) start_jobs(id, *pool->second.named, std::move(jobs), now, out);
  }
}

void HeadMachine::keep_outcome(PoolId id, NamedPool& named, JobSequence sequence, Outcome&& outcome, Effects& out) {
  const auto found = named.records.find(sequence);
  if (found == named.records.end() || found->second.outcome) return;
  NamedPool::Record& record = found->second;
  ++named.done;
  record.outcome = std::make_unique<StoredOutcome>(outcome);
  if (mutation::deliver_unstored && sequence >= named.first_own) deliver(id, sequence, record, out);
  if (outcome.error) {
    flush_outcomes(id, named, out);
    Pending pending{Pending::Kind::outcomes, id};
    pending.sequences = {sequence};
    return append(std::move(pending), ErrorCame{sequence, *outcome.error, std::move(outcome.payload)}, false, out);
  }
  const std::size_t size = outcome.payload.size();
  if (size > limits::inline_payload_max) flush_outcomes(id, named, out);
  if (named.values.empty()) unkept_.push_back(id);
  named.values.push_back({sequence, std::move(outcome.payload)});
  named.values_bytes += size + 16;
  if (named.values_bytes > values_entry_bytes || size > limits::inline_payload_max) flush_outcomes(id, named, out);
}

void HeadMachine::flush_outcomes(PoolId id, NamedPool& named, Effects& out) {
  if (named.values.empty()) return;
  ValuesCame entry{std::exchange(named.values, {})};
  named.values_bytes = 0;
  Pending pending{Pending::Kind::outcomes, id};
  pending.sequences.reserve(entry.items.size());
  for (const wire::ValueItem& item : entry.items) pending.sequences.push_back(item.sequence);
  append(std::move(pending), entry, false, out);
}

void HeadMachine::flush_all_outcomes(Effects& out) {
  for (const PoolId id : std::exchange(unkept_, {})) {
    const auto pool = pools_.find(id);
    if (pool != pools_.end() && pool->second.named) flush_outcomes(id, *pool->second.named, out);
  }
}

/// The scheduler and the nodes may forget these outcomes; the client may have them.
void HeadMachine::outcomes_are_kept(PoolId id, NamedPool& named, std::vector<JobSequence>&& sequences, TimePoint now,
                                    Effects& out) {
  const bool has_client = pools_.at(id).session.value != 0;
  for (const JobSequence sequence : sequences) {
    const auto record = named.records.find(sequence);
    if (record == named.records.end()) continue;
    named.made_durable(record->second);
    if (sequence < named.first_own) {
      named.ready.insert(sequence);
    } else if (has_client) {
      deliver(id, sequence, record->second, out);
    }
  }
  deliver_earlier(id, named, out);
  if (!named.broken) tell(scheduler::OutcomesAcknowledged{id, std::move(sequences)}, now, out);
}

void HeadMachine::deliver(PoolId id, JobSequence sequence, NamedPool::Record& record, Effects& out) {
  record.sent = true;
  send_outcome(id, sequence, Outcome(*record.outcome), out);
}

void HeadMachine::deliver_earlier(PoolId id, NamedPool& named, Effects& out) {
  if (pools_.at(id).session.value == 0) return;
  for (auto next = named.next_earlier(); next != named.records.end(); next = named.next_earlier()) {
    --named.credit;
    named.ready.erase(next->first);
    if (!named.in_order) {
      deliver(id, next->first, next->second, out);
      continue;
    }
    // All in one lane, where neither errors nor small values overtake what was submitted before.
    const auto& [sequence, record] = *next;
    next->second.sent = true;
    const StoredOutcome& outcome = *record.outcome;
    if (outcome.error) {
      send_to_client(id, wire::JobError{id, sequence, *outcome.error, outcome.payload}, id.value, out);
    } else {
      send_to_client(id, wire::JobValues{id, {{sequence, outcome.payload}}}, id.value, out);
    }
  }
}

void HeadMachine::on(SessionId session, wire::WantOutcomes&& message, TimePoint, Effects& out) {
  PoolInfo* pool = own_pool(session, message.pool, message.name, out);
  if (!pool || !pool->named) return;
  if (pool->named->in_order != message.in_order) pool->named->cursor = 0;
  pool->named->in_order = message.in_order;
  pool->named->credit = std::min<std::uint64_t>(pool->named->credit + message.count, limits::number_max);
  deliver_earlier(message.pool, *pool->named, out);
}

void HeadMachine::take_acks(SessionId session, PoolId id, NamedPool& named, std::vector<JobSequence>&& sequences,
                            Effects& out) {
  Delivered entry;
  wire::AcksKept again{id, {}};
  for (const JobSequence sequence : sequences) {
    const auto record = named.records.find(sequence);
    if (record == named.records.end()) {
      if (!named.acknowledging.contains(sequence)) again.sequences.push_back(sequence);
      continue;
    }
    if (!record->second.sent) {
      if (sequence <= named.restored_to) continue;  // the journal may have lost it: it will come again
      refuse(session, fmt::format("AckOutcomes of job {}, whose outcome was never sent", sequence), out);
      break;
    }
    named.records.erase(record);
    --named.to_take;
    named.acknowledging.insert(sequence);
    entry.sequences.push_back(sequence);
  }
  if (!again.sequences.empty()) send_to_client(id, std::move(again), wire::control_lane, out);
  if (entry.sequences.empty()) return;
  if (mutation::confirm_unstored) send_to_client(id, wire::AcksKept{id, entry.sequences}, wire::control_lane, out);
  named.delivered_since_compaction += entry.sequences.size();
  Pending pending{Pending::Kind::acks, id};
  pending.sequences = entry.sequences;
  append(std::move(pending), entry, false, out);
  if (named.delivered_since_compaction < std::max<std::uint64_t>(compact_after, named.records.size())) return;
  named.delivered_since_compaction = 0;
  out.emplace_back(JournalCompact{named.log});
}

}  // namespace dc::head

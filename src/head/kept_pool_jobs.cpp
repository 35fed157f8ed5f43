// What goes through a named pool: jobs and updates into the journal, and from there to the scheduler; outcomes into the
// journal, and from there to the client.
#include <fmt/format.h>

#include <algorithm>

#include "core/check.hpp"
#include "core/mutation.hpp"
#include "head/kept_pool.hpp"

namespace dc::head {
namespace {

/// Outcomes that come in one turn share an entry of about this size.
constexpr std::size_t values_entry_bytes = std::size_t{256} << 10;
/// A journal is shortened when so many outcomes were delivered (or values of keys forgotten) since, and more than are
/// still kept.
constexpr std::uint64_t compact_after = 20'000;
/// So many payloads that lie elsewhere may be in an entry, whose attachments are numbered by one byte.
constexpr std::size_t stored_in_entry_max = 128;

/// It need not stay in memory, and lies beside its entry with its neighbours.
bool lies_beside(const Payload& payload) {
  return payload.size() > limits::payload_in_memory_max && payload.size() <= limits::inline_payload_max &&
         !payload.is_elsewhere();
}

/// What stands for a payload, which is one of an entry's, now that this is in the store.
Payload stand_in_for(const Payload& payload, std::size_t index, const Pending& kept) {
  if (!kept.offsets.empty()) {
    const std::int64_t offset = kept.offsets[index];
    return offset < 0 ? payload.compact() : kept.stored.back().slice(static_cast<std::size_t>(offset), payload.size());
  }
  const bool alone = payload.size() > limits::inline_payload_max && !kept.stored.empty();
  return alone ? kept.stored.front() : payload;
}

}  // namespace

// --- Jobs -------------------------------------------------------------------------------------------------------

void KeptPool::submit(SessionId session, std::vector<SubmittedJob>&& jobs, PoolEffects& out) {
  if (!jobs.empty() && jobs.back().sequence > highest_ + limits::number_leap_max)
    return out.push_back(
        Refuse{session, fmt::format("SubmitJobs with job {} behind job {}", jobs.back().sequence, highest_)});
  take(std::move(jobs), out);
}

void KeptPool::take(std::vector<SubmittedJob>&& jobs, PoolEffects& out) {
  if (broken_) {
    wire::JobsRefused refused{id, {}, *broken_};
    for (const SubmittedJob& job : jobs) refused.sequences.push_back(job.sequence);
    return tell(std::move(refused), out);
  }
  const auto count = [&](const SubmittedJob& job) {
    ++unaccepted_.jobs;
    unaccepted_.argument_bytes += job.arguments.size();
  };
  wire::JobsAccepted again{id, {}};
  std::vector<SubmittedJob> small, beyond;
  for (SubmittedJob& job : jobs) {
    if (job.after_update > updates_) {
      count(job);
      early_.push_back(std::move(job));
      continue;
    }
    highest_ = std::max(highest_, job.sequence);
    if (is_beyond(job)) {
      beyond.push_back(std::move(job));
      continue;
    }
    if (!taken_.add(job.sequence)) {
      if (records_.contains(job.sequence)) again.sequences.push_back(job.sequence);
      continue;
    }
    count(job);
    kept_bytes_ += job.arguments.size();
    if (mutation::accept_unstored) again.sequences.push_back(job.sequence);
    if (job.arguments.size() <= limits::inline_payload_max) {
      small.push_back(std::move(job));
      continue;
    }
    std::vector<SubmittedJob> alone;  // a large one has an entry of its own
    alone.push_back(std::move(job));
    keep_jobs(std::move(alone), out);
  }
  if (!again.sequences.empty()) tell(std::move(again), out);
  if (!beyond.empty()) refuse_beyond(beyond, out);
  if (!small.empty()) keep_jobs(std::move(small), out);
}

void KeptPool::keep_jobs(std::vector<SubmittedJob>&& jobs, PoolEffects& out) {
  const JobsTaken entry{std::move(jobs)};
  std::size_t beside = 0;
  for (const SubmittedJob& job : entry.jobs) beside += lies_beside(job.arguments) ? job.arguments.size() : 0;
  Pending pending{Pending::Kind::jobs};
  pending.jobs = entry.jobs;
  ++unsettled_;
  keep_beside(std::move(pending), entry, beside, true, out);
}

/// These jobs count no longer against the client's window.
void KeptPool::settled(const std::vector<SubmittedJob>& jobs) {
  DC_CHECK(jobs.size() <= unaccepted_.jobs);
  unaccepted_.jobs -= jobs.size();
  for (const SubmittedJob& job : jobs) unaccepted_.argument_bytes -= job.arguments.size();
}

void KeptPool::jobs_are_taken(Pending&& pending, PoolEffects& out) {
  std::vector<SubmittedJob>& jobs = pending.jobs;
  wire::JobsAccepted accepted{id, {}};
  settled(jobs);
  for (std::size_t i = 0; i < jobs.size() && !pending.stored.empty(); ++i)
    stand_in(jobs[i], stand_in_for(jobs[i].arguments, i, pending));
  for (const SubmittedJob& job : jobs) {
    records_.try_emplace(records_.end(), job.sequence)->second.bytes = job.arguments.size();
    accepted.sequences.push_back(job.sequence);
  }
  tell(std::move(accepted), out);
  start(std::move(jobs), out);
}

/// Its arguments are in the store: in memory only as long as there is room.
void KeptPool::stand_in(SubmittedJob& job, const Payload& stored) {
  if (!stored.is_elsewhere()) return;
  const std::size_t bytes = job.arguments.size();
  if (memory_.take(bytes))
    in_memory_[job.sequence] = bytes;
  else
    job.arguments = stored;
}

void KeptPool::forget_arguments(JobSequence sequence) {
  const auto found = in_memory_.find(sequence);
  if (found == in_memory_.end()) return;
  memory_.give_back(found->second);
  in_memory_.erase(found);
}

void KeptPool::jobs_are_refused(const std::vector<SubmittedJob>& jobs, const std::string& why, PoolEffects& out) {
  const std::string text = fmt::format("a job of pool {} was not accepted: {}", quoted(), why);
  wire::JobsRefused refused{id, {}, ErrorInfo::of(ErrorKind::not_stored, text)};
  settled(jobs);
  for (const SubmittedJob& job : jobs) {
    if (!mutation::keep_refused_numbers) taken_.remove(job.sequence);
    kept_bytes_ -= job.arguments.size();
    refused.sequences.push_back(job.sequence);
  }
  tell(std::move(refused), out);
}

/// Hands the jobs to the scheduler, but those whose key has a value or runs already.
void KeptPool::start(std::vector<SubmittedJob>&& jobs, PoolEffects& out) {
  if (broken_) {
    for (const SubmittedJob& job : jobs) keep_outcome(job.sequence, {{}, broken_}, out);
    return;
  }
  std::vector<SubmittedJob> started;
  started.reserve(jobs.size());
  for (SubmittedJob& job : jobs) {
    if (job.key.empty()) {
      started.push_back(std::move(job));
      continue;
    }
    if (const auto value = values_of_keys_.find(job.key); value != values_of_keys_.end()) {
      keep_outcome(job.sequence, {value->second, {}}, out);
      continue;
    }
    const auto [running, is_first] = running_keys_.try_emplace(job.key, job.sequence);
    if (!is_first) {
      followers_[running->second].push_back(std::move(job));
      continue;
    }
    keys_of_running_[job.sequence] = job.key;
    started.push_back(std::move(job));
  }
  if (!started.empty()) out.emplace_back(scheduler::JobsSubmitted{id, std::move(started)});
}

const std::string* KeptPool::key_of(JobSequence sequence) const {
  const auto found = keys_of_running_.find(sequence);
  return found == keys_of_running_.end() ? nullptr : &found->second;
}

// --- Updates ----------------------------------------------------------------------------------------------------

void KeptPool::update(SessionId session, wire::AddUpdate&& message, PoolEffects& out) {
  if (broken_) return tell(wire::PoolFailed{id, *broken_}, out);
  if (message.number > updates_ + 1)
    return out.push_back(
        Refuse{session, fmt::format("AddUpdate of update {} after update {}", message.number, updates_)});
  if (message.number <= updates_) return;  // sent again after a break, and on its way
  ++updates_;
  Pending pending{Pending::Kind::update};
  pending.number = message.number;
  pending.payload = message.payload;
  ++unsettled_;
  keep(std::move(pending), UpdateCame{message.number, message.payload}, false, out);
  settled(early_);
  if (!early_.empty()) take(std::exchange(early_, {}), out);
}

void KeptPool::update_is_kept(UpdateNumber number, Payload&& update, PoolEffects& out) {
  updates_kept_ = number;
  remember_definition(update);
  if (!broken_) out.emplace_back(scheduler::UpdateAdded{id, number, std::move(update)});
}

void KeptPool::remember_definition(const Payload& update) {
  if (update.view().starts_with(definitions_mark)) definitions_.push_back(update.compact());
}

// --- Outcomes ---------------------------------------------------------------------------------------------------

/// The scheduler says how a job ended. Others with the same key end with it if it has a value; if not, the next of
/// them runs.
void KeptPool::ended(scheduler::DeliverOutcome&& command, PoolEffects& out) {
  const JobSequence sequence = command.sequence;
  std::vector<SubmittedJob> freed;
  if (const auto key = keys_of_running_.find(sequence); key != keys_of_running_.end()) {
    if (auto found = followers_.extract(sequence)) freed = std::move(found.mapped());
    running_keys_.erase(key->second);
    if (const Payload& value = command.outcome.payload; !command.outcome.error) {
      key_has_value(key->second, value, out);
      if (value.size() > limits::payload_in_memory_max) keys_of_large_[sequence] = key->second;
    }
    keys_of_running_.erase(key);
  }
  keep_outcome(sequence, std::move(command.outcome), out);
  if (!freed.empty()) start(std::move(freed), out);
}

void KeptPool::keep_outcome(JobSequence sequence, Outcome&& outcome, PoolEffects& out) {
  const auto found = records_.find(sequence);
  if (found == records_.end() || found->second.outcome) return;
  Record& record = found->second;
  if (!in_memory_.empty()) forget_arguments(sequence);
  ++done_;
  record.outcome = std::make_unique<StoredOutcome>(outcome);
  count_outcome(record);
  if (mutation::deliver_unstored && sequence >= first_own_) deliver(sequence, record, out);
  if (mutation::release_unstored) out.emplace_back(scheduler::OutcomesAcknowledged{id, {sequence}});
  const std::size_t size = outcome.payload.size();
  const std::size_t beside = lies_beside(outcome.payload) ? size : 0;
  if (outcome.error) {
    end_turn(out);
    Pending pending{Pending::Kind::outcomes};
    pending.sequences = {sequence};
    const ErrorCame entry{sequence, *outcome.error, std::move(outcome.payload)};
    return keep_beside(std::move(pending), entry, beside, false, out);
  }
  if (size > limits::inline_payload_max) end_turn(out);
  if (values_.empty()) out.emplace_back(EndTurn{});
  values_stored_ += outcome.payload.is_elsewhere() ? 1 : 0;
  values_.push_back({sequence, std::move(outcome.payload)});
  values_bytes_ += size + 16;
  values_beside_ += beside;
  const bool full = values_bytes_ > values_entry_bytes || values_stored_ >= stored_in_entry_max;
  if (full || size > limits::inline_payload_max) end_turn(out);
}

/// The outcomes so far become one entry.
void KeptPool::end_turn(PoolEffects& out) {
  if (values_.empty()) return;
  const ValuesCame entry{std::exchange(values_, {})};
  values_bytes_ = values_stored_ = 0;
  Pending pending{Pending::Kind::outcomes};
  pending.sequences.reserve(entry.items.size());
  for (const wire::ValueItem& item : entry.items) pending.sequences.push_back(item.sequence);
  keep_beside(std::move(pending), entry, std::exchange(values_beside_, 0), false, out);
}

/// The journal has the record's outcome.
void KeptPool::is_durable(Record& record) {
  if (!std::exchange(record.durable, true)) ++to_take_;
}

/// The scheduler and the nodes may forget these outcomes; the client may have them.
void KeptPool::outcomes_are_kept(Pending&& pending, PoolEffects& out) {
  const bool has_client = holder_.session.value != 0;
  for (std::size_t i = 0; i < pending.sequences.size(); ++i) {
    const JobSequence sequence = pending.sequences[i];
    const auto record = records_.find(sequence);
    if (record == records_.end()) continue;
    is_durable(record->second);
    if (sequence < first_own_) {
      ready_.insert(sequence);
    } else if (has_client) {
      deliver(sequence, record->second, out);
    }
    if (!pending.stored.empty() || !keys_of_large_.empty())
      stand_in(sequence, record->second, stand_in_for(record->second.outcome->payload, i, pending));
  }
  deliver_earlier(out);
  if (!broken_) out.emplace_back(scheduler::OutcomesAcknowledged{id, std::move(pending.sequences)});
}

/// The payload of its outcome is in the store, and no longer in memory.
void KeptPool::stand_in(JobSequence sequence, Record& record, const Payload& stored) {
  record.outcome->payload = stored;
  const auto key = keys_of_large_.find(sequence);
  if (key == keys_of_large_.end()) return;
  if (const auto value = values_of_keys_.find(key->second); value != values_of_keys_.end()) value->second = stored;
  keys_of_large_.erase(key);
}

void KeptPool::deliver(JobSequence sequence, Record& record, PoolEffects& out) {
  record.sent = true;
  out.emplace_back(Deliver{sequence, *record.outcome});
}

/// The next outcome of an earlier job that may be sent now; records_.end() if none may.
KeptPool::Records::iterator KeptPool::next_earlier() {
  if (credit_ == 0 || ready_.empty()) return records_.end();
  if (!in_order_) return records_.find(*ready_.begin());
  auto next = records_.lower_bound(cursor_);
  while (next != records_.end() && next->second.sent) ++next;
  if (next == records_.end() || next->first >= first_own_) return records_.end();
  cursor_ = next->first;
  return next->second.durable ? next : records_.end();
}

void KeptPool::deliver_earlier(PoolEffects& out) {
  if (holder_.session.value == 0) return;
  for (auto next = next_earlier(); next != records_.end(); next = next_earlier()) {
    auto& [sequence, record] = *next;
    --credit_;
    ready_.erase(sequence);
    if (!in_order_) {
      deliver(sequence, record, out);
      continue;
    }
    // All in one lane, where neither errors nor small values overtake what was submitted before.
    record.sent = true;
    const StoredOutcome& outcome = *record.outcome;
    if (outcome.error) {
      tell(wire::JobError{id, sequence, *outcome.error, outcome.payload}, out, id.value);
    } else {
      tell(wire::JobValues{id, {{sequence, outcome.payload}}}, out, id.value);
    }
  }
}

void KeptPool::want_outcomes(const wire::WantOutcomes& message, PoolEffects& out) {
  if (in_order_ != message.in_order) cursor_ = 0;
  in_order_ = message.in_order;
  credit_ = std::min<std::uint64_t>(credit_ + message.count, limits::number_max);
  deliver_earlier(out);
}

void KeptPool::acknowledge(SessionId session, std::vector<JobSequence>&& sequences, PoolEffects& out) {
  Delivered entry;
  wire::AcksKept again{id, {}};
  for (const JobSequence sequence : sequences) {
    const auto record = records_.find(sequence);
    if (record == records_.end()) {
      if (!acknowledging_.contains(sequence)) again.sequences.push_back(sequence);
      continue;
    }
    if (!record->second.sent) {
      if (sequence <= restored_to_) continue;  // the journal may have lost it: it will come again
      out.emplace_back(Refuse{session, fmt::format("AckOutcomes of job {}, whose outcome was never sent", sequence)});
      break;
    }
    kept_bytes_ -= record->second.bytes;
    records_.erase(record);
    --to_take_;
    acknowledging_.insert(sequence);
    entry.sequences.push_back(sequence);
  }
  if (!again.sequences.empty()) tell(std::move(again), out);
  if (entry.sequences.empty()) return;
  if (mutation::confirm_unstored) tell(wire::AcksKept{id, entry.sequences}, out);
  Pending pending{Pending::Kind::acks};
  pending.sequences = entry.sequences;
  keep(std::move(pending), entry, false, out);
  shorten_if_worth(entry.sequences.size(), out);
}

/// So many outcomes or values were told in the journal that nobody needs any more.
void KeptPool::shorten_if_worth(std::size_t gone, PoolEffects& out) {
  delivered_since_compaction_ += gone;
  const std::uint64_t left = records_.size() + values_of_keys_.size();
  if (delivered_since_compaction_ < std::max<std::uint64_t>(compact_after, left)) return;
  delivered_since_compaction_ = 0;
  out.emplace_back(JournalCompact{log_});
}

}  // namespace dc::head

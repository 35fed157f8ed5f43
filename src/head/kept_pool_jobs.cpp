// What goes through a named pool: jobs and updates into the journal, and from there to the scheduler. The way back is
// in kept_pool_outcomes.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "core/check.hpp"
#include "core/mutation.hpp"
#include "head/kept_pool.hpp"
#include "head/stand_in.hpp"

namespace dc::head {
namespace {

/// Small arguments, which stay in memory, without the message or entry in which they came: they share a buffer.
void pack_small(std::vector<SubmittedJob>& jobs) {
  const auto is_small = [](const SubmittedJob& job) {
    return !job.arguments.is_elsewhere() && job.arguments.size() <= limits::payload_in_memory_max;
  };
  std::string bytes;
  bytes.reserve(std::accumulate(jobs.begin(), jobs.end(), std::size_t{0}, [&](std::size_t sum, const auto& job) {
    return sum + (is_small(job) ? job.arguments.size() : 0);
  }));
  for (const SubmittedJob& job : jobs) {
    if (is_small(job)) bytes += job.arguments.view();
  }
  const Payload all(std::move(bytes));
  std::size_t offset = 0;
  for (SubmittedJob& job : jobs) {
    if (!is_small(job)) continue;
    const std::size_t size = job.arguments.size();
    job.arguments = all.slice(offset, size);
    offset += size;
  }
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
  JobsTaken entry{std::move(jobs)};
  std::size_t beside = 0;
  for (const SubmittedJob& job : entry.jobs) beside += lies_beside(job.arguments) ? job.arguments.size() : 0;
  Pending pending{Pending::Kind::jobs};
  store::Entry encoded = encode_beside(entry, beside, pending);
  const auto count = static_cast<std::uint32_t>(entry.jobs.size());
  pending.jobs = std::move(entry.jobs);
  ++unsettled_;
  entries_.add(put(std::move(pending), std::move(encoded), true, out), count);
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
    Record& record = records_[job.sequence];
    record.bytes = job.arguments.size();
    record.job_entry = pending.entry;
    kept_.add(job.sequence);
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
      keep_outcome(job.sequence, {value->second.value, {}}, out);
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
  pack_small(started);
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

}  // namespace dc::head

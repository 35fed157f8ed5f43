// Named pools: how they begin, come back from the journal, hear of it, and end.
#include "head/kept_pool.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.hpp"
#include "core/mutation.hpp"
#include "core/weight.hpp"

namespace dc::head {
namespace {

/// Earlier versions took any.
void bring_into_range(double& weight, const std::string& pool, PoolEffects& out) {
  const std::string problem = problem_of_weight(weight);
  if (problem.empty()) return;
  weight = std::clamp(weight, limits::weight_min, limits::weight_max);
  out.emplace_back(Log{fmt::format("pool '{}' is of an earlier version: {}. It is {} now", pool, problem, weight)});
}

}  // namespace

// --- Birth ------------------------------------------------------------------------------------------------------

KeptPool::KeptPool(PoolId pool, store::LogId log, const PoolBounds& bounds, KeptMemory& memory, SessionId session,
                   const PeerInfo& peer, wire::OpenPool&& message)
    : HeadPool(pool), log_(log), bounds_(bounds), memory_(memory) {
  holder_ = {session, peer, message.pool, std::move(message.process)};
  name_ = std::move(message.pool_name);
  options = std::move(message.options);
  spec = message.spec.compact();
}

/// The pool and what its workers need go into the journal; the rest happens when they are there.
void KeptPool::open(const Payload& program, PoolEffects& out) {
  stage_ = Stage::being_kept;
  PoolBorn born;
  born.name = name_;
  born.options = options;
  born.spec = spec;
  born.client = holder_.peer.id;
  born.host = holder_.peer.host;
  born.pid = holder_.peer.pid;
  born.process = holder_.process;
  born.id = id;
  born.program = program;
  keep({Pending::Kind::birth}, born, true, out);
}

void KeptPool::is_born(PoolEffects& out) {
  stage_ = Stage::open;
  if (left_) keep_holder({Pending::Kind::client}, out);
  out.emplace_back(Log{fmt::format("pool {} ({}) of {} (pid {}) is open and in the store", quoted(), options.label,
                                   holder_.peer.host, holder_.peer.pid)});
  tell(wire::PoolOpened{holder_.asked, id, options}, out);
  out.emplace_back(scheduler::PoolOpened{id, options, false});
}

void KeptPool::is_not_stored(const std::string& why, PoolEffects& out) {
  const std::string text = fmt::format("pool {} was not opened: {}", quoted(), why);
  tell(wire::PoolFailed{holder_.asked, ErrorInfo::of(ErrorKind::not_stored, text)}, out);
  out.emplace_back(Over{});
}

KeptPool::~KeptPool() {
  for (const auto& [sequence, bytes] : in_memory_) memory_.give_back(bytes);
}

KeptPool::KeptPool(JournalState&& state, store::LogId log, const PoolBounds& bounds, KeptMemory& memory, WallTime wall,
                   TimePoint now, PoolEffects& out)
    : HeadPool(state.born->id), log_(log), bounds_(bounds), memory_(memory) {
  name_ = state.born->name;
  options = state.born->options;
  bring_into_range(options.weight, name_, out);
  spec = state.born->spec;
  stage_ = state.broken ? Stage::failed : Stage::open;
  holder_.peer = {wire::Role::client, state.holder.client, state.holder.host, state.holder.pid, ""};
  holder_.process = state.holder.process;
  left_ = state.holder.left;
  return_by_ = now + limits::client_return_grace;
  entries_ = std::move(state.entries);
  summaries_ = std::move(state.summaries);
  holder_entry_ = state.holder_entry;
  kept_ = state.taken;
  taken_ = std::move(state.taken);
  highest_ = restored_to_ = taken_.highest();
  updates_ = updates_kept_ = state.updates.size();
  for (const Payload& update : state.updates) remember_definition(update);
  done_ = state.done;
  broken_ = state.broken;
  restore_keys(state, wall, out);
  for (const auto& [sequence, outcome] : state.undelivered) {
    Record& record = records_[sequence];
    record.job_entry = outcome.job_entry;
    record.outcome_entry = outcome.entry;
    set_outcome(record, std::move(outcome));
    leave_in_store(record);
    record.durable = true;
    ++to_take_;
  }
  state.undelivered.clear();
  for (const auto& [sequence, job] : state.unfinished) {
    Record& record = records_[sequence];
    record.job_entry = job.entry;
    count_arguments(record, job.arguments.size());
  }
  if (!state.keys_told) erase_dead(out);  // and tells that they are
  attach(highest_ + 1);
  out.emplace_back(Log{fmt::format("pool {} is back from the store: {} jobs to run, {} outcomes to deliver", quoted(),
                                   state.unfinished.size(), records_.size() - state.unfinished.size())});
  if (broken_) return;
  out.emplace_back(scheduler::PoolOpened{id, options, true, state.done > 0});
  if (!options.keep_updates_history) out.emplace_back(scheduler::UpdateAdded{id, 0, {}});
  for (UpdateNumber number = 1; number <= state.updates.size(); ++number)
    out.emplace_back(scheduler::UpdateAdded{id, number, std::move(state.updates[number - 1])});
  constexpr std::size_t at_once = 4096;
  std::vector<SubmittedJob> jobs;
  while (!state.unfinished.empty()) {
    const auto next = state.unfinished.begin();
    jobs.push_back(std::move(static_cast<SubmittedJob&>(next->second)));
    state.unfinished.erase(next);
    if (jobs.size() < at_once && !state.unfinished.empty()) continue;
    start(std::exchange(jobs, {}), out);
  }
  out.emplace_back(scheduler::PoolResumed{id});
}

// --- The journal ------------------------------------------------------------------------------------------------

KeptEntry KeptPool::put(Pending&& pending, store::Entry&& entry, bool refusable, PoolEffects& out) {
  const KeptEntry kept{entries_.next(), store::size_of(entry)};
  pending.entry = kept.number;
  out.emplace_back(Keep{log_, std::move(pending), std::move(entry), {}, refusable});
  return kept;
}

/// Whose the pool is from here on.
void KeptPool::keep_holder(Pending&& pending, PoolEffects& out) {
  entries_.outdate(holder_entry_);
  holder_entry_ = keep(std::move(pending), client_entry(), false, out);
}

void KeptPool::erase_if_worth(PoolEffects& out) {
  // The more gaps there are in the numbers, the longer the Summary.
  constexpr std::size_t gaps_for_each = 16;
  const std::size_t at = std::max(bounds_.dead_entries_max, kept_.intervals().size() / gaps_for_each);
  if (entries_.worth_erasing(at)) erase_dead(out);
}

/// What nothing else tells of them is told in the same write as erases them.
void KeptPool::erase_dead(PoolEffects& out) {
  end_turn(out);  // its outcomes are counted
  Summary summary{{}, done_, true};
  std::vector<KeptEntry> fresh;
  const auto tell = [&] {
    fresh.push_back(keep({Pending::Kind::summary}, summary, false, out));
    summary.taken.clear();
  };
  for (const auto& [first, last] : kept_.intervals()) {
    if (mutation::sum_nothing) break;
    summary.taken.push_back({first, last});
    if (summary.taken.size() >= limits::sequences_per_message) tell();
  }
  if (!summary.taken.empty() || fresh.empty()) tell();
  for (const KeptEntry& old : std::exchange(summaries_, std::move(fresh))) entries_.outdate(old);
  std::get<Keep>(out.back()).erased = entries_.take_dead();
}

void KeptPool::journaled(Pending&& pending, const std::string& refused, PoolEffects& out) {
  switch (pending.kind) {
    case Pending::Kind::birth:
      if (!refused.empty()) return is_not_stored(refused, out);
      is_born(out);
      break;
    case Pending::Kind::summary:
      break;
    case Pending::Kind::jobs:
      --unsettled_;
      if (!refused.empty()) entries_.drop(pending.entry);
      refused.empty() ? jobs_are_taken(std::move(pending), out) : jobs_are_refused(pending.jobs, refused, out);
      break;
    case Pending::Kind::update:
      --unsettled_;
      update_is_kept(pending.number, std::move(pending.payload), out);
      break;
    case Pending::Kind::outcomes:
      outcomes_are_kept(std::move(pending), out);
      break;
    case Pending::Kind::acks:
      for (const JobSequence sequence : pending.sequences) acknowledging_.erase(sequence);
      tell(wire::AcksKept{id, std::move(pending.sequences)}, out);
      break;
    case Pending::Kind::failure:
      failure_is_kept(out);
      break;
    case Pending::Kind::keys:
      keys_are_dropped(pending, out);
      break;
    case Pending::Kind::client:
      unsettled_ -= pending.leaver.value != 0 ? 1 : 0;
      has_left(pending.leaver, out);
      break;
  }
  hand_over(out);
}

// --- Ends -------------------------------------------------------------------------------------------------------

/// Every job that has no outcome has this error, and the pool takes no more.
void KeptPool::failed(ErrorInfo&& error, PoolEffects& out) {
  stage_ = Stage::failed;
  end_turn(out);
  keep({Pending::Kind::failure}, PoolBroke{error}, false, out);
  broken_ = error;  // one for all
  running_keys_.clear();
  keys_of_running_.clear();
  followers_.clear();
  for (const auto& [sequence, bytes] : std::exchange(in_memory_, {})) memory_.give_back(bytes);
  for (const auto [sequence, record] : records_) {
    if (record.has_outcome()) continue;
    ++done_;
    set_outcome(record, {{}, broken_});
  }
  tell(wire::PoolFailed{id, std::move(error)}, out);
}

/// Its entry is the outcome of all jobs that had none.
void KeptPool::failure_is_kept(PoolEffects& out) {
  Pending ended{Pending::Kind::outcomes};
  for (const auto [sequence, record] : records_) {
    if (record.has_outcome() && !record.durable) ended.sequences.push_back(sequence);
  }
  outcomes_are_kept(std::move(ended), out);
}

void KeptPool::close(SessionId session, PoolId asked, PoolEffects& out) {
  tell_waiting(ErrorKind::pool_closed, fmt::format("pool {} was closed for good", quoted()), out);
  out.emplace_back(RemoveJournal{log_, session, asked});
  out.emplace_back(Over{fmt::format("pool {} is closed for good", quoted())});
}

// --- For tests and the simulator --------------------------------------------------------------------------------

void KeptPool::check_invariants() const {
  DC_CHECK(!name_.empty() && (stage_ == Stage::failed) == broken_.has_value());
  DC_CHECK(holder_.session.value == 0 || next_.value == 0);
  DC_CHECK(unaccepted_.jobs >= early_.size());
  DC_CHECK(bounds_.key_ttl.count() == 0 || values_of_keys_.size() == key_times_.size() + new_keys_.size());
  check_bytes();
}

}  // namespace dc::head

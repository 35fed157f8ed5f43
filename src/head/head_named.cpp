// Named pools: the head stands between their clients and the scheduler, and keeps what it takes from either in the
// journal before it says so. Towards the scheduler it acts as the pool's client: it hands jobs in when they are in the
// journal, and acknowledges outcomes when they are.
#include <fmt/format.h>

#include <algorithm>

#include "core/mutation.hpp"
#include "head/head_machine.hpp"

namespace dc::head {
namespace {

constexpr std::size_t name_bytes_max = 200;
/// Outcomes that come in one turn share an entry of about this size.
constexpr std::size_t values_entry_bytes = std::size_t{256} << 10;
/// A journal is shortened when so many outcomes were delivered since, and more than are still to be delivered.
constexpr std::uint64_t compact_after = 20'000;

ErrorInfo error_of(ErrorKind kind, std::string message) {
  ErrorInfo error;
  error.kind = kind;
  error.message = std::move(message);
  return error;
}

std::string name_problem(const std::string& name) {
  if (name.empty()) return "the pool's name is empty";
  if (name.size() > name_bytes_max)
    return fmt::format("the pool's name has {} bytes: at most {} are allowed", name.size(), name_bytes_max);
  for (const char letter : name) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F) return "the pool's name has control characters";
  }
  return {};
}

}  // namespace

// --- The journal ------------------------------------------------------------------------------------------------

template <class Body>
void HeadMachine::append(Pending pending, const Body& entry, bool refusable, Effects& out) {
  const store::Ticket ticket = ++last_ticket_;
  out.emplace_back(JournalAppend{ticket, pending.pool, encode(entry), refusable});
  pending_.emplace(ticket, std::move(pending));
}

void HeadMachine::journaled(const std::vector<store::JournalThread::Done>& done, TimePoint now, Effects& out) {
  for (const auto& [ticket, refused] : done) {
    const auto found = pending_.find(ticket);
    if (found == pending_.end()) continue;
    Pending pending = std::move(found->second);
    pending_.erase(found);
    if (pending.kind == Pending::Kind::removal) {
      if (sessions_.contains(pending.session)) out.emplace_back(Send{pending.session, wire::PoolClosed{pending.pool}});
      continue;
    }
    const auto pool = pools_.find(pending.pool);
    if (pool == pools_.end() || !pool->second.named || ticket < pool->second.named->first_ticket) continue;  // removed
    const PoolId id = pending.pool;
    settle(pool->second, std::move(pending), refused, now, out);
    hand_over(id, out);
  }
}

void HeadMachine::settle(PoolInfo& pool, Pending&& pending, const std::string& refused, TimePoint now, Effects& out) {
  NamedPool& named = *pool.named;
  const PoolId id = pending.pool;
  switch (pending.kind) {
    case Pending::Kind::birth:
      return refused.empty() ? named_pool_is_born(id, pool, now, out) : named_pool_not_stored(id, pool, refused, out);
    case Pending::Kind::jobs:
      return refused.empty() ? jobs_are_taken(id, named, std::move(pending.jobs), now, out)
                             : jobs_are_refused(id, named, pending.jobs, refused, out);
    case Pending::Kind::outcomes:
      return outcomes_are_kept(id, named, std::move(pending.sequences), now, out);
    case Pending::Kind::update:
      named.updates_kept = pending.number;
      if (!named.broken) tell(scheduler::UpdateAdded{id, pending.number, std::move(pending.payload)}, now, out);
      return;
    case Pending::Kind::acks:
      for (const JobSequence sequence : pending.sequences) named.acknowledging.erase(sequence);
      return send_to_client(id, wire::AcksKept{id, std::move(pending.sequences)}, wire::control_lane, out);
    case Pending::Kind::failure:
      return failure_is_kept(id, named, now, out);
    case Pending::Kind::client:
    case Pending::Kind::removal:
      return;
  }
}

// --- Opening ----------------------------------------------------------------------------------------------------

void HeadMachine::on(SessionId session, wire::OpenNamedPool&& message, TimePoint now, Effects& out) {
  if (message.pool.value == 0) return refuse(session, "OpenNamedPool without a pool", out);
  const auto fail = [&](ErrorKind kind, std::string text) {
    sessions_.at(session).past.insert(message.pool);
    out.emplace_back(Send{session, wire::PoolFailed{message.pool, error_of(kind, std::move(text))}});
  };
  if (const std::string problem = name_problem(message.pool_name); !problem.empty())
    return fail(ErrorKind::pool_closed, problem);
  if (!facts_.has_store)
    return fail(ErrorKind::not_stored, "the head keeps no named pools: it was started with --store none");
  const auto found = pools_.find(message.pool);
  if (found != pools_.end()) {
    NamedPool* named = found->second.named.get();
    if (!named || named->name != message.pool_name) return refuse(session, "OpenNamedPool of another pool", out);
    return attach(session, found->first, found->second, message.steal, out);
  }
  if (message.attach_only) {
    return fail(
        ErrorKind::pool_not_found,
        fmt::format("the head on {} has no pool named '{}': `distributed-computing pools list` shows those that "
                    "it has",
                    facts_.host, message.pool_name));
  }
  if (const std::string problem = problem_of(message.options); !problem.empty())
    return fail(ErrorKind::pool_closed, problem);
  PoolInfo& pool = pools_[message.pool];
  const PeerInfo& peer = sessions_.at(session).peer;
  pool.client = ClientId{peer.id};
  pool.session = session;
  pool.peer = peer;
  pool.options = std::move(message.options);
  pool.spec = message.spec.compact();
  pool.named = std::make_unique<NamedPool>();
  pool.named->name = std::move(message.pool_name);
  const std::string& hash = pool.options.program_hash;
  if (!hash.empty() && !programs_.contains(hash)) {
    out.emplace_back(Send{session, wire::NeedProgram{hash}});
  } else {
    open_pool(message.pool, pool, now, out);
  }
}

/// The pool and what its workers need go into the journal; the rest happens when they are there.
void HeadMachine::keep_named_pool(PoolId id, PoolInfo& pool, Effects& out) {
  if (std::exchange(pool.keeping, true)) return;
  pool.named->first_ticket = last_ticket_ + 1;
  const std::string& hash = pool.options.program_hash;
  PoolBorn born;
  born.name = pool.named->name;
  born.options = pool.options;
  born.spec = pool.spec;
  born.client = pool.client.value;
  if (!hash.empty()) born.program = programs_.at(hash);
  append({Pending::Kind::birth, id}, born, true, out);
}

void HeadMachine::named_pool_is_born(PoolId id, PoolInfo& pool, TimePoint now, Effects& out) {
  pool.opened = true;
  pool.keeping = false;
  out.emplace_back(Log{fmt::format("pool {} ({}) of {} (pid {}) is open and in the store", pool.named->quoted(),
                                   pool.options.label, pool.peer.host, pool.peer.pid)});
  send_to_client(id, wire::NamedPoolOpened{id, pool.options, 0, 0, 0}, wire::control_lane, out);
  tell(scheduler::PoolOpened{id, pool.options, false}, now, out);
}

void HeadMachine::named_pool_not_stored(PoolId id, PoolInfo& pool, const std::string& why, Effects& out) {
  send_to_client(id,
                 wire::PoolFailed{id, error_of(ErrorKind::not_stored,
                                               fmt::format("pool {} was not opened: {}", pool.named->quoted(), why))},
                 wire::control_lane, out);
  forget_pool(id);
}

/// A client goes on with a pool that exists, unless another one has it.
void HeadMachine::attach(SessionId session, PoolId id, PoolInfo& pool, bool steal, Effects& out) {
  NamedPool& named = *pool.named;
  const PeerInfo& peer = sessions_.at(session).peer;
  const SessionId holder = pool.session.value != 0 ? pool.session : named.next;
  const bool held = holder.value != 0 && holder != session;
  const auto send_error = [&](SessionId to, ErrorKind kind, std::string text) {
    sessions_.at(to).past.insert(id);
    out.emplace_back(Send{to, wire::PoolFailed{id, error_of(kind, std::move(text))}});
  };
  if (pool.keeping && !held) {  // the client that opens it is back before it is open
    pool.session = session;
    pool.client = ClientId{peer.id};
    pool.peer = peer;
    return;
  }
  if ((held && !steal) || !(pool.opened || named.broken)) {
    return send_error(session, ErrorKind::pool_busy,
                      fmt::format("pool {} is in the hands of {} (pid {}): wait until that program leaves it, or take "
                                  "it over with steal",
                                  named.quoted(), pool.peer.host, pool.peer.pid));
  }
  flush_batches(out);
  if (held) {
    send_error(holder, ErrorKind::pool_closed,
               fmt::format("pool {} was taken over by {} (pid {})", named.quoted(), peer.host, peer.pid));
  }
  pool.session = {};
  pool.client = ClientId{peer.id};
  pool.peer = peer;
  named.next = session;
  hand_over(id, out);
}

/// Who waits for the pool has it when all jobs and updates of its forerunner are in the journal, or were refused: only
/// then is it known how many there are.
void HeadMachine::hand_over(PoolId id, Effects& out) {
  const auto found = pools_.find(id);
  if (found == pools_.end() || !found->second.named || found->second.named->next.value == 0) return;
  const bool waits = std::any_of(pending_.begin(), pending_.end(), [id](const auto& entry) {
    const Pending& pending = entry.second;
    return pending.pool == id && (pending.kind == Pending::Kind::jobs || pending.kind == Pending::Kind::update);
  });
  if (waits) return;
  PoolInfo& pool = found->second;
  NamedPool& named = *pool.named;
  flush_batches(out);
  pool.session = std::exchange(named.next, {});
  named.attach(named.highest + 1);
  // Before all that it will want in the journal.
  append({Pending::Kind::client, id}, ClientCame{pool.client.value}, false, out);
  out.emplace_back(Log{fmt::format("{} (pid {}) goes on with pool {}: {} outcomes are to be delivered", pool.peer.host,
                                   pool.peer.pid, named.quoted(), named.records.size())});
  out.emplace_back(
      Send{pool.session, wire::NamedPoolOpened{id, pool.options, named.highest, named.updates, named.records.size()}});
  if (pool.opened) carry_out_state(id, out);
}

/// The number of workers, for a client that has just come.
void HeadMachine::carry_out_state(PoolId id, Effects& out) {
  scheduler::PoolChanged changed{id};
  carry_out(changed, out);
}

void HeadMachine::on(SessionId session, wire::ResumeNamedPool&& message, TimePoint, Effects& out) {
  const PeerInfo& peer = sessions_.at(session).peer;
  const auto found = pools_.find(message.pool);
  const auto fail = [&](ErrorKind kind, std::string text) {
    sessions_.at(session).past.insert(message.pool);
    out.emplace_back(Send{session, wire::PoolFailed{message.pool, error_of(kind, std::move(text))}});
  };
  if (found == pools_.end() || !found->second.named || found->second.keeping)
    return fail(ErrorKind::pool_not_found, "the head does not have this named pool any more: it was closed or removed");
  PoolInfo& pool = found->second;
  NamedPool& named = *pool.named;
  if (pool.client.value != 0 && pool.client.value != peer.id) {
    return fail(ErrorKind::pool_closed,
                fmt::format("pool {} was taken over by {} (pid {})", named.quoted(), pool.peer.host, pool.peer.pid));
  }
  move_pool(pool, session, out);
  pool.client = ClientId{peer.id};
  named.next = {};
  named.attach(message.first_own);
  wire::AcksKept kept{message.pool, {}};
  for (const JobSequence sequence : message.received) {
    const auto record = named.records.find(sequence);
    if (record != named.records.end()) {
      record->second.sent = true;
      named.ready.erase(sequence);
    } else if (!named.acknowledging.contains(sequence)) {
      kept.sequences.push_back(sequence);
    }
  }
  wire::NamedPoolKnown known{message.pool, named.updates_kept, {}};
  wire::JobsAccepted accepted{message.pool, {}};
  for (const JobSequence sequence : message.unaccepted) {
    if (!named.taken.contains(sequence)) known.missing.push_back(sequence);
    if (named.records.contains(sequence)) accepted.sequences.push_back(sequence);
  }
  out.emplace_back(Send{session, std::move(known)});
  if (!accepted.sequences.empty()) out.emplace_back(Send{session, std::move(accepted)});
  if (!kept.sequences.empty()) out.emplace_back(Send{session, std::move(kept)});
  for (auto& [sequence, record] : named.records) {
    if (sequence >= named.first_own && record.durable && !record.sent) deliver(message.pool, sequence, record, out);
  }
  if (pool.opened) carry_out_state(message.pool, out);
}

void HeadMachine::on(SessionId session, wire::LeavePool&& message, TimePoint, Effects& out) {
  PoolInfo* pool = own_pool(session, message.pool, message.name, out);
  if (pool && pool->named) {
    flush_batches(out);
    sessions_.at(session).past.insert(message.pool);
    out.emplace_back(
        Log{fmt::format("{} (pid {}) leaves pool {}", pool->peer.host, pool->peer.pid, pool->named->quoted())});
    pool->session = {};
  }
  out.emplace_back(Send{session, wire::PoolLeft{message.pool}});
}

// --- Jobs and updates -------------------------------------------------------------------------------------------

void HeadMachine::take_jobs(PoolId id, NamedPool& named, std::vector<SubmittedJob>&& jobs, Effects& out) {
  if (named.broken) {
    wire::JobsRefused refused{id, {}, *named.broken};
    for (const SubmittedJob& job : jobs) refused.sequences.push_back(job.sequence);
    return send_to_client(id, std::move(refused), wire::control_lane, out);
  }
  wire::JobsAccepted again{id, {}};
  std::vector<SubmittedJob> small;
  for (SubmittedJob& job : jobs) {
    if (job.after_update > named.updates) {
      named.early.push_back(std::move(job));
      continue;
    }
    named.highest = std::max(named.highest, job.sequence);
    if (!named.taken.add(job.sequence)) {
      if (named.records.contains(job.sequence)) again.sequences.push_back(job.sequence);
      continue;
    }
    if (mutation::accept_unstored) again.sequences.push_back(job.sequence);
    if (job.arguments.size() <= limits::inline_payload_max) {
      small.push_back(std::move(job));
      continue;
    }
    Pending pending{Pending::Kind::jobs, id};
    pending.jobs.push_back(job);
    append(std::move(pending), JobsTaken{{std::move(job)}}, true, out);
  }
  if (!again.sequences.empty()) send_to_client(id, std::move(again), wire::control_lane, out);
  if (small.empty()) return;
  JobsTaken entry{std::move(small)};
  Pending pending{Pending::Kind::jobs, id};
  const store::Ticket ticket = ++last_ticket_;
  out.emplace_back(JournalAppend{ticket, id, encode(entry), true});
  pending.jobs = std::move(entry.jobs);
  pending_.emplace(ticket, std::move(pending));
}

void HeadMachine::jobs_are_taken(PoolId id, NamedPool& named, std::vector<SubmittedJob>&& jobs, TimePoint now,
                                 Effects& out) {
  wire::JobsAccepted accepted{id, {}};
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
    for (const SubmittedJob& job : jobs) keep_outcome(id, named, job.sequence, {{}, *named.broken}, out);
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
      error_of(ErrorKind::not_stored, fmt::format("a job of pool {} was not accepted: {}", named.quoted(), why))};
  for (const SubmittedJob& job : jobs) {
    if (!mutation::keep_refused_numbers) named.taken.remove(job.sequence);
    refused.sequences.push_back(job.sequence);
  }
  send_to_client(id, std::move(refused), wire::control_lane, out);
}

void HeadMachine::take_update(PoolId id, NamedPool& named, wire::AddUpdate&& message, Effects& out) {
  if (named.broken) return send_to_client(id, wire::PoolFailed{id, *named.broken}, wire::control_lane, out);
  if (message.number != named.updates + 1) return;  // sent again after a break, and on its way
  ++named.updates;
  Pending pending{Pending::Kind::update, id};
  pending.number = message.number;
  pending.payload = message.payload.compact();
  append(std::move(pending), UpdateCame{message.number, message.payload}, false, out);
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
  record.outcome = std::make_unique<StoredOutcome>();
  record.outcome->payload = outcome.payload;
  if (outcome.error) record.outcome->error = std::make_unique<ErrorInfo>(*outcome.error);
  if (mutation::deliver_unstored && sequence >= named.first_own) deliver(id, sequence, record, out);
  if (outcome.error) {
    flush_outcomes(id, named, out);
    Pending pending{Pending::Kind::outcomes, id};
    pending.sequences = {sequence};
    return append(std::move(pending), ErrorCame{sequence, std::move(*outcome.error), std::move(outcome.payload)}, false,
                  out);
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
  Outcome outcome{record.outcome->payload, {}};
  if (record.outcome->error) outcome.error = *record.outcome->error;
  send_outcome(id, sequence, std::move(outcome), out);
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
  pool->named->credit += message.count;
  deliver_earlier(message.pool, *pool->named, out);
}

void HeadMachine::take_acks(PoolId id, NamedPool& named, std::vector<JobSequence>&& sequences, Effects& out) {
  Delivered entry;
  wire::AcksKept again{id, {}};
  for (const JobSequence sequence : sequences) {
    const auto record = named.records.find(sequence);
    if (record == named.records.end()) {
      if (!named.acknowledging.contains(sequence)) again.sequences.push_back(sequence);
      continue;
    }
    if (!record->second.sent) continue;  // it cannot have it
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
  out.emplace_back(JournalCompact{id});
}

// --- Ends -------------------------------------------------------------------------------------------------------

/// The pool failed in the scheduler: every job that has no outcome has this one, and the pool takes no more.
void HeadMachine::named_pool_broke(PoolId id, PoolInfo& pool, const ErrorInfo& error, Effects& out) {
  NamedPool& named = *pool.named;
  pool.opened = false;
  flush_outcomes(id, named, out);
  append({Pending::Kind::failure, id}, PoolBroke{error}, false, out);
  named.broken = error;
  named.running_keys.clear();
  named.key_of.clear();
  named.followers.clear();
  for (auto& [sequence, record] : named.records) {
    if (record.outcome) continue;
    ++named.done;
    record.outcome = std::make_unique<StoredOutcome>();
    record.outcome->error = std::make_unique<ErrorInfo>(error);
  }
}

/// Its entry is the outcome of all jobs that had none.
void HeadMachine::failure_is_kept(PoolId id, NamedPool& named, TimePoint now, Effects& out) {
  std::vector<JobSequence> sequences;
  for (const auto& [sequence, record] : named.records) {
    if (record.outcome && !record.durable) sequences.push_back(sequence);
  }
  outcomes_are_kept(id, named, std::move(sequences), now, out);
}

void HeadMachine::remove_named_pool(SessionId session, PoolId id, TimePoint now, Effects& out) {
  const std::string name = pools_.at(id).named->quoted();
  forget_pool(id);
  out.emplace_back(Log{fmt::format("pool {} is closed for good", name)});
  const store::Ticket ticket = ++last_ticket_;
  out.emplace_back(JournalRemove{ticket, id});
  pending_.emplace(ticket, Pending{Pending::Kind::removal, id, session});
  tell(scheduler::PoolClosed{id}, now, out);
}

// --- Start of the head ------------------------------------------------------------------------------------------

void HeadMachine::restore(PoolId id, JournalState&& state, TimePoint now, Effects& out) {
  PoolInfo& pool = pools_[id];
  pool.client = ClientId{state.client};
  pool.options = state.born->options;
  pool.spec = state.born->spec;
  pool.resumed = true;
  pool.opened = !state.broken;
  pool.named = std::make_unique<NamedPool>();
  NamedPool& named = *pool.named;
  named.name = state.born->name;
  named.taken = std::move(state.taken);
  named.highest = named.taken.highest();
  named.updates = named.updates_kept = state.updates.size();
  named.done = state.done;
  named.broken = std::move(state.broken);
  named.values_of_keys = std::move(state.keys);
  for (auto& [sequence, outcome] : state.undelivered) {
    NamedPool::Record& record = named.records[sequence];
    record.outcome = std::make_unique<StoredOutcome>(std::move(outcome));
    named.made_durable(record);
  }
  state.undelivered.clear();
  for (const auto& [sequence, job] : state.unfinished) named.records.try_emplace(sequence);
  named.attach(named.highest + 1);
  if (const std::string& hash = pool.options.program_hash; !hash.empty()) programs_[hash] = state.born->program;
  out.emplace_back(
      Log{fmt::format("pool {} is back from the store: {} jobs to run, {} outcomes to deliver", named.quoted(),
                      state.unfinished.size(), named.records.size() - state.unfinished.size())});
  if (named.broken) return;
  tell(scheduler::PoolOpened{id, pool.options, true}, now, out);
  if (!pool.options.keep_updates_history) tell(scheduler::UpdateAdded{id, 0, {}}, now, out);
  for (UpdateNumber number = 1; number <= state.updates.size(); ++number)
    tell(scheduler::UpdateAdded{id, number, std::move(state.updates[number - 1])}, now, out);
  constexpr std::size_t at_once = 4096;
  std::vector<SubmittedJob> jobs;
  while (!state.unfinished.empty()) {
    const auto next = state.unfinished.begin();
    jobs.push_back(std::move(next->second));
    state.unfinished.erase(next);
    if (jobs.size() < at_once && !state.unfinished.empty()) continue;
    start_jobs(id, named, std::exchange(jobs, {}), now, out);
  }
  tell(scheduler::PoolResumed{id}, now, out);
}

}  // namespace dc::head

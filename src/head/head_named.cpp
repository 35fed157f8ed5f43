// Named pools: the head stands between their clients and the scheduler, and keeps what it takes from either in the
// journal before it says so. Towards the scheduler it acts as the pool's client: it hands jobs in when they are in the
// journal, and acknowledges outcomes when they are. Here they open, change hands, end and come back; see
// head_named_jobs.cpp for what goes through them.
#include <fmt/format.h>

#include <algorithm>

#include "core/weight.hpp"
#include "head/head_machine.hpp"

namespace dc::head {
namespace {

std::string name_problem(const std::string& name) {
  if (name.size() > limits::pool_name_bytes_max)
    return fmt::format("the pool's name has {} bytes: at most {} are allowed", name.size(),
                       limits::pool_name_bytes_max);
  for (const char letter : name) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F) return "the pool's name has control characters";
  }
  return {};
}

/// Earlier versions took any.
void bring_into_range(double& weight, const std::string& pool, Effects& out) {
  const std::string problem = problem_of_weight(weight);
  if (problem.empty()) return;
  weight = std::clamp(weight, limits::weight_min, limits::weight_max);
  out.emplace_back(Log{fmt::format("pool '{}' is of an earlier version: {}. It is {} now", pool, problem, weight)});
}

PoolId scattered(PoolId pool, std::uint32_t epoch, std::uint64_t salt) {
  std::uint64_t id = pool.value ^ (std::uint64_t{epoch} << 32) ^ salt;  // as splitmix64 does
  id = (id ^ (id >> 30)) * 0xbf58476d1ce4e5b9U;
  id = (id ^ (id >> 27)) * 0x94d049bb133111ebU;
  return PoolId{(id ^ (id >> 31)) | 1};
}

/// Their acknowledgement is in the journal.
void send_confirmed(PoolId id, NamedPool& named, SessionId session, Effects& out) {
  while (!named.confirmed.empty()) {
    const auto count = std::min(named.confirmed.size(), limits::sequences_per_message);
    const auto from = named.confirmed.end() - static_cast<std::ptrdiff_t>(count);
    out.emplace_back(Send{session, wire::AcksKept{id, {from, named.confirmed.end()}}});
    named.confirmed.erase(from, named.confirmed.end());
  }
}

}  // namespace

// --- The journal ------------------------------------------------------------------------------------------------

void HeadMachine::journaled(const std::vector<store::Journaled>& done, TimePoint now, Effects& out) {
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
    if (pool == pools_.end()) continue;  // removed
    const PoolId id = pending.pool;
    settle(pool->second, std::move(pending), refused, now, out);
    hand_over(id, out);
  }
}

void HeadMachine::settle(PoolInfo& pool, Pending&& pending, const std::string& refused, TimePoint now, Effects& out) {
  NamedPool& named = *pool.named;
  const PoolId id = pending.pool;
  const bool of_client = pending.kind == Pending::Kind::jobs || pending.kind == Pending::Kind::update;
  named.unsettled -= of_client ? 1 : 0;
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
      named.kept(pending.payload);
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

std::map<PoolId, HeadMachine::PoolInfo>::iterator HeadMachine::find_named(const std::string& name) {
  const auto found = names_.find(name);
  return found == names_.end() ? pools_.end() : pools_.find(found->second);
}

/// A node that was away when a pool was closed for good still has workers and results of it, perhaps of another class.
/// They must not be taken for those of the next pool with that name, even if its client asks by the same id.
PoolId HeadMachine::new_id(PoolId asked) const {
  PoolId id;
  for (std::uint64_t salt = last_ticket_ + 1; id.value == 0 || pools_.contains(id); ++salt)
    id = scattered(asked, facts_.epoch, salt);
  return id;
}

void HeadMachine::open_named(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out) {
  const auto fail = [&](ErrorKind kind, std::string text) {
    fail_pool(session, message.pool, kind, std::move(text), out);
  };
  if (const std::string problem = name_problem(message.pool_name); !problem.empty())
    return fail(ErrorKind::pool_closed, problem);
  if (!facts_.has_store)
    return fail(ErrorKind::not_stored, "the head keeps no named pools: it was started with --store none");
  if (const auto broken = find_refused(message.pool_name); broken != refused_.end())
    return fail(ErrorKind::not_stored, refusal(broken->second));
  if (const auto found = find_named(message.pool_name); found != pools_.end())
    return attach(session, found->first, found->second, message, now, out);
  if (message.attach_only) {
    return fail(
        ErrorKind::pool_not_found,
        fmt::format("the head on {} has no pool named '{}': `distributed-computing pools list` shows those that "
                    "it has",
                    facts_.host, message.pool_name));
  }
  if (const std::string problem = problem_of(message.options); !problem.empty())
    return fail(ErrorKind::pool_closed, problem);
  const PoolId id = new_id(message.pool);
  PoolInfo& pool = pools_[id];
  names_[message.pool_name] = id;
  use_program(message.options.program_hash);
  const PeerInfo& peer = sessions_.at(session).peer;
  pool.client = ClientId{peer.id};
  pool.session = session;
  pool.asked = message.pool;
  sessions_.at(session).pools.insert(id);
  pool.peer = peer;
  pool.options = std::move(message.options);
  pool.spec = message.spec.compact();
  pool.named = std::make_unique<NamedPool>();
  pool.named->log = facts_.log_of_name(message.pool_name);
  pool.named->name = std::move(message.pool_name);
  pool.named->process = std::move(message.process);
  const std::string& hash = pool.options.program_hash;
  if (!hash.empty() && !programs_.contains(hash)) {
    ask_for_program(session, hash, out);
  } else {
    open_pool(id, pool, now, out);
  }
}

/// The pool and what its workers need go into the journal; the rest happens when they are there.
void HeadMachine::keep_named_pool(PoolId id, PoolInfo& pool, Effects& out) {
  if (std::exchange(pool.keeping, true)) return;
  const std::string& hash = pool.options.program_hash;
  PoolBorn born;
  born.name = pool.named->name;
  born.options = pool.options;
  born.spec = pool.spec;
  born.client = pool.client.value;
  born.host = pool.peer.host;
  born.pid = pool.peer.pid;
  born.process = pool.named->process;
  born.id = id;
  if (!hash.empty()) born.program = programs_.at(hash);
  append({Pending::Kind::birth, id}, born, true, out);
}

void HeadMachine::named_pool_is_born(PoolId id, PoolInfo& pool, TimePoint now, Effects& out) {
  pool.opened = true;
  pool.keeping = false;
  if (pool.named->left) append({Pending::Kind::client, id}, client_of(pool), false, out);
  out.emplace_back(Log{fmt::format("pool {} ({}) of {} (pid {}) is open and in the store", pool.named->quoted(),
                                   pool.options.label, pool.peer.host, pool.peer.pid)});
  send_to_client(id, wire::PoolOpened{pool.asked, id, pool.options}, wire::control_lane, out);
  tell(scheduler::PoolOpened{id, pool.options, false}, now, out);
}

void HeadMachine::named_pool_not_stored(PoolId id, PoolInfo& pool, const std::string& why, Effects& out) {
  send_to_client(
      id,
      wire::PoolFailed{pool.asked, ErrorInfo::of(ErrorKind::not_stored,
                                                 fmt::format("pool {} was not opened: {}", pool.named->quoted(), why))},
      wire::control_lane, out);
  forget_pool(id);
}

void HeadMachine::resume_named(SessionId session, wire::ResumePool&& message, TimePoint now, Effects& out) {
  const PeerInfo& peer = sessions_.at(session).peer;
  const auto found = pools_.find(message.pool);
  if (found != pools_.end() && (!found->second.named || found->second.named->name != message.pool_name))
    return refuse(session, "ResumePool with the name of another pool", out);
  const auto fail = [&](ErrorKind kind, std::string text) {
    has_left(session, message.pool);
    fail_pool(session, message.pool, kind, std::move(text), out);
  };
  if (const auto broken = find_refused(message.pool_name); broken != refused_.end())
    return fail(ErrorKind::not_stored, refusal(broken->second));
  if (found != pools_.end() && found->second.session == session && found->second.keeping)
    return refuse(session, "ResumePool of a pool that it opens", out);
  if (found == pools_.end() || found->second.keeping) return not_known(session, message.pool, out);
  PoolInfo& pool = found->second;
  NamedPool& named = *pool.named;
  if (pool.client.value != 0 && pool.client.value != peer.id)
    return fail(ErrorKind::pool_closed, taken_over(named, pool.peer));
  const bool goes_on = pool.session == session;
  if (const std::string wrong = named.cannot_be_received(message.received); !wrong.empty())
    return refuse(session, wrong, out);
  if (goes_on && !named.resuming) return refuse(session, "ResumePool of a pool that the session has", out);
  move_pool(message.pool, pool, session, out);
  pool.client = ClientId{peer.id};
  named.next = {};
  named.left = false;
  if (!goes_on) named.attach(message.first_own);
  named.resuming = message.more;
  tell_waiting(message.pool, pool, ErrorKind::pool_busy, busy_text(pool), out);
  for (const JobSequence sequence : message.received) {
    const auto record = named.records.find(sequence);
    if (record != named.records.end()) {
      record->second.sent = record->second.durable;  // if not, the journal has lost it, and it will come again
      named.ready.erase(sequence);
    } else if (!named.acknowledging.contains(sequence)) {
      named.confirmed.push_back(sequence);
    }
  }
  if (!message.more) tell_what_is_known(session, message.pool, pool, message.outstanding, now, out);
}

/// The client is back, and has said all that it has.
void HeadMachine::tell_what_is_known(SessionId session, PoolId id, PoolInfo& pool,
                                     const std::vector<JobSequence>& unaccepted, TimePoint now, Effects& out) {
  NamedPool& named = *pool.named;
  wire::PoolKnown known{id, true, named.updates_kept, {}, named.taken.highest()};
  const std::vector<JobSequence> earlier = named.earlier();
  auto next = earlier.begin();
  for (; static_cast<std::size_t>(earlier.end() - next) > limits::sequences_per_message;) {
    const auto part = next + static_cast<std::ptrdiff_t>(limits::sequences_per_message);
    out.emplace_back(Send{session, wire::PoolKnown{id, true, 0, {}, 0, {next, part}, true}});
    next = part;
  }
  known.earlier.assign(next, earlier.end());
  wire::JobsAccepted accepted{id, {}};
  for (const JobSequence sequence : unaccepted) {
    if (!named.taken.contains(sequence)) known.missing.push_back(sequence);
    if (named.records.contains(sequence)) accepted.sequences.push_back(sequence);
  }
  pool.most_workers = std::max<std::uint64_t>(pool.most_workers, named.unaccepted.jobs + known.missing.size());
  out.emplace_back(Send{session, std::move(known)});
  send_confirmed(id, named, session, out);
  if (!accepted.sequences.empty()) out.emplace_back(Send{session, std::move(accepted)});
  for (auto& [sequence, record] : named.records) {
    if (sequence >= named.first_own && record.durable && !record.sent) deliver(id, sequence, record, out);
  }
  tell_of_updates(id, now, out);
  if (pool.opened) carry_out_state(id, out);
}

// --- Ends -------------------------------------------------------------------------------------------------------

/// The pool failed in the scheduler: every job that has no outcome has this one, and the pool takes no more.
void HeadMachine::named_pool_broke(PoolId id, PoolInfo& pool, const ErrorInfo& error, Effects& out) {
  NamedPool& named = *pool.named;
  pool.opened = false;
  flush_outcomes(id, named, out);
  append({Pending::Kind::failure, id}, PoolBroke{error}, false, out);
  named.broken = error;  // one for all
  named.running_keys.clear();
  named.key_of.clear();
  named.followers.clear();
  for (auto& [sequence, record] : named.records) {
    if (record.outcome) continue;
    ++named.done;
    record.outcome = std::make_unique<StoredOutcome>(StoredOutcome{{}, named.broken});
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

void HeadMachine::remove_named_pool(SessionId session, PoolId id, PoolId told, TimePoint now, Effects& out) {
  const std::string name = pools_.at(id).named->quoted();
  const store::LogId log = pools_.at(id).named->log;
  tell_waiting(id, pools_.at(id), ErrorKind::pool_closed, fmt::format("pool {} was closed for good", name), out);
  forget_pool(id);
  out.emplace_back(Log{fmt::format("pool {} is closed for good", name)});
  const store::Ticket ticket = ++last_ticket_;
  out.emplace_back(JournalRemove{ticket, log});
  pending_.emplace(ticket, Pending{Pending::Kind::removal, told, session});
  tell(scheduler::PoolClosed{id}, now, out);
}

// --- Start of the head ------------------------------------------------------------------------------------------

void HeadMachine::restore(JournalState&& state, TimePoint now, Effects& out) {
  const PoolId id = state.born->id;
  PoolInfo& pool = pools_[id];
  names_[state.born->name] = id;
  pool.client = ClientId{state.holder.client};
  pool.peer.host = state.holder.host;
  pool.peer.pid = state.holder.pid;
  pool.options = state.born->options;
  bring_into_range(pool.options.weight, state.born->name, out);
  pool.spec = state.born->spec;
  use_program(pool.options.program_hash);
  pool.resumed = true;
  pool.opened = !state.broken;
  pool.named = std::make_unique<NamedPool>();
  NamedPool& named = *pool.named;
  named.process = state.holder.process;
  named.left = state.holder.left;
  named.return_by = now + limits::client_return_grace;
  named.name = state.born->name;
  named.log = facts_.log_of_name(named.name);
  named.taken = std::move(state.taken);
  named.highest = named.restored_to = named.taken.highest();
  named.updates = named.updates_kept = state.updates.size();
  for (const Payload& update : state.updates) named.kept(update);
  named.done = state.done;
  named.broken = state.broken;
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
  tell(scheduler::PoolOpened{id, pool.options, true, state.done > 0}, now, out);
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

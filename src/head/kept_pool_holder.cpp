// Whose a named pool is. One client has it at a time. While it is there, others get PoolBusy; while it is away, they
// wait until it is back, known to be gone, or has had its time.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/mutation.hpp"
#include "head/kept_pool.hpp"

namespace dc::head {

ClientCame KeptPool::client_entry() const {
  return {holder_.peer.id, holder_.peer.host, holder_.peer.pid, holder_.process, left_};
}

std::string KeptPool::taken_over_by(const PeerInfo& peer) const {
  return fmt::format("pool {} was taken over by {} (pid {})", quoted(), peer.host, peer.pid);
}

std::string KeptPool::busy_text() const {
  return fmt::format(
      "pool {} is in the hands of {} (pid {}): wait until that program leaves it, or take it over with steal", quoted(),
      holder_.peer.host, holder_.peer.pid);
}

std::vector<SessionId> KeptPool::sessions() const {
  std::vector<SessionId> all{holder_.session, next_};
  for (const Holder& other : waiting_) all.push_back(other.session);
  return all;
}

void KeptPool::stop_waiting(SessionId session) {
  std::erase_if(waiting_, [&](const Holder& other) { return other.session == session; });
}

void KeptPool::leaves(SessionId session, PoolEffects& out) {
  stop_waiting(session);
  out.emplace_back(Leaves{session});
}

void KeptPool::fail(SessionId session, PoolId asked, ErrorKind kind, std::string text, PoolEffects& out) const {
  out.emplace_back(Fail{session, asked, kind, std::move(text)});
}

// --- Who comes --------------------------------------------------------------------------------------------------

void KeptPool::asked_for(SessionId session, const PeerInfo& peer, wire::OpenPool&& message, TimePoint now,
                         PoolEffects& out) {
  if (message.pool_name != name_) return out.push_back(Refuse{session, "OpenPool of another client's pool"});
  const bool again = holder_.peer.id == peer.id;
  const SessionId holder = holder_.session.value != 0 ? holder_.session : next_;
  if (holder == session) return out.push_back(Refuse{session, "OpenPool of a pool that the session has"});
  const bool held = holder.value != 0;
  Holder who{session, peer, message.pool, std::move(message.process)};
  if (stage_ == Stage::being_kept && again) {  // the client that opens it is back before it is open
    out.emplace_back(Joins{session});
    who.process = std::move(holder_.process);
    holder_ = std::move(who);
    return;
  }
  const bool is_there = stage_ == Stage::open || stage_ == Stage::failed;
  if ((held && !message.steal) || !is_there) return fail(session, who.asked, ErrorKind::pool_busy, busy_text(), out);
  out.emplace_back(Joins{session});
  const bool awaited = !held && !again && !left_ && holder_.peer.id != 0 && now < return_by_;
  if (awaited && !message.steal) return wait_for_holder(std::move(who), now, out);
  if (held) {
    const PoolId asked = holder_.session == holder ? id : holder_.asked;
    leaves(holder, out);
    fail(holder, asked, ErrorKind::pool_closed, taken_over_by(peer), out);
  }
  give(std::move(who), out);
}

/// The one that has it is away, and may be on its way back: a program that lives does not lose its pool by a moment
/// without a connection.
void KeptPool::wait_for_holder(Holder&& who, TimePoint now, PoolEffects& out) {
  stop_waiting(who.session);
  const auto patience = std::chrono::ceil<std::chrono::milliseconds>(return_by_ - now);
  const PeerInfo& peer = holder_.peer;
  out.emplace_back(Send{who.session, wire::PoolHeld{who.asked, ClientId{peer.id}, peer.host, peer.pid, holder_.process,
                                                    static_cast<std::uint32_t>(patience.count())}});
  waiting_.push_back(std::move(who));
}

void KeptPool::holder_gone(SessionId session, const wire::HolderGone& message, TimePoint now, PoolEffects& out) {
  const bool waits = std::any_of(waiting_.begin(), waiting_.end(), [&](const Holder& other) {
    return other.session == session && other.asked == message.pool;
  });
  if (!waits || holder_.peer.id != message.holder.value) return;
  return_by_ = now;
  give_to_the_next(out);
}

void KeptPool::give_to_the_next(PoolEffects& out) {
  if (waiting_.empty()) return;
  Holder first = std::move(waiting_.front());
  waiting_.erase(waiting_.begin());
  give(std::move(first), out);
}

void KeptPool::give(Holder&& to, PoolEffects& out) {
  out.emplace_back(scheduler::ClientGone{id});
  holder_ = std::move(to);
  next_ = std::exchange(holder_.session, {});
  update_failures_.clear();
  left_ = false;
  stop_waiting(next_);
  tell_waiting(ErrorKind::pool_busy, busy_text(), out);
  hand_over(out);
}

/// It will not be theirs.
void KeptPool::tell_waiting(ErrorKind kind, const std::string& text, PoolEffects& out) {
  for (const Holder& other : std::exchange(waiting_, {})) {
    leaves(other.session, out);
    fail(other.session, other.asked, kind, text, out);
  }
}

/// Who waits for the pool has it when all jobs and updates of its forerunner are in the journal, or were refused: only
/// then is it known how many there are.
void KeptPool::hand_over(PoolEffects& out) {
  if (next_.value == 0 || unsettled_ > 0) return;
  holder_.session = std::exchange(next_, {});
  attach(highest_ + 1);
  // Before all that it will want in the journal.
  keep_holder({Pending::Kind::client}, out);
  out.emplace_back(Log{fmt::format("{} (pid {}) goes on with pool {}: {} outcomes are to be delivered",
                                   holder_.peer.host, holder_.peer.pid, quoted(), records_.size())});
  tell(wire::PoolOpened{holder_.asked, id, options, highest_, updates_, records_.size(), true}, out);
  if (stage_ == Stage::open) out.emplace_back(TellState{});
}

/// A client takes its place: nothing was sent to it, its jobs begin at `first`.
void KeptPool::attach(JobSequence first) {
  first_own_ = first;
  resuming = false;
  confirmed_.clear();
  credit_ = 0;
  in_order_ = false;
  cursor_ = 0;
  ready_.clear();
  settled(early_);
  early_.clear();
  for (const auto [sequence, record] : records_) {
    record.sent = false;
    if (record.durable && sequence < first_own_) ready_.insert(ready_.end(), sequence);
  }
}

// --- Who comes back ---------------------------------------------------------------------------------------------

void KeptPool::resume(SessionId session, const PeerInfo& peer, wire::ResumePool&& message, PoolEffects& out) {
  const auto refuse = [&](std::string what) { out.emplace_back(Refuse{session, std::move(what)}); };
  const bool has_it = holder_.session == session;
  const bool is_there = stage_ == Stage::open || stage_ == Stage::failed;
  if (message.pool_name.empty()) return refuse("ResumePool of a named pool");
  if (message.pool_name != name_) return refuse("ResumePool with the name of another pool");
  if (!is_there && has_it) return refuse("ResumePool of a pool that it opens");
  if (!is_there) {
    leaves(session, out);
    out.emplace_back(Send{session, wire::PoolKnown{id}});
    return;
  }
  if (holder_.peer.id != 0 && holder_.peer.id != peer.id) {
    leaves(session, out);
    return fail(session, id, ErrorKind::pool_closed, taken_over_by(holder_.peer), out);
  }
  if (std::string wrong = cannot_be_received(message.received); !wrong.empty()) return refuse(std::move(wrong));
  if (has_it && !resuming) return refuse("ResumePool of a pool that the session has");
  if (!has_it) {
    move_to(session, peer, out);
    attach(message.first_own);
  }
  next_ = {};
  left_ = false;
  resuming = message.more;
  tell_waiting(ErrorKind::pool_busy, busy_text(), out);
  take_received(message.received);
  if (!message.more) tell_what_is_known(message.outstanding, out);
}

/// Why no client can have these outcomes, as the end of a sentence; empty: it can.
std::string KeptPool::cannot_be_received(const std::vector<JobSequence>& sequences) const {
  for (const JobSequence sequence : sequences) {
    const auto record = records_.find(sequence);
    if (record != records_.end() && !record->second.durable && sequence > restored_to_)
      return fmt::format("ResumePool with the outcome of job {}, which has none", sequence);
  }
  return {};
}

/// The client has these outcomes, and has not acknowledged them so far as it knows.
void KeptPool::take_received(const std::vector<JobSequence>& received) {
  for (const JobSequence sequence : received) {
    const auto record = records_.find(sequence);
    if (record != records_.end()) {
      record->second.sent = record->second.durable;  // if not, the journal has lost it, and it will come again
      ready_.erase(sequence);
    } else if (!acknowledging_.contains(sequence)) {
      confirmed_.push_back(sequence);
    }
  }
}

/// The client is back, and has said all that it has.
void KeptPool::tell_what_is_known(const std::vector<JobSequence>& unaccepted, PoolEffects& out) {
  wire::PoolKnown known{id, true, updates_kept_, {}, taken_.highest()};
  const std::vector<JobSequence> intervals = earlier();
  auto next = intervals.begin();
  while (static_cast<std::size_t>(intervals.end() - next) > limits::sequences_per_message) {
    const auto part = next + static_cast<std::ptrdiff_t>(limits::sequences_per_message);
    tell(wire::PoolKnown{id, true, 0, {}, 0, {next, part}, true}, out);
    next = part;
  }
  known.earlier.assign(next, intervals.end());
  wire::JobsAccepted accepted{id, {}};
  for (const JobSequence sequence : unaccepted) {
    if (!taken_.contains(sequence)) known.missing.push_back(sequence);
    if (records_.contains(sequence)) accepted.sequences.push_back(sequence);
  }
  most_workers = std::max<std::uint64_t>(most_workers, unaccepted_.jobs + known.missing.size());
  tell(std::move(known), out);
  tell_confirmed(out);
  if (!accepted.sequences.empty()) tell(std::move(accepted), out);
  for (const auto [sequence, record] : records_) {
    if (sequence >= first_own_ && record.durable && !record.sent) deliver(sequence, record, out);
  }
  tell_of_updates(out);
  if (stage_ == Stage::open) out.emplace_back(TellState{});
}

/// Their acknowledgement is in the journal.
void KeptPool::tell_confirmed(PoolEffects& out) {
  while (!confirmed_.empty()) {
    const auto count = std::min(confirmed_.size(), limits::sequences_per_message);
    const auto from = confirmed_.end() - static_cast<std::ptrdiff_t>(count);
    tell(wire::AcksKept{id, {from, confirmed_.end()}}, out);
    confirmed_.erase(from, confirmed_.end());
  }
}

/// Numbers of the earlier jobs whose outcome nobody has: first, last, first, last, ...
std::vector<JobSequence> KeptPool::earlier() const {
  std::vector<JobSequence> intervals;
  for (auto record = records_.begin(); record != records_.end() && record->first < first_own_; ++record) {
    if (!intervals.empty() && intervals.back() + 1 == record->first)
      intervals.back() = record->first;
    else
      intervals.insert(intervals.end(), {record->first, record->first});
  }
  return intervals;
}

// --- Who goes ---------------------------------------------------------------------------------------------------

void KeptPool::session_lost(SessionId session, bool for_good, TimePoint now, PoolEffects& out) {
  stop_waiting(session);
  if (next_ != session && holder_.session != session) return;
  next_ = holder_.session = {};
  if (stage_ == Stage::waits_for_program) return out.push_back(Over{fmt::format("pool {} is closed", quoted())});
  return_by_ = now + limits::client_return_grace;
  if (for_good) is_nobodys({}, out);
}

/// Its client has left it: nobody is waited for. It is remembered, so that an earlier one does not take the pool for
/// its own. `leaver` hears that it has left when that is in the journal, behind all that it has acknowledged.
void KeptPool::is_nobodys(SessionId leaver, PoolEffects& out) {
  out.emplace_back(scheduler::ClientGone{id});
  holder_.session = {};
  left_ = true;
  if (stage_ == Stage::being_kept) {
    has_left(leaver, out);
  } else {
    Pending pending{Pending::Kind::client};
    pending.leaver = leaver;
    unsettled_ += leaver.value != 0 ? 1 : 0;
    keep_holder(std::move(pending), out);
  }
  give_to_the_next(out);
}

void KeptPool::has_left(SessionId leaver, PoolEffects& out) const {
  if (leaver.value != 0) out.emplace_back(Send{leaver, wire::PoolClosed{id}});
}

/// Who has the pool leaves it, and who waits for it does not want it any more.
void KeptPool::leave(SessionId session, TimePoint now, PoolEffects& out) {
  const bool has_it = holder_.session == session;
  if (has_it) {
    out.emplace_back(Log{fmt::format("{} (pid {}) leaves pool {}", holder_.peer.host, holder_.peer.pid, quoted())});
  }
  leaves(session, out);
  if (!has_it || stage_ == Stage::waits_for_program || mutation::let_go_early) {
    has_left(session, out);
    return session_lost(session, true, now, out);
  }
  return_by_ = now + limits::client_return_grace;
  is_nobodys(session, out);
}

void KeptPool::client_stuck(ErrorInfo&& error, PoolEffects& out) {
  const SessionId session = holder_.session;
  if (session.value == 0) return;
  out.emplace_back(Log{fmt::format("pool {}: its client gives up: {}", quoted(), error.message)});
  leaves(session, out);
  out.emplace_back(Send{session, wire::PoolFailed{id, std::move(error)}});
  is_nobodys({}, out);
}

/// Its client may have lost the connection meanwhile; a new head does not know who has the pool.
bool KeptPool::may_close(SessionId session, std::uint64_t client) const {
  if (holder_.session == session) return true;
  const bool away = holder_.session.value == 0 && next_.value == 0 && stage_ != Stage::being_kept;
  return away && (holder_.peer.id == client || holder_.peer.id == 0);
}

void KeptPool::thaw(Duration gap, TimePoint last_flush) {
  if (return_by_ > last_flush) return_by_ += gap;
}

}  // namespace dc::head

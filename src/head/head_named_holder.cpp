// Whose a named pool is. One client has it at a time. While it is there, others get PoolBusy; while it is away, they
// wait until it is back, known to be gone, or has had its time. Looking at what is in the pool takes nothing from
// anybody.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "head/head_machine.hpp"

namespace dc::head {
namespace {

/// One answer to SeeOutcomes: so many jobs are looked at, and so many outcomes are in it, at most.
constexpr std::size_t looked_at_max = std::size_t{1} << 16;
constexpr std::size_t seen_max = 1024;
/// Of one outcome in a message, beside its texts and its payload.
constexpr std::size_t seen_bytes = 128;

std::size_t size_of(const ErrorInfo& error) {
  return error.message.size() + error.traceback.size() + error.type_name.size() + error.host.size();
}

}  // namespace

ClientCame HeadMachine::client_of(const PoolInfo& pool) {
  return {pool.client.value, pool.peer.host, pool.peer.pid, pool.named->process, pool.named->left};
}

std::string HeadMachine::taken_over(const NamedPool& pool, const PeerInfo& by) {
  return fmt::format("pool {} was taken over by {} (pid {})", pool.quoted(), by.host, by.pid);
}

std::string HeadMachine::busy_text(const PoolInfo& pool) {
  return fmt::format(
      "pool {} is in the hands of {} (pid {}): wait until that program leaves it, or take it over with steal",
      pool.named->quoted(), pool.peer.host, pool.peer.pid);
}

// --- Who comes --------------------------------------------------------------------------------------------------

/// A client goes on with a pool that exists.
void HeadMachine::attach(SessionId session, PoolId id, PoolInfo& pool, const wire::OpenPool& message, TimePoint now,
                         Effects& out) {
  NamedPool& named = *pool.named;
  const PeerInfo& peer = sessions_.at(session).peer;
  const bool again = pool.client.value == peer.id;
  const SessionId holder = pool.session.value != 0 ? pool.session : named.next;
  if (holder == session) return refuse(session, "OpenPool of a pool that the session has", out);
  const bool held = holder.value != 0;
  if (pool.keeping && again) {  // the client that opens it is back before it is open
    sessions_.at(session).pools.insert(id);
    pool.session = session;
    pool.asked = message.pool;
    pool.peer = peer;
    return;
  }
  if ((held && !message.steal) || !(pool.opened || named.broken))
    return fail_pool(session, message.pool, ErrorKind::pool_busy, busy_text(pool), out);
  sessions_.at(session).pools.insert(id);
  NamedPool::Waiting who{session, message.pool, message.process};
  const bool awaited = !held && !again && !named.left && pool.client.value != 0 && now < named.return_by;
  if (awaited && !message.steal) return wait_for_holder(id, pool, std::move(who), now, out);
  if (held) flush_batches(out);  // what is still its own comes before it hears that it has lost the pool
  if (held) {
    has_left(holder, id);
    fail_pool(holder, pool.session == holder ? id : pool.asked, ErrorKind::pool_closed, taken_over(named, peer), out);
  }
  give(id, pool, std::move(who), out);
}

/// The one that has it is away, and may be on its way back: a program that lives does not lose its pool by a moment
/// without a connection.
void HeadMachine::wait_for_holder(PoolId id, PoolInfo& pool, NamedPool::Waiting who, TimePoint now, Effects& out) {
  NamedPool& named = *pool.named;
  std::erase_if(named.waiting, [&](const auto& other) { return other.session == who.session; });
  expire_at(named.return_by);
  const auto patience = std::chrono::ceil<std::chrono::milliseconds>(named.return_by - now);
  out.emplace_back(Send{who.session, wire::PoolHeld{who.asked, pool.client, pool.peer.host, pool.peer.pid,
                                                    named.process, static_cast<std::uint32_t>(patience.count())}});
  named.waiting.push_back(std::move(who));
}

/// Who waits on this machine of the holder has seen that its process is gone.
void HeadMachine::on(SessionId session, wire::HolderGone&& message, TimePoint now, Effects& out) {
  const auto waits = [&](const NamedPool::Waiting& other) {
    return other.session == session && other.asked == message.pool;
  };
  for (const PoolId id : std::set<PoolId>(sessions_.at(session).pools)) {
    const auto found = pools_.find(id);
    if (found == pools_.end() || !found->second.named) continue;
    PoolInfo& pool = found->second;
    const auto& waiting = pool.named->waiting;
    if (!std::any_of(waiting.begin(), waiting.end(), waits) || pool.client != message.holder) continue;
    pool.named->return_by = now;
    give_to_the_next(id, pool, out);
  }
}

void HeadMachine::give_to_the_next(PoolId id, PoolInfo& pool, Effects& out) {
  if (pool.named->waiting.empty()) return;
  NamedPool::Waiting first = std::move(pool.named->waiting.front());
  pool.named->waiting.erase(pool.named->waiting.begin());
  give(id, pool, std::move(first), out);
}

void HeadMachine::give(PoolId id, PoolInfo& pool, NamedPool::Waiting to, Effects& out) {
  const PeerInfo& peer = sessions_.at(to.session).peer;
  flush_batches(out);
  scheduler_.client_has_gone(id);
  pool.session = {};
  pool.client = ClientId{peer.id};
  pool.peer = peer;
  pool.update_failures.clear();
  pool.named->left = false;
  pool.named->process = std::move(to.process);
  pool.named->next = to.session;
  pool.asked = to.asked;
  std::erase_if(pool.named->waiting, [&](const auto& other) { return other.session == to.session; });
  tell_waiting(id, pool, ErrorKind::pool_busy, busy_text(pool), out);
  hand_over(id, out);
}

/// It will not be theirs.
void HeadMachine::tell_waiting(PoolId id, PoolInfo& pool, ErrorKind kind, const std::string& text, Effects& out) {
  for (const auto& other : std::exchange(pool.named->waiting, {})) {
    has_left(other.session, id);
    fail_pool(other.session, other.asked, kind, text, out);
  }
}

/// Who waits for the pool has it when all jobs and updates of its forerunner are in the journal, or were refused: only
/// then is it known how many there are.
void HeadMachine::hand_over(PoolId id, Effects& out) {
  const auto found = pools_.find(id);
  if (found == pools_.end() || !found->second.named || found->second.named->next.value == 0) return;
  if (found->second.named->unsettled > 0) return;
  PoolInfo& pool = found->second;
  NamedPool& named = *pool.named;
  flush_batches(out);
  pool.session = std::exchange(named.next, {});
  named.attach(named.highest + 1);
  // Before all that it will want in the journal.
  append({Pending::Kind::client, id}, client_of(pool), false, out);
  out.emplace_back(Log{fmt::format("{} (pid {}) goes on with pool {}: {} outcomes are to be delivered", pool.peer.host,
                                   pool.peer.pid, named.quoted(), named.records.size())});
  out.emplace_back(Send{pool.session, wire::PoolOpened{pool.asked, id, pool.options, named.highest, named.updates,
                                                       named.records.size(), true}});
  if (pool.opened) carry_out_state(id, out);
}

/// The number of workers, for a client that has just come.
void HeadMachine::carry_out_state(PoolId id, Effects& out) {
  scheduler::PoolChanged changed{id};
  carry_out(changed, out);
}

// --- Who goes ---------------------------------------------------------------------------------------------------

/// True: the pool was not open so far, and is over.
bool HeadMachine::named_pool_lost_session(PoolId id, PoolInfo& pool, SessionId session, bool for_good, TimePoint now,
                                          Effects& out) {
  NamedPool& named = *pool.named;
  std::erase_if(named.waiting, [&](const auto& other) { return other.session == session; });
  if (named.next != session && pool.session != session) return false;
  named.next = pool.session = {};
  if (!pool.opened && !pool.keeping && !named.broken) return true;  // it waited for its program
  named.return_by = now + limits::client_return_grace;
  if (for_good) is_nobodys(id, pool, out);
  return false;
}

/// Its client has left it: nobody is waited for. It is remembered, so that an earlier one does not take the pool for
/// its own.
void HeadMachine::is_nobodys(PoolId id, PoolInfo& pool, Effects& out) {
  scheduler_.client_has_gone(id);
  pool.session = {};
  pool.named->left = true;
  if (!pool.keeping) append({Pending::Kind::client, id}, client_of(pool), false, out);
  give_to_the_next(id, pool, out);
}

/// Who has the pool leaves it, and who waits for it does not want it any more.
void HeadMachine::leave_pool(SessionId session, PoolId id, TimePoint now, Effects& out) {
  const auto found = pools_.find(id);
  const bool has = found != pools_.end() && sessions_.at(session).pools.contains(id);
  PoolInfo* pool = has ? &found->second : own_pool(session, id, wire::ClosePool::name, out);
  if (pool && !pool->named) return refuse(session, "ClosePool that leaves a pool without a name", out);
  if (pool) {
    flush_batches(out);
    if (pool->session == session) {
      out.emplace_back(
          Log{fmt::format("{} (pid {}) leaves pool {}", pool->peer.host, pool->peer.pid, pool->named->quoted())});
    }
    has_left(session, id);
  }
  out.emplace_back(Send{session, wire::PoolClosed{id}});
  if (pool && named_pool_lost_session(id, *pool, session, true, now, out)) close_pool(id, now, out);
}

// --- Who only looks ---------------------------------------------------------------------------------------------

void HeadMachine::on(SessionId session, wire::SeeOutcomes&& message, TimePoint, Effects& out) {
  wire::OutcomesSeen seen{false, {}, message.after, false};
  const auto found = find_named(message.pool_name);
  if (found == pools_.end()) {
    out.emplace_back(Send{session, std::move(seen)});
    return;
  }
  seen.known = true;
  const auto& records = found->second.named->records;
  std::size_t looked_at = 0, bytes = 0;
  auto next = records.upper_bound(message.after);
  for (; next != records.end() && looked_at < looked_at_max && seen.items.size() < seen_max; ++next, ++looked_at) {
    const auto& [sequence, record] = *next;
    if (!record.durable) {
      seen.last = sequence;
      continue;
    }
    const StoredOutcome& outcome = *record.outcome;
    const std::size_t size = seen_bytes + outcome.payload.size() + (outcome.error ? size_of(*outcome.error) : 0);
    if (!seen.items.empty() && bytes + size > limits::batch_bytes_max) break;
    bytes += size;
    seen.items.push_back(
        {sequence, outcome.error.has_value(), outcome.error ? *outcome.error : ErrorInfo{}, outcome.payload});
    seen.last = sequence;
  }
  seen.more = next != records.end();
  out.emplace_back(Send{session, std::move(seen), found->first.value});
}

void HeadMachine::on(SessionId session, wire::SeeDefinitions&& message, TimePoint, Effects& out) {
  wire::DefinitionsSeen seen;
  wire::Lane lane = wire::control_lane;
  if (const auto found = find_named(message.pool_name); found != pools_.end()) {
    seen.known = true;
    lane = found->first.value;
    const Payload& spec = found->second.spec;
    if (message.after == 0) {
      const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(message.spec_bytes, spec.size()));
      seen.spec = Payload(spec.owner(), spec.bytes().first(bytes));
    }
    const std::vector<Payload>& all = found->second.named->definitions;
    std::size_t bytes = 0, next = static_cast<std::size_t>(std::min<std::uint64_t>(message.after, all.size()));
    for (; next < all.size() && (seen.updates.empty() || bytes < limits::batch_bytes_max); ++next) {
      bytes += all[next].size();
      seen.updates.push_back(all[next]);
    }
    seen.more = next < all.size();
  }
  out.emplace_back(Send{session, std::move(seen), lane});
}

}  // namespace dc::head

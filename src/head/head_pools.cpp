// Pools at the head: they are made, found, restored and forgotten, and what they want done is done. What they decide
// is in direct_pool.cpp and kept_pool*.cpp.
#include <fmt/format.h>

#include "core/check.hpp"
#include "head/head_machine.hpp"
#include "head/message_checks.hpp"

namespace dc::head {
namespace {

PoolId scattered(PoolId pool, std::uint32_t epoch, std::uint64_t salt) {
  std::uint64_t id = pool.value ^ (std::uint64_t{epoch} << 32) ^ salt;  // as splitmix64 does
  id = (id ^ (id >> 30)) * 0xbf58476d1ce4e5b9U;
  id = (id ^ (id >> 27)) * 0x94d049bb133111ebU;
  return PoolId{(id ^ (id >> 31)) | 1};
}

}  // namespace

// --- Which there are --------------------------------------------------------------------------------------------

HeadPool* HeadMachine::find_pool(PoolId id) const {
  const auto found = pools_.find(id);
  return found == pools_.end() ? nullptr : found->second.get();
}

KeptPool* HeadMachine::find_kept(const std::string& name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : found->second;
}

/// Messages for pools that others own, or that nobody knows, are ignored; the first of a session is logged.
HeadPool* HeadMachine::own_pool(SessionId session, PoolId id, const char* message_name, Effects& out) {
  HeadPool* pool = find_pool(id);
  if (pool && pool->holder().session == session) return pool;
  Session& sender = sessions_.at(session);
  const bool known_to_it = pool ? pool->holder().peer.id == sender.peer.id : sender.past.contains(id);
  if (!known_to_it && !std::exchange(sender.complained, true)) {
    out.emplace_back(Log{fmt::format("{} (pid {}) sent {} for pool {:x}, which is not its own: ignored",
                                     sender.peer.host, sender.peer.pid, message_name, id.value)});
  }
  return nullptr;
}

HeadPool& HeadMachine::add_pool(std::unique_ptr<HeadPool> pool) {
  if (const std::string& hash = pool->options.program_hash; !hash.empty()) ++program_uses_[hash];
  return *(pools_[pool->id] = std::move(pool));
}

/// Forgets the pool, and its program unless another pool uses it.
void HeadMachine::forget_pool(PoolId id) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  has_left(found->second->holder().session, id);
  const std::string hash = found->second->options.program_hash;
  flow_.close(id);
  names_.erase(found->second->name());
  pools_.erase(found);
  const auto uses = program_uses_.find(hash);
  if (uses == program_uses_.end() || --uses->second > 0) return;
  program_uses_.erase(uses);
  programs_.erase(hash);
}

// --- Opening ----------------------------------------------------------------------------------------------------

/// The pool, if there is one then.
HeadPool* HeadMachine::open_direct(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out) {
  const PoolId id = message.pool;
  const PeerInfo& peer = sessions_.at(session).peer;
  if (HeadPool* pool = find_pool(id)) {
    with(*pool, out, [&](auto& it, auto& effects) { it.asked_for(session, peer, std::move(message), now, effects); });
    return pool;
  }
  if (const std::string problem = problem_of(message.options); !problem.empty()) {
    fail_pool(session, id, ErrorKind::pool_closed, problem, out);
    return nullptr;
  }
  sessions_.at(session).pools.insert(id);
  return &add_pool(std::make_unique<DirectPool>(session, peer, std::move(message)));
}

HeadPool* HeadMachine::open_kept(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out) {
  const auto fail = [&](ErrorKind kind, std::string text) -> HeadPool* {
    fail_pool(session, message.pool, kind, std::move(text), out);
    return nullptr;
  };
  if (std::string problem = problem_of_name(message.pool_name); !problem.empty())
    return fail(ErrorKind::pool_closed, std::move(problem));
  if (!facts_.has_store)
    return fail(ErrorKind::not_stored, "the head keeps no named pools: it was started with --store none");
  if (const auto broken = find_refused(message.pool_name); broken != refused_.end())
    return fail(ErrorKind::not_stored, refusal(broken->second));
  const PeerInfo& peer = sessions_.at(session).peer;
  if (KeptPool* pool = find_kept(message.pool_name)) {
    with(*pool, out, [&](auto& it, auto& effects) { it.asked_for(session, peer, std::move(message), now, effects); });
    return pool;
  }
  if (message.attach_only) {
    return fail(
        ErrorKind::pool_not_found,
        fmt::format("the head on {} has no pool named '{}': `distributed-computing pools list` shows those that "
                    "it has",
                    facts_.host, message.pool_name));
  }
  if (std::string problem = problem_of(message.options); !problem.empty())
    return fail(ErrorKind::pool_closed, std::move(problem));
  if (std::string problem = no_room_for_a_pool(); !problem.empty())
    return fail(ErrorKind::not_stored,
                fmt::format("pool '{}' was not opened: {}", message.pool_name, std::move(problem)));
  const PoolId id = new_id(message.pool);
  const store::LogId log = facts_.log_of_name(message.pool_name);
  sessions_.at(session).pools.insert(id);
  auto pool = std::make_unique<KeptPool>(id, log, facts_.bounds, kept_memory_, session, peer, std::move(message));
  names_[pool->name()] = pool.get();
  return &add_pool(std::move(pool));
}

/// Why no other named pool can be kept beside those that are, as a sentence; empty: it can.
std::string HeadMachine::no_room_for_a_pool() const {
  const std::size_t kept = names_.size() + refused_.size() + unread_.size();
  if (facts_.bounds.pools_max == 0 || kept < facts_.bounds.pools_max) return {};
  return fmt::format(
      "the head keeps {} named pools, and --pools-max allows {}: end one that nobody needs (`distributed-computing "
      "pools list` shows them, `distributed-computing pools remove NAME` ends one), or start the head with a larger "
      "--pools-max",
      kept, facts_.bounds.pools_max);
}

/// A node that was away when a pool was closed for good still has workers and results of it, perhaps of another class.
/// They must not be taken for those of the next pool with that name, even if its client asks by the same id.
PoolId HeadMachine::new_id(PoolId asked) const {
  PoolId id;
  for (std::uint64_t salt = last_ticket_ + 1; id.value == 0 || pools_.contains(id); ++salt)
    id = scattered(asked, facts_.epoch, salt);
  return id;
}

void HeadMachine::open_or_ask_for_program(SessionId session, HeadPool& pool, Effects& out) {
  if (pool.stage() != HeadPool::Stage::waits_for_program) return;
  const std::string& hash = pool.options.program_hash;
  const auto program = programs_.find(hash);
  if (!hash.empty() && program == programs_.end()) return ask_for_program(session, hash, out);
  with(pool, out, [&](auto& it, auto& effects) { it.open(hash.empty() ? Payload{} : program->second, effects); });
}

void HeadMachine::restore(JournalState&& state, TimePoint now, Effects& out) {
  const std::string hash = state.born->options.program_hash;
  if (!hash.empty()) programs_[hash] = state.born->program;
  const store::LogId log = facts_.log_of_name(state.born->name);
  PoolEffects effects;
  auto kept = std::make_unique<KeptPool>(std::move(state), log, facts_.bounds, kept_memory_, wall_, now, effects);
  names_[kept->name()] = kept.get();
  HeadPool& pool = add_pool(std::move(kept));
  with(pool, out, [&](auto&, auto& wanted) { wanted.swap(effects); });
  tell_scheduler(now, out);
}

// --- What pools want done ---------------------------------------------------------------------------------------

/// The session may have ended since the pool wrote down to answer it.
void HeadMachine::carry_out(PoolId, Send& effect, Effects& out) {
  if (sessions_.contains(effect.session)) out.emplace_back(std::move(effect));
}

void HeadMachine::carry_out(PoolId id, Deliver& effect, Effects& out) {
  send_outcome(id, effect.sequence, std::move(effect.outcome), out);
}

void HeadMachine::carry_out(PoolId id, TellState&, Effects& out) {
  scheduler::PoolChanged changed{id};
  carry_out(changed, out);
}

void HeadMachine::carry_out(PoolId id, Joins& effect, Effects&) { sessions_.at(effect.session).pools.insert(id); }

void HeadMachine::carry_out(PoolId id, Leaves& effect, Effects&) { has_left(effect.session, id); }

void HeadMachine::carry_out(PoolId, Fail& effect, Effects& out) {
  fail_pool(effect.session, effect.asked, effect.kind, std::move(effect.text), out);
}

void HeadMachine::carry_out(PoolId, Refuse& effect, Effects& out) { refuse(effect.session, effect.what, out); }

void HeadMachine::carry_out(PoolId id, Keep& effect, Effects& out) {
  const store::Ticket ticket = ++last_ticket_;
  out.emplace_back(JournalWrite{ticket, effect.log, effect.pending.entry, std::move(effect.entry),
                                std::move(effect.erased), effect.refusable});
  pending_.emplace(ticket, OnItsWay{id, std::move(effect.pending)});
}

void HeadMachine::carry_out(PoolId, RemoveJournal& effect, Effects& out) {
  const store::Ticket ticket = ++last_ticket_;
  out.emplace_back(JournalRemove{ticket, effect.log});
  removals_.emplace(ticket, Removal{effect.session, effect.asked});
}

void HeadMachine::carry_out(PoolId id, EndTurn&, Effects&) { turn_ends_.push_back(id); }

void HeadMachine::carry_out(PoolId id, Over& effect, Effects& out) {
  forget_pool(id);
  if (!effect.log.empty()) out.emplace_back(Log{std::move(effect.log)});
  events_.emplace_back(scheduler::PoolClosed{id});
}

void HeadMachine::carry_out(PoolId, scheduler::Event& event, Effects&) { events_.push_back(std::move(event)); }

// --- The journal ------------------------------------------------------------------------------------------------

void HeadMachine::journaled(std::vector<store::Journaled> done, TimePoint now, Effects& out) {
  for (auto& [ticket, refused, stored] : done) {
    if (const auto removal = removals_.extract(ticket)) {
      const auto& [session, asked] = removal.mapped();
      if (sessions_.contains(session)) out.emplace_back(Send{session, wire::PoolClosed{asked}});
      continue;
    }
    auto entry = pending_.extract(ticket);
    HeadPool* pool = entry ? find_pool(entry.mapped().pool) : nullptr;
    if (!pool) {  // removed
      if (entry && entry.mapped().entry.kind == Pending::Kind::keys) pool_is_gone(entry.mapped().entry, out);
      continue;
    }
    Pending& pending = entry.mapped().entry;
    pending.stored = std::move(stored);
    with(*pool, out, [&, &why = refused](auto& it, auto& effects) { it.journaled(std::move(pending), why, effects); });
  }
  tell_scheduler(now, out);
}

/// Who wanted keys of it forgotten hears so.
void HeadMachine::pool_is_gone(const Pending& pending, Effects& out) {
  if (!sessions_.contains(pending.leaver)) return;
  fail_pool(pending.leaver, pending.asked, ErrorKind::pool_not_found, "the pool was closed for good meanwhile", out);
}

// --- Sessions and pools -----------------------------------------------------------------------------------------

/// The pool is not this session's, or not any more; `pool` as it calls it.
void HeadMachine::fail_pool(SessionId session, PoolId pool, ErrorKind kind, std::string text, Effects& out) {
  is_past(session, pool);
  out.emplace_back(Send{session, wire::PoolFailed{pool, ErrorInfo::of(kind, std::move(text))}});
}

}  // namespace dc::head

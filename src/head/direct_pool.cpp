// A pool that ends with its client.
#include <fmt/format.h>

#include "core/check.hpp"
#include "head/head_pool.hpp"

namespace dc::head {

DirectPool::DirectPool(SessionId session, const PeerInfo& peer, wire::OpenPool&& message) : HeadPool(message.pool) {
  holder_ = {session, peer, message.pool};
  options = std::move(message.options);
  spec = message.spec.compact();
  resumed_ = resuming = message.resumed;
}

void DirectPool::open(const Payload&, PoolEffects& out) {
  stage_ = Stage::open;
  tell(wire::PoolOpened{id, id, options}, out);
  out.emplace_back(Log{fmt::format("pool {:x} ({}) of {} (pid {}) is {}", id.value, options.label, holder_.peer.host,
                                   holder_.peer.pid, resumed_ ? "back" : "open")});
  out.emplace_back(scheduler::PoolOpened{id, options, resumed_});
}

void DirectPool::asked_for(SessionId session, const PeerInfo& peer, wire::OpenPool&& message, TimePoint,
                           PoolEffects& out) {
  const auto refuse = [&](const char* what) { out.emplace_back(Refuse{session, what}); };
  if (!problem_of(message.options).empty()) return refuse("OpenPool of an open pool, with other options");
  if (holder_.peer.id != peer.id) return refuse("OpenPool of another client's pool");
  comes_to(session, peer, out);
  if (stage_ == Stage::open) tell(wire::PoolOpened{id, id, options}, out);
}

void DirectPool::comes_to(SessionId session, const PeerInfo& peer, PoolEffects& out) {
  if (holder_.session != session) move_to(session, peer, out);
  close_at_ = never;
}

void DirectPool::resume(SessionId session, const PeerInfo& peer, wire::ResumePool&& message, PoolEffects& out) {
  const auto refuse = [&](const char* what) { out.emplace_back(Refuse{session, what}); };
  if (!message.pool_name.empty()) return refuse("ResumePool with the name of another pool");
  if (holder_.session == session) return refuse("ResumePool of a pool that the session has");
  if (stage_ != Stage::open || holder_.peer.id != peer.id) {
    out.emplace_back(Leaves{session});  // it has something under way for the pool perhaps
    out.emplace_back(Send{session, wire::PoolKnown{id}});
    return;
  }
  comes_to(session, peer, out);
  resuming = true;
  out.emplace_back(scheduler::ClientReturned{id, std::move(message.outstanding)});
  tell_of_updates(out);
}

void DirectPool::resumed(PoolEffects& out) {
  resuming = false;
  out.emplace_back(scheduler::PoolResumed{id});
}

void DirectPool::session_lost(SessionId session, bool for_good, TimePoint now, PoolEffects& out) {
  if (holder_.session != session) return;
  holder_.session = {};
  close_at_ = now + limits::client_return_grace;
  if (for_good) out.emplace_back(Over{closed_text()});
}

void DirectPool::leave(SessionId session, TimePoint, PoolEffects& out) {
  out.emplace_back(Refuse{session, "ClosePool that leaves a pool without a name"});
}

/// Its client may have lost the connection meanwhile.
bool DirectPool::may_close(SessionId session, std::uint64_t client) const {
  return holder_.session == session || holder_.peer.id == client;
}

void DirectPool::close(SessionId session, PoolId asked, PoolEffects& out) {
  out.emplace_back(Send{session, wire::PoolClosed{asked}});
  out.emplace_back(Over{closed_text()});
}

void DirectPool::expired(PoolEffects& out) {
  out.emplace_back(Log{fmt::format("pool {:x}: its client did not come back", id.value)});
  out.emplace_back(Over{closed_text()});
}

std::string DirectPool::closed_text() const { return fmt::format("pool {:x} is closed", id.value); }

void DirectPool::thaw(Duration gap, TimePoint) {
  if (close_at_ != never) close_at_ += gap;
}

void DirectPool::submit(SessionId, std::vector<SubmittedJob>&& jobs, PoolEffects& out) {
  out.emplace_back(scheduler::JobsSubmitted{id, std::move(jobs)});
}

void DirectPool::update(SessionId, wire::AddUpdate&& message, PoolEffects& out) {
  out.emplace_back(scheduler::UpdateAdded{id, message.number, std::move(message.payload)});
}

void DirectPool::acknowledge(SessionId, std::vector<JobSequence>&& sequences, PoolEffects& out) {
  out.emplace_back(scheduler::OutcomesAcknowledged{id, std::move(sequences)});
}

scheduler::Load DirectPool::load(const scheduler::Scheduler& scheduler) const { return scheduler.load(id); }

void DirectPool::ended(scheduler::DeliverOutcome&& command, PoolEffects& out) {
  out.emplace_back(Deliver{command.sequence, std::move(command.outcome)});
}

void DirectPool::failed(ErrorInfo&& error, PoolEffects& out) {
  tell(wire::PoolFailed{id, std::move(error)}, out);
  out.emplace_back(Over{});
}

void DirectPool::check_invariants() const {
  DC_CHECK(stage_ == Stage::waits_for_program || stage_ == Stage::open);
  DC_CHECK((holder_.session.value == 0) == (close_at_ != never));
}

}  // namespace dc::head

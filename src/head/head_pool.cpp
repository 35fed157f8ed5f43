// What pools of both kinds do alike.
#include "head/head_pool.hpp"

#include <algorithm>

namespace dc::head {
namespace {

/// The latest of each pool, for a client that was away: at most so many times 160 KiB, mostly far less.
constexpr std::size_t update_failures_max = 64;

}  // namespace

void HeadPool::update_failed(wire::UpdateFailed&& failed, PoolEffects& out) {
  const bool known = std::any_of(update_failures_.begin(), update_failures_.end(),
                                 [&](const wire::UpdateFailed& other) { return other.number == failed.number; });
  if (!known) update_failures_.push_back(failed);  // the first of each update, as at the client
  if (update_failures_.size() > update_failures_max) update_failures_.pop_front();
  tell(std::move(failed), out);
}

/// A client that is back may have missed how its updates went.
void HeadPool::tell_of_updates(PoolEffects& out) {
  for (const wire::UpdateFailed& failure : update_failures_) tell(failure, out);
  out.emplace_back(scheduler::UpdatesMissed{id});
}

void HeadPool::move_to(SessionId session, const PeerInfo& peer, PoolEffects& out) {
  out.emplace_back(Joins{session});
  if (holder_.session.value != 0) out.emplace_back(CloseSession{holder_.session, "the client opened a newer session"});
  holder_.session = session;
  holder_.peer = peer;
  holder_.asked = id;
}

}  // namespace dc::head

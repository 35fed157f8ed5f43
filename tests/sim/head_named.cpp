// The head process and its named pools: the journal, and who has a pool.
#include "head_process.hpp"
#include "text.hpp"
#include "wire/framing.hpp"

namespace dc::sim {

void HeadProcess::carry_out(head::JournalWrite& effect, std::map<SessionId, std::vector<wire::Outgoing>>&) {
  const auto decoded = head::decode(store::Entry(effect.entry));
  if (!decoded) world_.violation("the head writes an entry that cannot be read: {}", decoded.error().message);
  if (const auto* broke = std::get_if<head::PoolBroke>(&decoded.value())) {
    ledger_.pool(PoolId{effect.log}).failed = true;
    if (broke->error.kind == ErrorKind::no_device) check_no_device(PoolId{effect.log});
  }
  journal_.write(std::move(effect));
}

/// One client at a time has a named pool, and only that one hears of its jobs.
void HeadProcess::check_holder(const wire::Message& message, SessionId session) {
  const auto begins = [&](PoolId id) {
    const PoolId pool = cluster_.journal.pool_of(id);
    if (!ledger_.pool(pool).named) return;
    SessionId& holder = holders_[pool];
    if (holder.value != 0 && holder != session && sessions_.contains(holder) && !left_.contains(holder))
      world_.violation("sessions {} and {} have pool {} at a time", holder.value, session.value,
                       short_name(pool.value));
    holder = session;
  };
  const auto ends = [&](PoolId id) {
    const PoolId pool = cluster_.journal.pool_of(id);
    if (const auto holder = holders_.find(pool); holder != holders_.end() && holder->second == session)
      holders_.erase(holder);
  };
  const auto check = [&](PoolId id) {
    const PoolId pool = cluster_.journal.pool_of(id);
    if (!ledger_.pool(pool).named) return;
    const auto holder = holders_.find(pool);
    if (holder == holders_.end() || holder->second != session)
      world_.violation("session {} does not have pool {} and gets {}", session.value, short_name(pool.value),
                       wire::name_of(message));
  };
  std::visit(
      [&](const auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, wire::PoolOpened>) {
          begins(body.id);
        } else if constexpr (std::is_same_v<Body, wire::PoolKnown>) {
          if (body.known) return begins(body.pool);
          const PoolId pool = cluster_.journal.pool_of(body.pool);
          if (ledger_.pool(pool).named) ledger_.nothing_lost(pool);
        } else if constexpr (std::is_same_v<Body, wire::PoolClosed>) {
          ends(body.pool);
        } else if constexpr (std::is_same_v<Body, wire::PoolFailed>) {
          // A pool that has failed still has its client.
          if (body.error.kind == ErrorKind::pool_closed) ends(body.pool);
          if (body.error.kind == ErrorKind::pool_not_found) ledger_.nothing_lost(cluster_.journal.pool_of(body.pool));
        } else if constexpr (std::is_same_v<Body, wire::JobValues> || std::is_same_v<Body, wire::JobError> ||
                             std::is_same_v<Body, wire::JobErrors> || std::is_same_v<Body, wire::JobsAccepted> ||
                             std::is_same_v<Body, wire::JobsRefused> || std::is_same_v<Body, wire::AcksKept> ||
                             std::is_same_v<Body, wire::UpdateAccepted>) {
          check(body.pool);
        }
      },
      message);
}

}  // namespace dc::sim

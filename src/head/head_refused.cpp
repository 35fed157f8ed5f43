// Named pools whose journal is broken: they are refused by name, with the reason, until somebody has it cut. The others
// are served meanwhile.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "head/head_machine.hpp"

namespace dc::head {

std::string HeadMachine::objection_to(PoolId id, const JournalState& state) const {
  if (state.born->on_nodes.value == 0) return "it has no id for the nodes";
  const auto other = ids_of_pools_.find(state.born->on_nodes);
  if (other == ids_of_pools_.end() || other->second == id) return {};
  return fmt::format("nodes know it by the id of another pool ({:016x})", other->second.value);
}

std::string HeadMachine::refusal(const RefusedPool& pool) {
  return fmt::format(
      "pool '{0}' cannot be opened: {1}. `distributed-computing pools repair '{0}'` cuts its journal where it is "
      "broken, and says how many jobs that loses; or bring a copy of the store back",
      pool.name, pool.why);
}

void HeadMachine::refuse_pool(PoolId id, const JournalState& state, std::string why, Effects& out) {
  RefusedPool& pool = refused_[id];
  pool = {state.born ? state.born->name : fmt::format("{:016x}", id.value), std::move(why)};
  if (state.born && objection_to(id, state).empty()) {
    pool.on_nodes = state.born->on_nodes;
    rename_on_nodes(id, pool.on_nodes);
  }
  out.emplace_back(Log{fmt::format("{} (id {:016x})", refusal(pool), id.value)});
}

nlohmann::json HeadMachine::refused_json(PoolId id, const RefusedPool& pool) const {
  scheduler::PoolStatus status;
  status.pool = id;
  nlohmann::json json = pool_json(status);
  json["name"] = pool.name;
  json["error"] = refusal(pool);
  return json;
}

void HeadMachine::on(SessionId session, wire::RepairPool&& message, TimePoint, Effects& out) {
  const auto found = refused_.find(message.pool);
  if (sessions_.at(session).pools.contains(message.pool))
    return refuse(session, "RepairPool of a pool that it has or waits for", out);
  if (found == refused_.end()) {
    return fail_pool(session, message.pool, ErrorKind::pool_not_found,
                     fmt::format("the head on {} has no broken pool of this name: `distributed-computing pools list` "
                                 "shows those that it has",
                                 facts_.host),
                     out);
  }
  if (std::exchange(found->second.repairing, true)) {
    return fail_pool(session, message.pool, ErrorKind::pool_busy, "the pool is being repaired: wait", out);
  }
  out.emplace_back(JournalRepair{message.pool, session});
}

void HeadMachine::repaired(const JournalRepair& wanted, Result<RepairedJournal> journal, TimePoint now, Effects& out) {
  const auto found = refused_.find(wanted.pool);
  if (found == refused_.end()) return;
  std::string problem = journal ? "" : journal.error().message;
  if (journal && journal.value().state) problem = objection_to(wanted.pool, *journal.value().state);
  const bool listens = sessions_.contains(wanted.session);
  if (!problem.empty()) {
    found->second.repairing = false;
    if (listens) {
      fail_pool(wanted.session, wanted.pool, ErrorKind::not_stored,
                fmt::format("the pool was not repaired: {}", problem), out);
    }
    return;
  }
  RepairedJournal& repaired = journal.value();
  out.emplace_back(Log{fmt::format("pool '{}' was repaired: {}{} jobs are lost, {} run again{}", found->second.name,
                                   repaired.or_more ? "at least " : "", repaired.jobs_lost, repaired.jobs_again,
                                   repaired.state ? "" : "; nothing could be kept, and it is gone")});
  const bool removed = !repaired.state;
  if (removed) {
    forget_on_nodes(wanted.pool);
  } else {
    ids_of_pools_.erase(found->second.on_nodes);  // until it is restored
  }
  refused_.erase(found);
  if (!removed) restore(wanted.pool, std::move(*repaired.state), now, out);
  if (!listens) return;
  out.emplace_back(Send{wanted.session, wire::PoolRepaired{wanted.pool, repaired.jobs_lost, repaired.jobs_again,
                                                           removed, repaired.or_more}});
}

}  // namespace dc::head

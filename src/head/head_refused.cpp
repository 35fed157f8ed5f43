// Named pools whose journal is broken: they are refused by name, with the reason, until somebody has it cut. The others
// are served meanwhile.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "head/head_machine.hpp"

namespace dc::head {

std::string HeadMachine::objection_to(const JournalState& state) const {
  if (state.born->id.value == 0) return "it has no id";
  const HeadPool* other = find_pool(state.born->id);
  if (!other) return {};
  return other->keeps() ? fmt::format("it has the id of pool '{}'", other->name()) : "it has the id of a client's pool";
}

std::map<store::LogId, HeadMachine::RefusedPool>::iterator HeadMachine::find_refused(const std::string& name) {
  return facts_.log_of_name ? refused_.find(facts_.log_of_name(name)) : refused_.end();
}

std::string HeadMachine::refusal(const RefusedPool& pool) {
  return fmt::format(
      "pool '{0}' cannot be opened: {1}. `distributed-computing pools repair '{0}'` cuts its journal where it is "
      "broken, and says how many jobs that loses; or bring a copy of the store back",
      pool.name, pool.why);
}

void HeadMachine::refuse_pool(store::LogId log, const JournalState& state, std::string why, Effects& out) {
  RefusedPool& pool = refused_[log];
  pool = {state.born ? state.born->name : fmt::format("{:016x}", log), std::move(why)};
  out.emplace_back(Log{fmt::format("{} (journal {:016x})", refusal(pool), log)});
}

nlohmann::json HeadMachine::refused_json(store::LogId log, const RefusedPool& pool) const {
  nlohmann::json json = journal_json(log, pool.name);
  json["error"] = refusal(pool);
  return json;
}

void HeadMachine::on(SessionId session, wire::RepairPool&& message, TimePoint, Effects& out) {
  auto found = find_refused(message.pool_name);
  if (found == refused_.end()) {  // one whose name cannot be read
    found = std::find_if(refused_.begin(), refused_.end(),
                         [&](const auto& pool) { return fmt::format("{:016x}", pool.first) == message.pool_name; });
  }
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
  out.emplace_back(JournalRepair{found->first, session, message.pool});
}

void HeadMachine::repaired(const JournalRepair& wanted, Result<RepairedJournal> journal, TimePoint now, Effects& out) {
  const auto found = refused_.find(wanted.log);
  if (found == refused_.end()) return;
  std::string problem = journal ? "" : journal.error().message;
  if (journal && journal.value().state) problem = objection_to(*journal.value().state);
  const bool listens = sessions_.contains(wanted.session);
  if (!problem.empty()) {
    found->second.repairing = false;
    if (listens) {
      fail_pool(wanted.session, wanted.asked, ErrorKind::not_stored,
                fmt::format("the pool was not repaired: {}", problem), out);
    }
    return;
  }
  RepairedJournal& repaired = journal.value();
  out.emplace_back(Log{fmt::format("pool '{}' was repaired: {}{} jobs are lost, {} run again{}", found->second.name,
                                   repaired.or_more ? "at least " : "", repaired.jobs_lost, repaired.jobs_again,
                                   repaired.state ? "" : "; nothing could be kept, and it is gone")});
  const bool removed = !repaired.state;
  refused_.erase(found);
  if (!removed) restore(std::move(*repaired.state), now, out);
  if (!listens) return;
  out.emplace_back(Send{wanted.session, wire::PoolRepaired{wanted.asked, repaired.jobs_lost, repaired.jobs_again,
                                                           removed, repaired.or_more}});
}

}  // namespace dc::head

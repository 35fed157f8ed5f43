// Named pools of earlier heads whose journals are still to be read. The head serves others meanwhile; what is said of
// such a pool, by whoever wants it, is held back until it is read.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/mutation.hpp"
#include "head/head_machine.hpp"

namespace dc::head {

void HeadMachine::await_pools(const std::vector<store::LogId>& logs, const std::map<store::LogId, std::uint64_t>& sizes,
                              TimePoint now, Effects& out) {
  for (const store::LogId log : logs) {
    const auto size = sizes.find(log);
    if (size != sizes.end()) unread_[log].entries = size->second;
    unread_.try_emplace(log);
  }
  unread_at_first_ = unread_.size();
  if (unread_.empty()) return;
  scheduler_.await_pools(true, now);
  read_next(out);
}

/// One that somebody waits for, or else the smallest, so that as many as possible are there soon.
void HeadMachine::read_next(Effects& out) const {
  std::set<store::LogId> wanted;
  for (const auto& [id, session] : sessions_) {
    for (const HeldMessage& held : session.held) wanted.insert(held.log);
  }
  const auto goes_first = [&](const auto& a, const auto& b) {
    if (wanted.contains(a.first) != wanted.contains(b.first)) return wanted.contains(a.first);
    return a.second.entries < b.second.entries;
  };
  const auto next = std::min_element(unread_.begin(), unread_.end(), goes_first);
  if (next != unread_.end()) out.emplace_back(JournalRead{next->first});
}

void HeadMachine::reading(store::LogId log, std::uint64_t entries, const std::string& trouble, Effects& out) {
  const auto found = unread_.find(log);
  if (found == unread_.end()) return;
  UnreadPool& pool = found->second;
  pool.entries_read = entries;
  if (!trouble.empty() && pool.trouble != trouble)
    out.emplace_back(Log{fmt::format("named pools cannot be read now, and who wants one has to wait: {}", trouble)});
  pool.trouble = trouble;
}

void HeadMachine::pool_read(store::LogId log, JournalState&& state, std::string problem, TimePoint now, Effects& out) {
  if (unread_.erase(log) == 0) return;
  if (problem.empty()) problem = state.problem();
  if (problem.empty() && !state.born) problem = "its first entry is missing";
  if (problem.empty() && facts_.log_of_name(state.born->name) != log) problem = "it is in the place of another pool";
  if (problem.empty()) problem = objection_to(state);
  if (problem.empty()) {
    restore(std::move(state), now, out);
  } else {
    refuse_pool(log, state, std::move(problem), out);
  }
  if (unread_.empty()) scheduler_.await_pools(false, now);
  hear_held(log, now, out);
  read_next(out);
}

// --- What is held back ------------------------------------------------------------------------------------------

/// As what it is held back, if it is about a pool that is not read so far; or none.
template <class Body>
std::optional<HeadMachine::HeldMessage> HeadMachine::held_back(const Session& session, const Body& body) const {
  HeldMessage held;
  if constexpr (requires { PoolId{body.pool}; }) {
    held.pool = body.pool;
    const auto before = std::find_if(session.held.begin(), session.held.end(),
                                     [&](const HeldMessage& other) { return other.pool == body.pool; });
    if (before != session.held.end()) {
      held.log = before->log;
      return held;
    }
  }
  if constexpr (requires { body.pool_name; }) {
    if (body.pool_name.empty() || !facts_.log_of_name) return std::nullopt;
    held.log = facts_.log_of_name(body.pool_name);
    if (unread_.contains(held.log)) return held;
  }
  return std::nullopt;
}

/// True: the session is heard on this when its pool is read.
bool HeadMachine::hold_back(SessionId id, wire::Message& message, Effects& out) {
  Session& session = sessions_.at(id);
  // A node may know a pool before the head does.
  if (session.peer.role == wire::Role::node || mutation::hear_unread) return false;
  std::optional<HeldMessage> held =
      std::visit([&](const auto& body) { return held_back(session, body); }, std::as_const(message));
  if (!held) return false;
  if (session.held.size() >= limits::held_messages_max) {
    refuse(id, "more and more messages for a pool that it has not got so far", out);
    return true;
  }
  held->message = std::move(message);
  session.held.push_back(std::move(*held));
  return true;
}

/// The journal of this pool is read: what was said of it is heard now.
void HeadMachine::hear_held(store::LogId log, TimePoint now, Effects& out) {
  std::vector<std::pair<SessionId, std::vector<wire::Message>>> heard;
  for (auto& [id, session] : sessions_) {
    std::vector<wire::Message> messages;
    for (HeldMessage& held : session.held) {
      if (held.log == log) messages.push_back(std::move(held.message));
    }
    std::erase_if(session.held, [&](const HeldMessage& held) { return held.log == log; });
    if (!messages.empty()) heard.emplace_back(id, std::move(messages));
  }
  for (auto& [id, messages] : heard) on_messages(id, std::move(messages), now, out);
}

// --- For status -------------------------------------------------------------------------------------------------

nlohmann::json HeadMachine::unread_json() const {
  if (unread_.empty()) return nullptr;
  nlohmann::json json{{"pools", unread_at_first_}, {"pools_read", unread_at_first_ - unread_.size()}};
  std::string trouble;
  for (const auto& [log, pool] : unread_) trouble = std::max(trouble, pool.trouble);
  json["trouble"] = trouble.empty() ? nlohmann::json() : nlohmann::json(trouble);
  return json;
}

nlohmann::json HeadMachine::unread_json(store::LogId log, const UnreadPool& pool) const {
  nlohmann::json json = journal_json(log, fmt::format("{:016x}", log));
  json["reading"] = {{"entries", pool.entries ? nlohmann::json(*pool.entries) : nlohmann::json()},
                     {"entries_read", pool.entries_read}};
  return json;
}

}  // namespace dc::head

// Sessions open, speak and close; what is away for too long is given up. See head_clients.cpp, head_nodes.cpp and
// head_commands.cpp for the messages.
#include "head/head_machine.hpp"

#include <fmt/format.h>

#include "core/check.hpp"
#include "head/message_checks.hpp"

namespace dc::head {
namespace {

/// A node without a session is kept this long for `status`; the scheduler has given its jobs away long before.
constexpr auto node_memory = limits::client_return_grace;
static_assert(node_memory >= limits::node_silent_after);
/// Messages for a pool that is over come within moments.
constexpr std::size_t past_pools_max = 256;

}  // namespace

HeadMachine::HeadMachine(HeadFacts facts, TimePoint now)
    : facts_(std::move(facts)), start_(now), scheduler_(facts_.epoch, now), flow_(facts_.results), last_flush_(now) {
  if (facts_.bounds.key_ttl.count() > 0) keys_look_at_ = now;
}

void HeadMachine::door_opened(TimePoint now) {
  last_flush_ = now;
  scheduler_.door_opened(now);
  for (auto& [id, pool] : pools_) pool->door_opened(now);
}

void HeadMachine::flush(TimePoint now, Effects& out) {
  if (next_expiry_ <= now) expire(now, out);
  last_flush_ = now;
  do {
    tell_scheduler(now, out);
    scheduler_.flush(now, commands_);
    carry_out(commands_, out);
  } while (!events_.empty());
  for (const PoolId id : std::exchange(turn_ends_, {})) {
    if (HeadPool* pool = find_pool(id)) {
      with(*pool, out, [this](auto& it, auto& effects) {
        it.end_turn(effects);
        it.stamp_keys(wall_, effects);
      });
    }
  }
  if (keys_look_at_ <= now) forget_old_keys(now, out);
  flush_batches(out);
}

void HeadMachine::tell_scheduler(TimePoint now, Effects& out) {
  DC_CHECK(!carrying_out_);
  for (std::size_t next = 0; next < events_.size(); ++next) {
    scheduler::Event event = std::move(events_[next]);  // others may be added meanwhile
    std::visit([&](auto& body) { scheduler_.on(std::move(body), now, commands_); }, event);
    carry_out(commands_, out);
  }
  events_.clear();
}

TimePoint HeadMachine::next_deadline() const {
  return std::min({scheduler_.next_deadline(), next_expiry_, keys_look_at_});
}

// --- For tests and the simulator --------------------------------------------------------------------------------

void HeadMachine::check_invariants() const {
  scheduler_.check_invariants();
  for (const auto& [id, pool] : pools_) {
    pool->check_invariants();
    DC_CHECK(pool->id == id && (pool->stage() == HeadPool::Stage::open) == scheduler_.has_pool(id));
    DC_CHECK(!pool->keeps() || names_.at(pool->name()) == pool.get());
    for (const SessionId session : pool->sessions())
      DC_CHECK(session.value == 0 || (sessions_.contains(session) && sessions_.at(session).pools.contains(id)));
  }
  for (const auto& [id, node] : nodes_) {
    DC_CHECK((node.session.value == 0) == (node.forget_at != never));
    DC_CHECK(node.session.value == 0 || sessions_.contains(node.session));
  }
  DC_CHECK(run_.items.empty() && values_.items.empty() && errors_.sequences.empty() && acks_.empty());
  DC_CHECK(events_.empty() && turn_ends_.empty());
}

std::string HeadMachine::what_is_left() const {
  std::string left;
  const auto count = [&](std::size_t number, const char* noun) {
    if (number > 0) left += fmt::format("{}{} {}", left.empty() ? "" : ", ", number, noun);
  };
  count(pools_.size(), "pools");
  count(programs_.size(), "programs");
  for (const auto& [worker, place] : places_)
    left += fmt::format("{}worker {:x} of node {:x}", left.empty() ? "" : ", ", worker.value, place.node.value);
  return left;
}

// --- Who is away too long ---------------------------------------------------------------------------------------

void HeadMachine::expire(TimePoint now, Effects& out) {
  if (now - next_expiry_ > limits::own_freeze_gap) thaw(now - last_flush_);
  next_expiry_ = never;
  std::vector<PoolId> due;
  for (const auto& [id, pool] : pools_) {
    if (pool->deadline() <= now)
      due.push_back(id);
    else
      expire_at(pool->deadline());
  }
  std::vector<NodeId> forgotten;
  for (const auto& [id, node] : nodes_) {
    if (node.forget_at <= now)
      forgotten.push_back(id);
    else
      expire_at(node.forget_at);
  }
  for (const PoolId id : due) with(*pools_.at(id), out, [](auto& pool, auto& effects) { pool.expired(effects); });
  for (const NodeId id : forgotten) forget_node(id);
}

/// A deadline was noticed far too late: we were frozen, and nobody could reach us meanwhile. Since when is not known,
/// so the whole time since the last flush is given back.
void HeadMachine::thaw(Duration gap) {
  for (auto& [id, pool] : pools_) pool->thaw(gap, last_flush_);
  for (auto& [id, node] : nodes_) {
    if (node.forget_at != never) node.forget_at += gap;
  }
}

// --- Sessions ---------------------------------------------------------------------------------------------------

void HeadMachine::session_opened(SessionId session, PeerInfo peer, TimePoint now, Effects& out) {
  if (peer.role == wire::Role::node) {
    const NodeId id{peer.id};
    NodeInfo& node = nodes_[id];
    if (const SessionId old = node.session; old.value != 0) {
      sessions_.erase(old);
      out.emplace_back(CloseSession{old, "the node opened a newer session"});
      node_lost_session(id, false, now, out);
    }
    node.session = session;
    node.reported = false;
    node.forget_at = never;
    node.peer = peer;
  }
  if (peer.role == wire::Role::client) {
    close_older_sessions(peer.id, now, out);
    client_sessions_[peer.id] = session;
  }
  const bool nameless = peer.role != wire::Role::viewer && peer.id == 0;
  sessions_[session] = Session{.peer = std::move(peer)};
  if (nameless) refuse(session, "Hello without an id", out);
}

/// What is still under way in an older session of the client is of the past, even if its end was not seen: a late
/// ResumePool would undo the newer one.
void HeadMachine::close_older_sessions(std::uint64_t client, TimePoint now, Effects& out) {
  const auto older = client_sessions_.find(client);
  if (older == client_sessions_.end()) return;
  const SessionId id = older->second;
  out.emplace_back(CloseSession{id, "the client opened a newer session"});
  pools_lost_session(id, false, now, out);
}

void HeadMachine::session_closed(SessionId session, TimePoint now, Effects& out) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  const PeerInfo peer = found->second.peer;
  if (peer.role != wire::Role::node) return pools_lost_session(session, false, now, out);
  sessions_.erase(found);
  out.emplace_back(Log{fmt::format("node {} (pid {}) is disconnected", peer.host, peer.pid)});
  node_lost_session(NodeId{peer.id}, false, now, out);
}

void HeadMachine::on(SessionId session, wire::Goodbye&&, TimePoint now, Effects& out) {
  const PeerInfo peer = sessions_.at(session).peer;
  if (peer.role != wire::Role::node) return pools_lost_session(session, true, now, out);
  sessions_.erase(session);  // the peer closes the connection
  out.emplace_back(Log{fmt::format("node {} (pid {}) has left", peer.host, peer.pid)});
  node_lost_session(NodeId{peer.id}, true, now, out);
}

void HeadMachine::node_lost_session(NodeId id, bool for_good, TimePoint now, Effects& out) {
  NodeInfo& node = nodes_.at(id);
  node.session = {};
  node.reported = false;
  ResultFlow::Says says;
  flow_.remove(id, says);
  tell_nodes(std::move(says), out);
  if (for_good) {
    forget_node(id);
    return tell(scheduler::NodeGone{id}, now, out);
  }
  node.forget_at = now + node_memory;
  expire_at(node.forget_at);
  tell(scheduler::NodeDisconnected{id}, now, out);
}

void HeadMachine::forget_node(NodeId id) {
  forget_places(nodes_.at(id));
  nodes_.erase(id);
}

void HeadMachine::forget_places(NodeInfo& node) {
  for (const WorkerId worker : std::exchange(node.workers, {})) places_.erase(worker);
}

/// The session of a client or viewer is over: its peer closes the connection, or it is closed.
void HeadMachine::pools_lost_session(SessionId session, bool for_good, TimePoint now, Effects& out) {
  const auto lost = sessions_.extract(session);
  const auto latest = client_sessions_.find(lost.mapped().peer.id);
  if (latest != client_sessions_.end() && latest->second == session) client_sessions_.erase(latest);
  for (const PoolId id : lost.mapped().pools) {
    HeadPool* pool = find_pool(id);
    if (pool) with(*pool, out, [&](auto& it, auto& effects) { it.session_lost(session, for_good, now, effects); });
  }
  tell_scheduler(now, out);
}

// --- Messages ---------------------------------------------------------------------------------------------------

template <class Body>
std::string HeadMachine::objection(const Session& session) const {
  constexpr bool of_handshake = Body::type <= wire::Rejected::type;
  const wire::Role role = session.peer.role;
  if (of_handshake || (Body::ways & wire::ways_from(role)) == 0)
    return fmt::format("{} is not for its role", Body::name);
  if (role != wire::Role::node || Body::type == wire::Goodbye::type) return {};
  const bool reports = Body::type == wire::NodeState::type;
  const bool reported = nodes_.at(NodeId{session.peer.id}).reported;
  if (reports) return reported ? "a second NodeState" : "";
  return reported ? "" : fmt::format("{} before NodeState", Body::name);
}

void HeadMachine::send_to_node(NodeId node, wire::Message message, wire::Lane lane, Effects& out) {
  const auto found = nodes_.find(node);
  if (found == nodes_.end() || !found->second.reported) return;  // it will say what it has when it is back
  out.emplace_back(Send{found->second.session, std::move(message), lane});
}

void HeadMachine::on_messages(SessionId session, std::vector<wire::Message>&& messages, TimePoint now, Effects& out) {
  for (wire::Message& message : messages) {
    const auto found = sessions_.find(session);
    if (found == sessions_.end() || found->second.refused) break;
    if (!unread_.empty() && hold_back(session, message, out)) continue;
    speaking_ = session;
    std::visit(
        [&](auto&& body) {
          using Body = std::decay_t<decltype(body)>;
          std::string wrong = objection<Body>(found->second);
          if (wrong.empty()) wrong = wrong_in(body);
          if (!wrong.empty()) return refuse(session, wrong, out);
          if constexpr (requires { on(session, std::move(body), now, out); }) on(session, std::move(body), now, out);
        },
        std::move(message));
    tell_scheduler(now, out);
  }
  speaking_ = {};
}

void HeadMachine::carry_out(scheduler::Contradiction& command, Effects& out) {
  const auto speaker = sessions_.find(speaking_);
  if (speaker != sessions_.end() && !speaker->second.refused) refuse(speaking_, command.what, out);
}

/// The pool is not, or will not be, the session's. What that still sends for the pool may come late.
void HeadMachine::has_left(SessionId session, PoolId pool) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second.pools.erase(pool);
  is_past(session, pool);
}

void HeadMachine::is_past(SessionId session, PoolId pool) {
  std::set<PoolId>& past = sessions_.at(session).past;
  if (past.size() >= past_pools_max) past.clear();
  past.insert(pool);
}

/// The end of a session that broke the rules, with the one line that it gets in the log.
void HeadMachine::refuse(SessionId session, std::string_view what, Effects& out) {
  Session& refused = sessions_.at(session);
  refused.refused = true;
  out.emplace_back(Log{fmt::format("{} (pid {}) at {} broke the protocol ({}): session closed", refused.peer.host,
                                   refused.peer.pid, refused.peer.address, what)});
  out.emplace_back(CloseSession{session, fmt::format("you broke the protocol ({})", what)});
}

/// One answer is under way at a time: who asks and does not read gets no more of our memory.
void HeadMachine::on(SessionId session, wire::StatusRequest&&, TimePoint now, Effects& out) {
  Session& asking = sessions_.at(session);
  if (!std::exchange(asking.answering, true)) {
    out.emplace_back(Send{session, wire::StatusReply{Payload(status_json(now))}});
  } else if (++asking.asks > limits::status_requests_max) {
    refuse(session, "StatusRequest again and again, without reading the answers", out);
  }
}

void HeadMachine::answered(SessionId session, TimePoint now, Effects& out) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second.answering = false;
  if (found->second.asks == 0 || found->second.refused) return;
  --found->second.asks;
  on(session, wire::StatusRequest{}, now, out);
}

}  // namespace dc::head

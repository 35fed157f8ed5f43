// Sessions come and go; messages of clients and nodes become events of the scheduler.
#include "head/head_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dc::head {

HeadMachine::HeadMachine(HeadFacts facts, TimePoint now)
    : facts_(std::move(facts)), start_(now), scheduler_(facts_.epoch, now) {}

template <class Event>
void HeadMachine::tell(Event event, TimePoint now, Effects& out) {
  scheduler_.on(std::move(event), now, commands_);
  carry_out(commands_, out);
}

void HeadMachine::flush(TimePoint now, Effects& out) {
  std::vector<PoolId> expired;
  for (auto& [id, pool] : pools_) {
    if (pool.close_at <= now) expired.push_back(id);
  }
  for (const PoolId id : expired) {
    out.emplace_back(Log{fmt::format("pool {:x} is closed: its client did not come back", id.value)});
    close_pool(id, now, out);
  }
  scheduler_.flush(now, commands_);
  carry_out(commands_, out);
  flush_batches(out);
}

TimePoint HeadMachine::next_deadline() const {
  TimePoint next = scheduler_.next_deadline();
  for (const auto& [id, pool] : pools_) next = std::min(next, pool.close_at);
  return next;
}

// --- Sessions ---------------------------------------------------------------------------------------------------

void HeadMachine::session_opened(SessionId session, PeerInfo peer, TimePoint, Effects& out) {
  if (peer.role == wire::Role::node) {
    NodeInfo& node = nodes_[NodeId{peer.id}];
    if (node.session.value != 0) {
      const SessionId old = std::exchange(node.session, SessionId{});
      sessions_.erase(old);
      out.emplace_back(CloseSession{old, "the node opened a newer session"});
    }
    node.session = session;
    node.peer = peer;
  }
  sessions_[session] = {std::move(peer), false};
}

void HeadMachine::session_closed(SessionId session, TimePoint now, Effects& out) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  const Session closed = std::move(found->second);
  sessions_.erase(found);
  if (closed.peer.role == wire::Role::node) {
    const NodeId id{closed.peer.id};
    nodes_[id].session = {};
    out.emplace_back(Log{fmt::format("node {} (pid {}) {}", closed.peer.host, closed.peer.pid,
                                     closed.said_goodbye ? "has left" : "is disconnected")});
    if (closed.said_goodbye) {
      nodes_.erase(id);
      tell(scheduler::NodeGone{id}, now, out);
    } else {
      tell(scheduler::NodeDisconnected{id}, now, out);
    }
    return;
  }
  std::vector<PoolId> gone;
  for (auto& [id, pool] : pools_) {
    if (pool.session != session) continue;
    pool.session = {};
    pool.close_at = now + limits::client_return_grace;
    if (closed.said_goodbye) gone.push_back(id);
  }
  for (const PoolId id : gone) close_pool(id, now, out);
}

void HeadMachine::on_messages(SessionId session, std::vector<wire::Message>&& messages, TimePoint now, Effects& out) {
  for (wire::Message& message : messages) {
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    const wire::Role role = found->second.peer.role;
    std::visit(
        [&](auto&& body) {
          using Body = std::decay_t<decltype(body)>;
          constexpr bool of_client = Body::type >= 10 && Body::type < 30;
          constexpr bool of_node = (Body::type >= 50 && Body::type < 70) || Body::type == wire::NeedProgram::type ||
                                   Body::type == wire::OutputLines::type;
          constexpr bool of_all = Body::type == wire::Goodbye::type || Body::type == wire::StatusRequest::type;
          const bool allowed =
              of_all || (of_client && role == wire::Role::client) || (of_node && role == wire::Role::node);
          if (allowed)
            on(session, std::move(body), now, out);
          else
            refuse(session, Body::name, out);
        },
        std::move(message));
  }
}

void HeadMachine::refuse(SessionId session, const char* message_name, Effects& out) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  out.emplace_back(Log{fmt::format("{} at {} sent {}, which is not for its role: session closed",
                                   found->second.peer.host, found->second.peer.address, message_name)});
  out.emplace_back(CloseSession{session, fmt::format("{} is not for your role", message_name)});
}

template <class Other>
void HeadMachine::on(SessionId session, Other&&, TimePoint, Effects& out) {
  refuse(session, std::decay_t<Other>::name, out);
}

void HeadMachine::on(SessionId session, wire::Goodbye&&, TimePoint, Effects&) {
  sessions_[session].said_goodbye = true;
}

void HeadMachine::on(SessionId session, wire::StatusRequest&&, TimePoint now, Effects& out) {
  out.emplace_back(Send{session, wire::StatusReply{status_json(now)}});
}

// --- Messages of clients ----------------------------------------------------------------------------------------

HeadMachine::PoolInfo* HeadMachine::own_pool(SessionId session, PoolId pool) {
  const auto found = pools_.find(pool);
  return found != pools_.end() && found->second.session == session ? &found->second : nullptr;
}

void HeadMachine::on(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out) {
  const PeerInfo& peer = sessions_[session].peer;
  if (!std::isfinite(message.options.weight) || message.options.weight <= 0) {
    ErrorInfo error;
    error.kind = ErrorKind::pool_closed;
    error.message = fmt::format("the pool's weight is {}: it must be a number above 0", message.options.weight);
    out.emplace_back(Send{session, wire::PoolFailed{message.pool, std::move(error)}});
    return;
  }
  if (const auto known = pools_.find(message.pool); known != pools_.end()) {
    if (known->second.client.value != peer.id) return refuse(session, "OpenPool of another client's pool", out);
    known->second.session = session;
    known->second.close_at = never;
    if (known->second.opened) out.emplace_back(Send{session, wire::PoolOpened{message.pool}});
    return;
  }
  PoolInfo& pool = pools_[message.pool];
  pool.client = ClientId{peer.id};
  pool.session = session;
  pool.peer = peer;
  pool.options = std::move(message.options);
  pool.spec = message.spec.size() > limits::inline_payload_max ? message.spec : message.spec.compact();
  pool.resumed = message.resumed;
  const std::string& hash = pool.options.program_hash;
  if (!hash.empty() && !programs_.contains(hash)) {
    out.emplace_back(Send{session, wire::NeedProgram{hash}});
    return;
  }
  open_pool(message.pool, pool, now, out);
}

void HeadMachine::open_pool(PoolId id, PoolInfo& pool, TimePoint now, Effects& out) {
  pool.opened = true;
  out.emplace_back(Send{pool.session, wire::PoolOpened{id}});
  out.emplace_back(Log{fmt::format("pool {:x} ({}) of {} (pid {}) is {}", id.value, pool.options.label, pool.peer.host,
                                   pool.peer.pid, pool.resumed ? "back" : "open")});
  tell(scheduler::PoolOpened{id, pool.options, pool.resumed}, now, out);
}

void HeadMachine::on(SessionId, wire::Program&& message, TimePoint now, Effects& out) {
  programs_[message.hash] = std::move(message.program);
  for (auto& [id, pool] : pools_) {
    if (!pool.opened && pool.options.program_hash == message.hash) open_pool(id, pool, now, out);
  }
}

void HeadMachine::on(SessionId session, wire::ResumePool&& message, TimePoint now, Effects& out) {
  const auto found = pools_.find(message.pool);
  const PeerInfo& peer = sessions_[session].peer;
  if (found == pools_.end() || !found->second.opened || found->second.client.value != peer.id) {
    out.emplace_back(Send{session, wire::PoolKnown{message.pool, false, 0, {}}});
    return;
  }
  found->second.session = session;
  found->second.close_at = never;
  tell(scheduler::ClientReturned{message.pool, std::move(message.outstanding)}, now, out);
}

void HeadMachine::on(SessionId session, wire::PoolResumed&& message, TimePoint now, Effects& out) {
  if (own_pool(session, message.pool)) tell(scheduler::PoolResumed{message.pool}, now, out);
}

void HeadMachine::on(SessionId session, wire::SubmitJobs&& message, TimePoint now, Effects& out) {
  if (own_pool(session, message.pool)) tell(scheduler::JobsSubmitted{message.pool, std::move(message.jobs)}, now, out);
}

void HeadMachine::on(SessionId session, wire::AddUpdate&& message, TimePoint now, Effects& out) {
  if (!own_pool(session, message.pool)) return;
  tell(scheduler::UpdateAdded{message.pool, message.number, std::move(message.payload)}, now, out);
}

void HeadMachine::on(SessionId session, wire::AckOutcomes&& message, TimePoint now, Effects& out) {
  if (!own_pool(session, message.pool)) return;
  tell(scheduler::OutcomesAcknowledged{message.pool, std::move(message.sequences)}, now, out);
}

void HeadMachine::on(SessionId session, wire::WantWorkers&& message, TimePoint now, Effects& out) {
  if (own_pool(session, message.pool)) tell(scheduler::WorkersWanted{message.pool, message.count}, now, out);
}

void HeadMachine::on(SessionId session, wire::ClosePool&& message, TimePoint now, Effects& out) {
  if (own_pool(session, message.pool)) close_pool(message.pool, now, out);
  out.emplace_back(Send{session, wire::PoolClosed{message.pool}});
}

void HeadMachine::close_pool(PoolId id, TimePoint now, Effects& out) {
  if (pools_.erase(id) == 0) return;
  out.emplace_back(Log{fmt::format("pool {:x} is closed", id.value)});
  tell(scheduler::PoolClosed{id}, now, out);
  drop_unused_programs();
}

void HeadMachine::drop_unused_programs() {
  std::erase_if(programs_, [&](const auto& entry) {
    return std::none_of(pools_.begin(), pools_.end(),
                        [&](const auto& pool) { return pool.second.options.program_hash == entry.first; });
  });
}

// --- Messages of nodes ------------------------------------------------------------------------------------------

NodeId HeadMachine::node_of(SessionId session) const { return NodeId{sessions_.at(session).peer.id}; }

void HeadMachine::on(SessionId session, wire::NodeState&& message, TimePoint now, Effects& out) {
  const PeerInfo& peer = sessions_[session].peer;
  NodeInfo& node = nodes_[NodeId{peer.id}];
  node.programs = {message.programs.begin(), message.programs.end()};
  out.emplace_back(
      Log{fmt::format("node {} (pid {}) has joined with {} slots", peer.host, peer.pid, message.slots.size())});
  scheduler::NodeJoined event{NodeId{peer.id}, peer.host, std::move(message.slots), {}, {}};
  for (wire::HeldPool& held : message.pools) event.pools.push_back({held.pool, held.updates, std::move(held.finished)});
  for (const WorkerReport& worker : message.workers) places_[worker.worker] = {event.node, worker.slot};
  event.workers = std::move(message.workers);
  tell(std::move(event), now, out);
}

void HeadMachine::on(SessionId session, wire::NeedProgram&& message, TimePoint, Effects& out) {
  const auto program = programs_.find(message.hash);
  if (program != programs_.end()) out.emplace_back(Send{session, wire::Program{message.hash, program->second}});
}

void HeadMachine::on(SessionId session, wire::WorkerReady&& message, TimePoint now, Effects& out) {
  tell(scheduler::WorkerReady{node_of(session), message.worker, message.pid}, now, out);
}

void HeadMachine::on(SessionId session, wire::WorkerExited&& message, TimePoint now, Effects& out) {
  tell(scheduler::WorkerExited{node_of(session), message.worker, message.cause, std::move(message.error),
                               std::move(message.running), std::move(message.unstarted)},
       now, out);
  places_.erase(message.worker);
}

void HeadMachine::on(SessionId session, wire::JobsDone&& message, TimePoint now, Effects& out) {
  const NodeId node = node_of(session);
  for (wire::FinishedItem& item : message.items) {
    scheduler_.on(scheduler::JobFinished{node,
                                         message.worker,
                                         message.pool,
                                         item.attempt,
                                         std::chrono::microseconds(item.run_time_us),
                                         {std::move(item.value), {}}},
                  now, commands_);
  }
  carry_out(commands_, out);
}

void HeadMachine::on(SessionId session, wire::JobFailed&& message, TimePoint now, Effects& out) {
  tell(scheduler::JobFinished{node_of(session),
                              message.worker,
                              message.pool,
                              message.attempt,
                              std::chrono::microseconds(message.run_time_us),
                              {std::move(message.exception), std::move(message.error)}},
       now, out);
}

void HeadMachine::on(SessionId session, wire::JobsRecalled&& message, TimePoint now, Effects& out) {
  tell(scheduler::JobsRecalled{node_of(session), message.worker, std::move(message.attempts)}, now, out);
}

void HeadMachine::on(SessionId session, wire::UpdatesApplied&& message, TimePoint now, Effects& out) {
  tell(scheduler::UpdatesApplied{node_of(session), message.worker, message.number, std::move(message.error)}, now, out);
}

void HeadMachine::on(SessionId session, wire::NodeLeaving&&, TimePoint now, Effects& out) {
  tell(scheduler::NodeLeaving{node_of(session)}, now, out);
}

void HeadMachine::on(SessionId, wire::OutputLines&& message, TimePoint, Effects& out) {
  const PoolId pool = message.pool;
  send_to_client(pool, std::move(message), wire::control_lane, out);
}

}  // namespace dc::head

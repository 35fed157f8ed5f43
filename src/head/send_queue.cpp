// See send_queue.hpp.
#include "head/send_queue.hpp"

#include <algorithm>
#include <utility>

namespace dc::head {
namespace {

/// Calls `each` with every payload of the message that may be in the store.
template <class Each>
void each_payload(wire::Message& message, Each each) {
  if (auto* run = std::get_if<wire::RunJobs>(&message)) {
    for (auto& item : run->items) each(item.arguments);
  } else if (auto* values = std::get_if<wire::JobValues>(&message)) {
    for (auto& item : values->items) each(item.value);
  } else if (auto* error = std::get_if<wire::JobError>(&message)) {
    each(error->exception);
  } else if (auto* seen = std::get_if<wire::OutcomesSeen>(&message)) {
    for (auto& item : seen->items) each(item.payload);
  }
}

bool needs_the_store(wire::Message& message) {
  bool needs = false;
  each_payload(message, [&](const Payload& payload) { needs = needs || payload.is_elsewhere(); });
  return needs;
}

std::vector<Payload> elsewhere_in(wire::Message& message) {
  std::vector<Payload> found;
  each_payload(message, [&](const Payload& payload) {
    if (payload.is_elsewhere()) found.push_back(payload);
  });
  return found;
}

std::size_t bytes_of(const std::vector<Payload>& payloads) {
  std::size_t bytes = 0;
  for (const Payload& payload : payloads) bytes += payload.size();
  return bytes;
}

}  // namespace

bool SendQueue::passes(Send& send, SendEffects& out) {
  const auto found = sessions_.find(send.session);
  const bool behind = found != sessions_.end() && found->second.lanes.contains(send.lane);
  if (!behind && !needs_the_store(send.message)) return true;
  const SessionId id = send.session;
  const wire::Lane lane = send.lane;
  Session& session = sessions_[id];
  session.lanes[lane].push_back(std::move(send));
  ++session.waiting;
  if (behind) return false;
  session.asking.push_back(lane);
  ask(id, session, out);
  return false;
}

/// Loads what is next, while there is room: one at least.
void SendQueue::ask(SessionId id, Session& session, SendEffects& out) {
  while (!session.asking.empty()) {
    const wire::Lane lane = session.asking.front();
    std::vector<Payload> wanted = elsewhere_in(session.lanes.at(lane).front().message);
    const std::size_t bytes = bytes_of(wanted);
    const std::size_t held = session.loading + session.unwritten;
    if (held > 0 && held + bytes > limits::loaded_bytes_max) return;
    session.asking.pop_front();
    session.loading += bytes;
    requests_[++last_ticket_] = {id, lane, bytes};
    out.emplace_back(LoadPayloads{last_ticket_, std::move(wanted)});
  }
}

void SendQueue::loaded(store::Loaded&& loaded, SendEffects& out) {
  const auto request = requests_.find(loaded.ticket);
  if (request == requests_.end()) return;
  const auto [id, lane, bytes] = request->second;
  requests_.erase(request);
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Session& session = found->second;
  session.loading -= bytes;
  session.unwritten += bytes;
  std::deque<Send>& queue = session.lanes.at(lane);
  Send first = std::move(queue.front());
  queue.pop_front();
  --session.waiting;
  auto next = loaded.payloads.begin();
  each_payload(first.message, [&](Payload& payload) {
    if (payload.is_elsewhere()) payload = std::move(*next++);
  });
  if (loaded.problem.empty())
    out.emplace_back(std::move(first));
  else
    out.emplace_back(Unreadable{std::move(first), std::move(loaded.problem)});
  go_on(id, session, lane, out);
  if (!std::exchange(session.watched, true)) out.emplace_back(TellWritten{id});
}

/// What stands behind it in the lane, up to the next one that needs the store.
void SendQueue::go_on(SessionId id, Session& session, wire::Lane lane, SendEffects& out) {
  std::deque<Send>& queue = session.lanes.at(lane);
  while (!queue.empty() && !needs_the_store(queue.front().message)) {
    out.emplace_back(std::move(queue.front()));
    queue.pop_front();
    --session.waiting;
  }
  if (queue.empty())
    session.lanes.erase(lane);
  else
    session.asking.push_back(lane);
  ask(id, session, out);
}

void SendQueue::written(SessionId id, SendEffects& out) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Session& session = found->second;
  session.watched = false;
  session.unwritten = 0;
  if (session.lanes.empty()) return void(sessions_.erase(found));
  ask(id, session, out);
}

std::size_t SendQueue::waiting(SessionId session) const {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? 0 : found->second.waiting;
}

}  // namespace dc::head

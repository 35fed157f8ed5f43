// See head_sessions.hpp.
#include "head/head_sessions.hpp"

#include <utility>

#include "core/log.hpp"

namespace dc::head {

bool HeadSessions::closed(SessionId session) {
  queue_.closed(session);
  return sessions_.erase(session) > 0;
}

void HeadSessions::clear() {
  sessions_.clear();
  queue_.close_all();
}

// --- What is sent -----------------------------------------------------------------------------------------------

void HeadSessions::send(Send& send) {
  const auto found = sessions_.find(send.session);
  if (found == sessions_.end()) return;
  if (queue_.passes(send, effects_)) return send_now(*found->second, send);
  carry_out_effects();
  look_whether_deaf(*found->second);
}

void HeadSessions::loaded(std::vector<store::Loaded>&& loaded) {
  for (store::Loaded& one : loaded) queue_.loaded(std::move(one), effects_);
  carry_out_effects();
}

void HeadSessions::carry_out_effects() {
  for (SendEffect& effect : effects_) std::visit([this](auto& body) { carry_out(body); }, effect);
  effects_.clear();
}

void HeadSessions::carry_out(Send& send) {
  if (const auto found = sessions_.find(send.session); found != sessions_.end()) send_now(*found->second, send);
}

void HeadSessions::send_now(net::Session& session, Send& send) {
  auto* output = std::get_if<wire::OutputLines>(&send.message);
  if (output && !output_limit_.admit(*output, session.queued_bytes())) return;
  const bool answer = std::holds_alternative<wire::StatusReply>(send.message);
  session.send(std::move(send.message), send.lane);
  if (answer) session.when_written([this, id = send.session] { handler_.answered(id); });
  look_whether_deaf(session);
}

void HeadSessions::carry_out(TellWritten& tell) {
  const auto found = sessions_.find(tell.session);
  if (found == sessions_.end()) return;
  found->second->when_written([this, id = tell.session] {
    if (!handler_.may_speak()) return;
    queue_.written(id, effects_);
    carry_out_effects();
  });
}

void HeadSessions::close(const CloseSession& close) {
  if (const auto found = sessions_.find(close.session); found != sessions_.end()) found->second->close(close.reason);
}

// --- Who does not read ------------------------------------------------------------------------------------------

void HeadSessions::look_whether_deaf(const net::Session& session) {
  const wire::Role role = session.peer().role;
  if (role == wire::Role::node) return;
  const bool asks_on = role == wire::Role::viewer && queue_.waiting(session.id()) > limits::unread_answers_max;
  if (asks_on || session.queued_talk() > limits::unread_bytes_max) deaf_.insert(session.id());
}

void HeadSessions::cut_off_deaf() {
  for (const SessionId id : std::exchange(deaf_, {})) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) continue;
    net::Session* session = found->second;
    const net::Peer& peer = session->peer();
    log::warning("{} (pid {}) at {} does not read what it has asked for: session closed", peer.host, peer.pid,
                 peer.address);
    closed(id);
    session->close("you do not read what you are sent");
    handler_.lost(id);
  }
}

}  // namespace dc::head

// What the head sends of which a payload is in the store (Payload::is_elsewhere): it waits here until that is loaded,
// and goes out in the order of its lane, as behind any other large payload. Of a session no more is loaded ahead of
// what it reads than limits::loaded_bytes_max, so results that nobody takes, and jobs that do not run yet, cost no
// memory.
//
// A pure machine: HeadService sends, asks the journal's thread to load, and tells what came of both.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/limits.hpp"
#include "head/effects.hpp"

namespace dc::head {

/// The journal's thread is to bring these here; loaded() says what came of it.
struct LoadPayloads {
  store::Ticket ticket{};
  std::vector<Payload> payloads;
};
/// written() is to be called when all that this session was sent so far is with the system.
struct TellWritten {
  SessionId session;
};
/// Some payloads of this message cannot be read: HeadMachine::unreadable() says what to do.
struct Unreadable {
  Send send;
  std::string problem;
};
using SendEffect = std::variant<Send, LoadPayloads, TellWritten, Unreadable>;
using SendEffects = std::vector<SendEffect>;

class SendQueue {
 public:
  /// Whether the message may go out at once. If not, it is taken, and comes in `out` when it may.
  bool passes(Send& send, SendEffects& out);
  void loaded(store::Loaded&& loaded, SendEffects& out);
  void written(SessionId session, SendEffects& out);
  /// The session is over: nothing is to be sent to it any more.
  void closed(SessionId session) { sessions_.erase(session); }
  void close_all() { sessions_.clear(); }

  /// Messages that wait for the session.
  [[nodiscard]] std::size_t waiting(SessionId session) const;

 private:
  struct Session {
    std::map<wire::Lane, std::deque<Send>> lanes;  ///< each begins with a message that needs the store
    std::deque<wire::Lane> asking;                 ///< for whose first message nothing is being loaded
    std::size_t loading = 0;                       ///< bytes that are being loaded
    std::size_t unwritten = 0;                     ///< that were, and may not have been written
    std::size_t waiting = 0;                       ///< messages
    bool watched = false;                          ///< TellWritten is out
  };
  struct Request {
    SessionId session;
    wire::Lane lane{};
    std::size_t bytes = 0;
  };
  void ask(SessionId id, Session& session, SendEffects& out);
  void go_on(SessionId id, Session& session, wire::Lane lane, SendEffects& out);

  std::map<SessionId, Session> sessions_;
  std::map<store::Ticket, Request> requests_;
  store::Ticket last_ticket_ = 0;
};

}  // namespace dc::head

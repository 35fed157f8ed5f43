// The open sessions of a head: what is sent to them, in their order (send_queue.hpp), and who is cut off because it
// does not read.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "head/effects.hpp"
#include "head/send_queue.hpp"
#include "net/session.hpp"
#include "wire/output_limit.hpp"

namespace dc::head {

class HeadSessions {
 public:
  struct Handler {
    std::function<bool()> may_speak;               ///< whether this is the head still
    std::function<void(LoadPayloads&&)> load;      ///< loaded() is to be called
    std::function<void(Unreadable&&)> unreadable;  ///< instead of being sent
    std::function<void(SessionId)> answered;       ///< the StatusReply to this session has been written
    std::function<void(SessionId session)> lost;   ///< it was cut off
  };
  explicit HeadSessions(Handler handler) : handler_(std::move(handler)) {}

  void opened(net::Session& session) { sessions_[session.id()] = &session; }
  /// False: it was not open.
  bool closed(SessionId session);
  /// All of them are broken off.
  void clear();
  [[nodiscard]] bool contains(SessionId session) const { return sessions_.contains(session); }

  void send(Send& send);
  void close(const CloseSession& close);
  void loaded(std::vector<store::Loaded>&& loaded);
  /// Who asks on and on and does not read what is answered.
  void cut_off_deaf();

 private:
  void carry_out_effects();
  void carry_out(Send& send);
  void carry_out(LoadPayloads& load) { handler_.load(std::move(load)); }
  void carry_out(TellWritten& tell);
  void carry_out(Unreadable& unreadable) { handler_.unreadable(std::move(unreadable)); }
  void send_now(net::Session& session, Send& send);
  void look_whether_deaf(const net::Session& session);

  const Handler handler_;
  std::map<SessionId, net::Session*> sessions_;
  std::set<SessionId> deaf_;  ///< clients and viewers for whom too much waits
  wire::OutputLimit output_limit_;
  SendQueue queue_;
  SendEffects effects_;
};

}  // namespace dc::head

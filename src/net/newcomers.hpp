// Connections from their arrival until their peer has proved the password, or is sent away.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/channel.hpp"
#include "net/handshake.hpp"
#include "net/mortal.hpp"
#include "net/proof_limit.hpp"
#include "net/scram.hpp"
#include "net/session.hpp"
#include "net/tls.hpp"
#include "net/waiting_room.hpp"

namespace dc::net {

/// Who has proved the password, with all that a session needs.
struct Admitted {
  Peer peer;
  std::shared_ptr<Channel> channel;
  bool writing = false;                ///< a frame of the handshake is still being written
  std::optional<wire::Frame> welcome;  ///< the last frame of the handshake
};

/// What a newcomer may cost is bounded: a connection that says nothing is a descriptor and some bytes; all others take
/// turns, one piece of work (a record of TLS) in one turn of the loop, so that whoever has a session does not notice
/// them; and when there is no room, WaitingRoom says who goes. Peers on the Unix socket are no strangers. Owned by the
/// listener; held by shared_ptr because handshakes are under way when it goes.
class Newcomers : public Mortal<Newcomers> {
 public:
  using Id = WaitingRoom::Id;

  /// `options` outlives this object; its password is wiped.
  Newcomers(EventLoop& loop, ListenOptions& options, std::function<void(Admitted)> on_admitted);

  /// TLS works with this key.
  void use(TlsContext context) { context_ = std::move(context); }
  void arrive(Socket socket, bool local);
  /// For want of a descriptor. False: there is nobody.
  bool send_one_away();
  /// All of them, without a word.
  void abort_all();
  void destroy();
  /// A session has ended, from that address.
  void session_ended(const std::string& address);

 private:
  struct Newcomer {
    std::optional<Socket> socket;      // until its peer has said something
    std::shared_ptr<Channel> channel;  // from then on
    std::optional<HeadHandshake> handshake;
    HandshakeWriter writer;
    std::unique_ptr<Timer> deadline;
    std::string address, group;
    Callback work;       // that waits for its turn
    bool local = false;  // over the Unix socket: not a stranger, and not counted
    bool refused = false;
  };

  void open(Id id);
  void on_first_bytes(Id id);
  void ask(Id id, bool begins, Callback work);
  void schedule_turn();
  void take_turn();
  void on_channel(Id id, Result<void> ready);
  void on_frame(Id id, std::shared_ptr<const void> frame, std::span<const std::byte> bytes);
  void on_written(Id id);
  void admit(Id id, std::optional<wire::Frame> welcome);
  void refuse(Id id, Newcomer& newcomer, HandshakeStep step);
  void drop(Id id, std::string_view why);
  void no_room_for(Id id);

  EventLoop& loop_;
  ListenOptions& options_;
  std::function<void(Admitted)> on_admitted_;
  const ScramVerifier verifier_;
  TlsContext context_;
  ProofLimit limit_;
  WaitingRoom room_;
  std::map<Id, Newcomer> newcomers_;
  Id next_id_ = 1;
  std::unique_ptr<Timer> turn_timer_;
  bool turn_scheduled_ = false;
  TimePoint rejection_logged_{};
  std::size_t rejections_unlogged_ = 0;
  TimePoint crowd_logged_{};
  std::size_t crowd_unlogged_ = 0;
};

}  // namespace dc::net

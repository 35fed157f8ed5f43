// Connections between the head and its peers: delay, order within a lane, loss, one-way silence, half-open ends.
//
// Small messages of a connection arrive in order. One with a large payload takes its time in its lane, and those behind
// it in the lane wait; small ones of other lanes overtake it (see wire/framing.hpp). A silent direction holds
// everything back; who hears nothing for limits::session_idle_timeout closes.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <variant>
#include <vector>

#include "core/limits.hpp"
#include "process.hpp"
#include "wire/messages.hpp"

namespace dc::sim {

class Carrier;
class Connection;
using ConnectionPtr = std::shared_ptr<Connection>;

struct PeerIdentity {
  wire::Role role{};
  std::uint64_t id{};
  std::string host;
  std::uint64_t term = 0;  ///< the highest that it knows of a head
};

/// An attempt to connect, until it came to an end.
struct Dial {
  PeerIdentity who;
  std::size_t place = 0;  ///< of the head that is dialled
  bool pending = true;
  std::function<void()> failed;
  std::weak_ptr<Connection> connection;  ///< once the head has accepted it
  void fail() {
    if (std::exchange(pending, false)) failed();
  }
};
using DialPtr = std::shared_ptr<Dial>;

/// A process at an end of a connection. Each is called through Process::run.
class Endpoint : public Process {
 public:
  using Process::Process;
  /// It can be reached.
  [[nodiscard]] virtual bool listens() const { return alive(); }
  /// Of a head: who comes is let in, and told this term.
  [[nodiscard]] virtual bool admits() const { return true; }
  [[nodiscard]] virtual std::uint64_t term() const { return 0; }
  /// Of a peer: what this head says counts.
  [[nodiscard]] virtual bool believes(const Connection& /*from*/) { return true; }
  virtual void opened(const ConnectionPtr& connection) = 0;
  virtual void received(const ConnectionPtr& connection, std::vector<wire::Message>&& messages) = 0;
  virtual void closed(const ConnectionPtr& connection) = 0;
};

enum class Side { peer, head };
inline Side other(Side side) { return side == Side::peer ? Side::head : Side::peer; }

/// The way between one machine and the heads. Its state outlives connections.
struct Link {
  Duration latency_min{}, latency_max{};
  Duration transfer_max{};              ///< that a large payload takes
  std::array<bool, 2> silent{};         ///< towards peer, towards head
  std::array<std::uint64_t, 2> turn{};  ///< counts silences, so that an old timer does not end a new one
  std::vector<std::weak_ptr<Connection>> connections;
};

/// Under some messages connections break, with the message on its way.
struct Fatal {
  std::set<std::size_t> kinds;  ///< places in wire::Message
  std::uint64_t percent = 0;    ///< of these messages
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(World& world, const Carrier& carrier, const Fatal& fatal, Link& link, SessionId session, DialPtr dial,
             Endpoint& peer, Endpoint& head);

  const SessionId session;
  const PeerIdentity who;
  const std::uint64_t term;  ///< of the head, as it said
  const std::size_t place;   ///< of the head

  [[nodiscard]] bool open(Side side) const { return open_[index(side)]; }
  [[nodiscard]] Endpoint& end(Side side) const { return *ends_[index(side)]; }
  [[nodiscard]] Link& link() const { return link_; }

  /// From `side` to the other.
  void send(Side side, std::vector<wire::Outgoing> messages);
  /// This side closes; the other one hears of it behind what is in flight (in order), or at once and loses that.
  void close(Side side, bool in_order);
  /// This side closes and the other one hears nothing of it.
  void sever(Side side);
  /// The side's process has heard nothing for too long and closes, if that is still so when it comes to look.
  void give_up_later(Side side, std::function<bool()> still_so);
  void end_silence(Side towards);
  void open_peer();

 private:
  struct Hello {};
  struct Close {};
  using Item = std::variant<std::vector<wire::Message>, Hello, Close>;
  struct Direction {
    TimePoint order_until{};  ///< the latest arrival of a small message so far
    std::map<wire::Lane, TimePoint> lanes;
    std::deque<Item> held;  ///< by silence
    bool cut = false;       ///< nothing arrives any more
  };
  static std::size_t index(Side side) { return side == Side::head; }
  Duration latency();
  TimePoint arrival(Direction& way, const wire::Outgoing& message);
  void break_under(const wire::Message& message, Side to, TimePoint arrival);
  void deliver_at(TimePoint when, Side to, Item item);
  void arrive(Side to, Item item);
  void hand_in(Side to, Item item);
  void greet();
  void drop(Side side);

  World& world_;
  const Carrier& carrier_;
  const Fatal& fatal_;
  Link& link_;
  DialPtr dial_;
  std::array<Endpoint*, 2> ends_;
  std::array<bool, 2> open_{};
  std::array<Direction, 2> towards_;
};

/// A large payload stands beside the message, which takes its time then.
bool has_large_payload(const wire::Message& message);

class Network {
 public:
  Network(World& world, const Carrier& carrier) : world_(world), carrier_(carrier) {}
  /// Each has its place among the addresses that peers know.
  void add_head(Endpoint& head) { heads_.push_back(&head); }
  [[nodiscard]] std::size_t heads() const { return heads_.size(); }
  void set_fatal(Fatal fatal) { fatal_ = std::move(fatal); }

  Link& link(const std::string& host) { return links_[host]; }
  [[nodiscard]] std::map<std::string, Link>& links() { return links_; }

  /// One attempt to connect. `failed` is called in the peer's process, unless opened() is.
  DialPtr dial(Endpoint& peer, PeerIdentity who, std::size_t place, std::function<void()> failed);
  void silence(Link& link, Side towards, Duration time);
  /// The process stands still from now on: who is connected to it hears nothing.
  void expect_silence_of(Endpoint& frozen);
  std::vector<ConnectionPtr> connections();

 private:
  void reach_head(const DialPtr& dial, Endpoint& peer);
  static void add(Link& link, const ConnectionPtr& connection);

  World& world_;
  const Carrier& carrier_;
  std::vector<Endpoint*> heads_;
  std::map<std::string, Link> links_;
  Fatal fatal_;
  std::uint64_t next_session_ = 1;
};

}  // namespace dc::sim

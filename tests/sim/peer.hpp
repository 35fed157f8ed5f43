// What a node and a client have in common: one connection to the head, dialled again for ever. With several addresses
// it does what net/connector.cpp does: each gets one attempt in a round, one that hangs goes on in the background, and
// a head with a lower term than another has told is not believed.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "network.hpp"
#include "text.hpp"

namespace dc::sim {

class Peer : public Endpoint {
 public:
  Peer(World& world, Network& network, std::string name) : Endpoint(world, std::move(name)), network_(network) {}

  [[nodiscard]] bool connected() const { return connection_ != nullptr; }
  /// Since when there has been no session; now, if there is one.
  [[nodiscard]] TimePoint connected_until() const { return connection_ ? world_.now() : closed_at_; }
  /// When the session began that is open.
  [[nodiscard]] TimePoint connected_since() const { return opened_at_; }
  void break_link(bool in_order) {
    if (!connection_) return;
    world_.note(name(), "session {} breaks", connection_->session.value);
    run([this, connection = connection_, in_order] {
      connection->close(Side::peer, in_order);
      closed(connection);
    });
  }
  /// The head sees nothing of the break for a while.
  void lose_link_unseen() {
    if (!connection_) return;
    world_.note(name(), "session {} breaks, which the head does not see", connection_->session.value);
    connection_->sever(Side::peer);
  }

  void opened(const ConnectionPtr& connection) final {
    world_.note(name(), "session {} is open", connection->session.value);
    connection_ = connection;
    first_ = connection->place;
    end_dials(true);
    retry_ = limits::reconnect_delay_min;
    opened_at_ = world_.now();
    session_opened();
  }
  void received(const ConnectionPtr& connection, std::vector<wire::Message>&& messages) final {
    for (const wire::Message& message : messages)
      note_message(world_, fmt::format("head#{}", connection->session.value), name(), message);
    heard(std::move(messages));
  }
  void closed(const ConnectionPtr& connection) final {
    if (connection != connection_) return;
    world_.note(name(), "session {} is closed", connection->session.value);
    connection_.reset();
    closed_at_ = world_.now();
    session_closed();
    pause();
  }
  [[nodiscard]] bool believes(const Connection& from) final {
    identity_.term = std::max(identity_.term, from.term);
    if (from.term == identity_.term) return true;
    world_.note(name(), "does not believe a head of term {}, it knows {}", from.term, identity_.term);
    return false;
  }

 protected:
  virtual void session_opened() = 0;
  virtual void heard(std::vector<wire::Message>&& messages) = 0;
  virtual void session_closed() = 0;

  void start_dialling(PeerIdentity identity) {
    begin_life();
    identity_ = std::move(identity);
    retry_ = limits::reconnect_delay_min;
    closed_at_ = world_.now();
    dials_.assign(network_.heads(), nullptr);
    first_ = 0;
    begin_round();
  }
  void send(std::vector<wire::Outgoing> messages) {
    if (connection_) connection_->send(Side::peer, std::move(messages));
  }
  /// The process is gone.
  void end_dialling(bool in_order) {
    end_life();
    end_dials(in_order);
    if (connection_) connection_->close(Side::peer, in_order);
    connection_.reset();
  }

 private:
  [[nodiscard]] bool pending(std::size_t place) const { return dials_[place] && dials_[place]->pending; }
  void end_dials(bool in_order) {
    ++turn_;
    waits_ = false;
    for (DialPtr& dial : dials_) {
      if (!dial) continue;
      const bool half_open = std::exchange(dial->pending, false);
      const ConnectionPtr connection = half_open ? dial->connection.lock() : nullptr;
      if (connection) connection->close(Side::peer, in_order);
      dial.reset();
    }
  }
  void begin_round() {
    tried_ = 0;
    next_place();
  }
  /// The next address of the round that is not being tried already.
  void next_place() {
    ++turn_;
    waits_ = false;
    while (tried_ < dials_.size()) {
      const std::size_t place = (first_ + tried_++) % dials_.size();
      if (pending(place)) continue;
      latest_ = place;
      dials_[place] = network_.dial(*this, identity_, place, [this, place] { failed(place); });
      if (tried_ < dials_.size()) after(limits::next_address_after, &Peer::next_place);
      return;
    }
    for (std::size_t place = 0; place < dials_.size(); ++place) {
      if (!pending(place)) return pause();
    }
  }
  void failed(std::size_t place) {
    if (tried_ < dials_.size()) return place == latest_ ? next_place() : void();
    if (!waits_) pause();  // else the next round waits already
  }
  void pause() {
    const Duration delay = retry_ * static_cast<int>(world_.chance.between(70, 130)) / 100;
    const bool several = dials_.size() > 1;
    retry_ = std::min<Duration>(2 * retry_, several ? limits::round_delay_max : limits::reconnect_delay_max);
    after(delay, &Peer::begin_round);
  }
  void after(Duration delay, void (Peer::*next)()) {
    waits_ = true;
    run_after(delay, [this, next, turn = ++turn_] {
      if (turn == turn_) (this->*next)();
    });
  }

  Network& network_;
  PeerIdentity identity_;
  std::vector<DialPtr> dials_;         ///< at each address the latest
  std::size_t first_ = 0, tried_ = 0;  ///< of this round: where it begins, and how many places had their turn
  std::size_t latest_ = 0;             ///< the place that was dialled last
  std::uint64_t turn_ = 0;             ///< counts what is waited for, so that an old timer does nothing
  bool waits_ = false;
  ConnectionPtr connection_;
  Duration retry_{};
  TimePoint opened_at_{}, closed_at_{};
};

}  // namespace dc::sim

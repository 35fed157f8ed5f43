// What a node and a client have in common: one connection to the head, dialled again for ever.
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
    retry_ = limits::reconnect_delay_min;
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
    dial_again();
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
    dial();
  }
  void send(std::vector<wire::Outgoing> messages) {
    if (connection_) connection_->send(Side::peer, std::move(messages));
  }
  /// The process is gone.
  void end_dialling(bool in_order) {
    end_life();
    if (dial_) {
      dial_->pending = false;
      if (const ConnectionPtr half_open = dial_->connection.lock()) half_open->close(Side::peer, in_order);
    }
    connection_.reset();
  }

 private:
  void dial() {
    dial_ = network_.dial(*this, identity_, [this] { dial_again(); });
  }
  void dial_again() {
    const Duration pause = retry_ * static_cast<int>(world_.chance.between(70, 130)) / 100;
    retry_ = std::min<Duration>(2 * retry_, limits::reconnect_delay_max);
    run_after(pause, [this] { dial(); });
  }

  Network& network_;
  PeerIdentity identity_;
  DialPtr dial_;
  ConnectionPtr connection_;
  Duration retry_{};
  TimePoint closed_at_{};
};

}  // namespace dc::sim

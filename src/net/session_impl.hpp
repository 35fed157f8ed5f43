// A session past its handshake: messages over a channel.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/channel.hpp"
#include "net/session.hpp"

namespace dc::net {

/// After close(): what the next frame may take to be written, and then the peer's farewell.
inline constexpr auto close_deadline = 1s;
/// After close(): what all that is still to be written may take.
inline constexpr auto close_time_max = 10s;

/// Owned by its Listener or Connector. Held by shared_ptr, because the end of the turn and the channel's events may
/// come after the owner has let go of it, and because a callback may make the owner do so.
class SessionImpl final : public Session, public std::enable_shared_from_this<SessionImpl> {
 public:
  /// The owner's. Must hold the owner weakly: it may die in any of them.
  struct Events {
    std::function<void(SessionImpl&, std::vector<wire::Message>&&)> on_messages;
    std::function<void(SessionImpl&, const Error& why)> on_closed;  ///< once, as the last
  };

  /// `accepts`: a message that goes none of these ways ends the session.
  SessionImpl(EventLoop& loop, Peer peer, std::shared_ptr<Channel> channel, wire::FrameReader::Options reader,
              wire::Ways accepts, Events events);

  /// Takes the channel over. `writing`: a frame of the handshake is still being written; `last`: its last frame,
  /// which goes out alone and first.
  void begin(bool writing, std::optional<wire::Frame> last);
  /// No event follows.
  void abort();

  [[nodiscard]] SessionId id() const override { return id_; }
  [[nodiscard]] const Peer& peer() const override { return peer_; }
  void send(wire::Message message, wire::Lane lane) override;
  [[nodiscard]] std::size_t queued_bytes() const override { return writer_.queued_bytes() + writing_bytes_; }
  [[nodiscard]] std::size_t queued_talk() const override { return writer_.queued_talk(); }
  void when_written(Callback done) override { when_written_.push_back(std::move(done)); }
  void close(std::string reason) override;

 private:
  void schedule_flush();
  void flush();
  void expect_progress();
  void on_frame(std::shared_ptr<const void> frame, std::span<const std::byte> bytes);
  void finish(Error why);

  enum class State { open, closing, over };

  EventLoop& loop_;
  const SessionId id_;
  const Peer peer_;
  std::shared_ptr<Channel> channel_;
  wire::FrameReader reader_;
  const wire::Ways accepts_;
  wire::FrameWriter writer_;
  Events events_;
  State state_ = State::open;
  std::optional<wire::Frame> first_;
  bool writing_ = false;
  bool flush_scheduled_ = false;
  std::size_t writing_bytes_ = 0;
  std::vector<Callback> when_written_;
  std::string close_reason_;
  std::string goodbye_;  ///< what the peer said at the end
  TimePoint close_by_ = never;
  std::unique_ptr<Timer> deadline_;
};

}  // namespace dc::net

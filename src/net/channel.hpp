// A channel: whole binary frames in both directions over one connection. What is below it (TCP or Unix socket, TLS,
// WebSocket) does not show.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/result.hpp"
#include "net/asio.hpp"
#include "net/event_loop.hpp"
#include "net/session.hpp"
#include "net/tls.hpp"
#include "wire/framing.hpp"

namespace dc::net {

/// Error messages of a channel are clauses that fit in brackets: "connection reset by peer".
class Channel {
 public:
  /// All are called from the loop, never from inside the channel's own functions. Hold the channel's owner weakly.
  struct Events {
    std::function<void(std::shared_ptr<const void> frame, std::span<const std::byte> bytes)> on_frame;
    Callback on_written;
    std::function<void(const Error& why)> on_closed;  ///< once, as the last
  };
  virtual ~Channel() = default;
  /// Replaces the events. The first call starts the reading.
  virtual void listen(Events events) = 0;
  /// The peer has proved the password. Until then it may send small frames, and little in all.
  virtual void trust() = 0;
  /// Not again before on_written. Heartbeats may overtake, nothing else is in between.
  virtual void write(wire::Frame frame) = 0;
  /// Says why, waits for the peer's farewell; on_closed follows, unless the peer does not answer: use a deadline.
  virtual void close(const std::string& reason) = 0;
  /// Drops the connection at once. No event follows.
  virtual void abort() = 0;
  /// What a password proof on this channel can be tied to; empty where there is no TLS.
  [[nodiscard]] virtual std::string channel_binding() const = 0;
};

struct ChannelOptions {
  Duration handshake_deadline;
  Duration idle_timeout;  ///< see limits::session_idle_timeout
  std::string host;       ///< connecting side: for the HTTP request
  /// Connecting side, with TLS: whether the head's key will do; called before anything else is said.
  std::function<Result<void>(const std::string& fingerprint)> on_key;
  /// Accepting side: answers GET requests for `target`; empty: everything is "not found".
  std::function<HttpAnswer(std::string_view target)> on_http;
  /// Accepting side, with TLS, until the peer is trusted: calls `work` when it is this channel's turn. Dropping it ends
  /// the channel's reading.
  std::function<void(Callback work)> turn;
};

/// Both call `on_ready` once, from the loop, unless abort() comes first. ErrorCode::protocol: the peer does not speak
/// our language.
using ChannelReady = std::function<void(Result<void>)>;
std::shared_ptr<Channel> accept_channel(Socket socket, ChannelOptions options, ChannelReady on_ready);
std::shared_ptr<Channel> connect_channel(Socket socket, ChannelOptions options, ChannelReady on_ready);
/// The same over TLS 1.3.
std::shared_ptr<Channel> accept_tls_channel(Socket socket, const TlsContext& context, ChannelOptions options,
                                            ChannelReady on_ready);
std::shared_ptr<Channel> connect_tls_channel(Socket socket, ChannelOptions options, ChannelReady on_ready);

}  // namespace dc::net

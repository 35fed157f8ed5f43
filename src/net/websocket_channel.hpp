// Channel over Boost.Beast's WebSocket on any stream. Included by one translation unit for each kind of stream: Beast
// is slow to compile.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/limits.hpp"
#include "net/asio.hpp"
#include "net/channel.hpp"
#include "net/frame_buffer.hpp"
#include "net/handshake.hpp"
#include "net/tls.hpp"

// clang-format off
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
// clang-format on

namespace dc::net {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;

inline constexpr const char* session_path = "/session";
inline constexpr std::size_t http_header_bytes_max = 8 << 10;
/// Outgoing frames of the connecting side are masked through a buffer of this size.
inline constexpr std::size_t mask_buffer_bytes = std::size_t{128} << 10;
/// Enough for the 125 bytes that a close frame holds.
inline constexpr std::size_t close_reason_bytes_max = 120;

/// The operating system's words, made to fit into a sentence.
inline std::string clause(const ErrorNumber& error) {
  std::string text = error.message();
  if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1]))) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

inline Error to_error(const ErrorNumber& error, Duration idle_timeout) {
  if (error == beast::error::timeout) {
    return fail(ErrorCode::unreachable,
                fmt::format("nothing was heard for {} s", std::chrono::duration<double>(idle_timeout).count()));
  }
  if (error == asio::error::eof || error == http::error::end_of_stream || error == http::error::partial_message) {
    return fail(ErrorCode::unreachable, "it was closed at the other end");
  }
  if (error == asio::error::message_size) {
    return fail(ErrorCode::protocol, "it says more than a handshake takes");
  }
  // Asio's categories of TLS, known by their names so that a plain channel need not include it.
  const std::string_view category = error.category().name();
  if (category == "asio.ssl.stream") return fail(ErrorCode::unreachable, "it was closed at the other end");
  if (category == "asio.ssl") return fail(ErrorCode::protocol, "TLS 1.3: " + clause(error));
  const bool spoken = error.category() == make_error_code(http::error::end_of_stream).category() ||
                      error.category() == make_error_code(websocket::error::closed).category();
  return fail(spoken ? ErrorCode::protocol : ErrorCode::unreachable, clause(error));
}

/// True for streams of TLS; specialised where they are known.
template <class Stream>
inline constexpr bool is_encrypted = false;

/// Owned by its session or handshake, and by each of its pending operations: hence enable_shared_from_this.
template <class Stream>
class WebSocketChannel final : public Channel, public std::enable_shared_from_this<WebSocketChannel<Stream>> {
 public:
  WebSocketChannel(Stream stream, ChannelOptions options, ChannelReady on_ready)
      : options_(std::move(options)),
        on_ready_(std::move(on_ready)),
        websocket_(std::move(stream)),
        pulse_(websocket_.get_executor()) {}

  void accept() {
    secure(Role::server, [](WebSocketChannel& self) { self.read_request(); });
  }
  void connect() {
    secure(Role::client, [](WebSocketChannel& self) { self.request_upgrade(); });
  }

  void listen(Events events) override {
    const bool first = !events_;
    events_ = std::make_shared<Events>(std::move(events));
    if (!first) return;
    incoming_.heard();
    websocket_.control_callback([this](websocket::frame_type, beast::string_view) {
      incoming_.heard();
      count_frame();
    });
    read();
    schedule_pulse();
  }
  void trust() override {
    trusted_ = true;
    websocket_.read_message_max(limits::frame_bytes_max);
    if constexpr (is_encrypted<Stream>) websocket_.next_layer().trust();
  }
  void write(wire::Frame frame) override;
  void close(const std::string& reason) override;
  void abort() override {
    over_ = true;
    pulse_.cancel();
    beast::close_socket(beast::get_lowest_layer(websocket_));
  }
  [[nodiscard]] std::string channel_binding() const override {
    if constexpr (is_encrypted<Stream>) return exporter_binding(ssl());
    return {};
  }

 private:
  using Request = http::request_parser<http::empty_body>;
  using Response = http::response<http::string_body>;
  using Role = beast::role_type;

  /// A handler for an asynchronous operation: keeps this alive, and is not called after abort().
  template <class Body>
  auto then(Body body) {
    return [self = this->shared_from_this(), body = std::move(body)](ErrorNumber error, auto... more) mutable {
      if (!self->over_) body(*self, error, more...);
    };
  }

  SSL* ssl() const requires is_encrypted<Stream> { return websocket_.next_layer().ssl(); }

  /// What must happen before the first HTTP byte: nothing on a plain stream.
  void secure(Role role, void (*next)(WebSocketChannel&)) {
    if constexpr (is_encrypted<Stream>) {
      const bool connecting = role == Role::client;
      websocket_.next_layer().async_handshake(role,
                                              then([connecting, next](auto& self, ErrorNumber error, std::size_t) {
                                                if (error)
                                                  return self.ready(to_error(error, self.options_.idle_timeout));
                                                if (connecting && self.options_.on_key) {
                                                  const auto fine = self.options_.on_key(peer_fingerprint(self.ssl()));
                                                  if (!fine) return self.ready(fine.error());
                                                }
                                                next(self);
                                              }));
    } else {
      next(*this);
    }
  }

  void set_up(Role role) {
    websocket_.binary(true);
    websocket_.auto_fragment(false);
    websocket_.read_message_max(limits::handshake_frame_bytes_max);
    if (role == Role::client) websocket_.write_buffer_bytes(mask_buffer_bytes);
    websocket_.set_option(
        websocket::stream_base::timeout{options_.handshake_deadline, websocket::stream_base::none(), false});
  }
  void ready(Result<void> result) { std::exchange(on_ready_, {})(std::move(result)); }

  void read_request();
  void on_request(ErrorNumber error);
  void answer(HttpAnswer answer);
  void request_upgrade();
  void read();
  bool count_frame();
  void schedule_pulse();
  void on_pulse(TimePoint due);
  void finish(const ErrorNumber& error);

  ChannelOptions options_;
  ChannelReady on_ready_;
  websocket::stream<Stream, false> websocket_;  // false: without the code for compression
  SteadyTimer pulse_;
  std::shared_ptr<Events> events_;  // shared, so that a callback may replace them while it runs
  FrameBuffer incoming_;
  wire::Frame outgoing_;
  bool over_ = false;  // no more events
  bool trusted_ = false;
  std::size_t frames_ = 0;  // that came before the peer was trusted
  bool closing_ = false;
  bool wrote_ = false;  // since the last pulse
  bool pulse_in_flight_ = false;

  beast::flat_buffer request_buffer_{http_header_bytes_max};
  std::optional<Request> request_;
  Response response_;
};

// --- Opening ----------------------------------------------------------------------------------------------------

template <class Stream>
void WebSocketChannel<Stream>::read_request() {
  request_.emplace();
  request_->header_limit(http_header_bytes_max);
  http::async_read_header(websocket_.next_layer(), request_buffer_, *request_,
                          then([](auto& self, ErrorNumber error, std::size_t) { self.on_request(error); }));
}

template <class Stream>
void WebSocketChannel<Stream>::on_request(ErrorNumber error) {
  if (error) return ready(to_error(error, options_.idle_timeout));
  const std::string target(request_->get().target());
  if (!websocket::is_upgrade(request_->get()) || target != session_path) {
    const bool known = request_->get().method() == http::verb::get && options_.on_http;
    return answer(known ? options_.on_http(target) : HttpAnswer{});
  }
  // A peer that says more before it has our answer does not follow the standard, and Beast would lose these bytes.
  if (request_buffer_.size() > 0) return ready(fail(ErrorCode::protocol, "it spoke out of turn"));
  set_up(Role::server);
  websocket_.async_accept(request_->get(), then([](auto& self, ErrorNumber failed) {
                            if (failed) return self.ready(to_error(failed, self.options_.idle_timeout));
                            self.request_.reset();
                            self.request_buffer_.shrink_to_fit();
                            self.ready(boost::outcome_v2::success());
                          }));
}

template <class Stream>
void WebSocketChannel<Stream>::answer(HttpAnswer answer) {
  response_ = Response(static_cast<http::status>(answer.status), 11);
  response_.set(http::field::content_type, answer.type);
  response_.body() = std::move(answer.body);
  response_.keep_alive(false);
  response_.prepare_payload();
  http::async_write(websocket_.next_layer(), response_, then([](auto& self, ErrorNumber, std::size_t) {
                      ErrorNumber ignored;
                      beast::get_lowest_layer(self.websocket_).shutdown(asio::socket_base::shutdown_send, ignored);
                      self.ready(fail(ErrorCode::protocol, "it asked for a web page"));
                    }));
}

template <class Stream>
void WebSocketChannel<Stream>::request_upgrade() {
  set_up(Role::client);
  websocket_.async_handshake(options_.host, session_path, then([](auto& self, ErrorNumber error) {
                               if (error) return self.ready(to_error(error, self.options_.idle_timeout));
                               self.ready(boost::outcome_v2::success());
                             }));
}

// --- Open -------------------------------------------------------------------------------------------------------

template <class Stream>
void WebSocketChannel<Stream>::read() {
  websocket_.async_read(incoming_, then([](auto& self, ErrorNumber error, std::size_t) {
                          if (error) return self.finish(error);
                          if (!self.websocket_.got_binary())
                            return self.finish(make_error_code(websocket::error::bad_opcode));
                          if (!self.count_frame()) return;
                          const FrameBuffer::Frame frame = self.incoming_.take();
                          const auto events = self.events_;
                          events->on_frame(frame.owner, frame.bytes);
                          if (!self.over_) self.read();
                        }));
}

/// False when a peer that is not trusted has sent too many: then the channel ends. Inside of Beast's own operation, so
/// not at once.
template <class Stream>
bool WebSocketChannel<Stream>::count_frame() {
  if (trusted_ || ++frames_ <= limits::handshake_frames_max) return true;
  if (frames_ == limits::handshake_frames_max + 1) {
    asio::post(websocket_.get_executor(), [self = this->shared_from_this()] {
      if (!self->over_) self->finish(asio::error::message_size);
    });
  }
  return false;
}

template <class Stream>
void WebSocketChannel<Stream>::write(wire::Frame frame) {
  outgoing_ = std::move(frame);
  wrote_ = true;
  const std::array<asio::const_buffer, 2> buffers = {asio::const_buffer(outgoing_.head.data(), outgoing_.head.size()),
                                                     asio::const_buffer(outgoing_.body.data(), outgoing_.body.size())};
  websocket_.async_write(buffers, then([](auto& self, ErrorNumber error, std::size_t) {
                           if (error) return self.finish(error);
                           self.wrote_ = true;
                           self.outgoing_ = {};
                           const auto events = self.events_;
                           events->on_written();
                         }));
}

// Whoever has written nothing for a third of the idle timeout sends an unasked pong, which the standard allows as a
// heartbeat; whoever has heard nothing for all of it ends the channel. Beast's own timeouts are not used: they ping
// only a peer that is silent, and that ping waits behind our own long frame on a slow line; they end the channel
// after anything between half of the timeout and all of it; and after a while in which this very process stood still
// (SIGSTOP, suspend) they would blame the peer.
template <class Stream>
void WebSocketChannel<Stream>::schedule_pulse() {
  const TimePoint due =
      std::min(EventLoop::now() + options_.idle_timeout / 3, incoming_.last_heard() + options_.idle_timeout);
  pulse_.expires_at(due);
  pulse_.async_wait(then([due](auto& self, ErrorNumber error) {
    if (!error && !self.closing_) self.on_pulse(due);
  }));
}

template <class Stream>
void WebSocketChannel<Stream>::on_pulse(TimePoint due) {
  const TimePoint now = EventLoop::now();
  if (now - due > options_.idle_timeout / 3) incoming_.heard();  // we were away, not the peer
  if (now - incoming_.last_heard() >= options_.idle_timeout) return finish(beast::error::timeout);
  if (!wrote_ && !pulse_in_flight_) {
    pulse_in_flight_ = true;
    websocket_.async_pong({}, then([](auto& self, ErrorNumber) { self.pulse_in_flight_ = false; }));
  }
  wrote_ = false;
  schedule_pulse();
}

// --- Closing ----------------------------------------------------------------------------------------------------

template <class Stream>
void WebSocketChannel<Stream>::close(const std::string& reason) {
  if (over_ || closing_) return;
  closing_ = true;
  pulse_.cancel();
  websocket::close_reason farewell(websocket::close_code::normal);
  // Cut before a character, not within one.
  std::size_t size = std::min(reason.size(), close_reason_bytes_max);
  while (size < reason.size() && size > 0 && (static_cast<unsigned char>(reason[size]) & 0xC0) == 0x80) --size;
  farewell.reason.assign(reason.data(), size);
  websocket_.async_close(farewell, then([](auto& self, ErrorNumber error) { self.finish(error); }));
}

template <class Stream>
void WebSocketChannel<Stream>::finish(const ErrorNumber& error) {
  Error why = to_error(error, options_.idle_timeout);
  if (closing_) {
    why = fail(ErrorCode::unreachable, "it was closed at this end");
  } else if (error == websocket::error::closed) {
    const auto& reason = websocket_.reason().reason;
    why = fail(ErrorCode::unreachable,
               reason.empty() ? "it was closed at the other end" : printable({reason.data(), reason.size()}));
  }
  abort();
  const auto events = events_;
  if (events) events->on_closed(why);
}

}  // namespace dc::net

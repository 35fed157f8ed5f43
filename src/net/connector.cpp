// Keeps one session to the head: dials, shakes hands, and does it again whenever the connection breaks.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/log.hpp"
#include "net/acceptor.hpp"
#include "net/dialer.hpp"
#include "net/known_heads.hpp"
#include "net/handshake.hpp"
#include "net/session_impl.hpp"

namespace dc::net {
namespace {

/// A session that lasted this long ends a row of failures: the next break is met with the shortest pause again.
constexpr auto stable_after = limits::reconnect_delay_max;

/// `delay` give or take 30 %, so that a thousand nodes do not come back in one instant.
Duration jittered(Duration delay, std::uint64_t random) {
  const double factor = 0.7 + 0.6 * static_cast<double>(random % 1024) / 1023;
  return std::chrono::duration_cast<Duration>(delay * factor);
}

/// What one attempt has so far.
struct Attempt {
  std::unique_ptr<Dialer> dialer;
  std::shared_ptr<Channel> channel;
  std::optional<PeerHandshake> handshake;
  HandshakeWriter writer;
  std::unique_ptr<Timer> deadline;
  std::string address;      // that was reached
  std::string fingerprint;  // of the head's key; empty on the Unix socket
};

/// Behind a ConnectorHandle; held by shared_ptr because operations are under way when the handle goes.
class ConnectorImpl : public std::enable_shared_from_this<ConnectorImpl> {
 public:
  ConnectorImpl(EventLoop& loop, ConnectOptions options, Connector::Handler handler)
      : loop_(loop),
        options_(std::move(options)),
        handler_(std::move(handler)),
        head_(host_port(options_.address, options_.port)) {}

  void begin();
  [[nodiscard]] Session* session() { return session_.get(); }
  void shut_down(std::string message, Callback done);
  void destroy();

 private:
  void try_once();
  void on_socket(Result<Dialed> dialed);
  Result<void> check_key(const std::string& fingerprint);
  void on_channel(Result<void> ready);
  void on_frame(std::shared_ptr<const void> frame, std::span<const std::byte> bytes);
  void open();
  void remember_key();
  void on_closed(const Error& why);
  void failed(Error error);
  void retry_after(Duration delay);
  Duration next_delay();
  void end_attempt();
  void finish_shut_down();

  /// A callback that does nothing once the connector is gone, and keeps it alive while it runs.
  template <class Body>
  auto weakly(Body body) {
    return [weak = weak_from_this(), body = std::move(body)](auto&&... arguments) {
      if (const auto self = weak.lock(); self && !self->dead_) {
        body(*self, std::forward<decltype(arguments)>(arguments)...);
      }
    };
  }
  /// The same for callbacks of one attempt, which nobody wants after its end.
  template <class Body>
  auto in_attempt(Body body) {
    return weakly([number = attempt_number_, body = std::move(body)](ConnectorImpl& self, auto&&... arguments) {
      if (self.attempt_ && self.attempt_number_ == number) {
        body(self, std::forward<decltype(arguments)>(arguments)...);
      }
    });
  }

  EventLoop& loop_;
  ConnectOptions options_;
  Connector::Handler handler_;
  const std::string head_;  // as the user named it
  SaltedPasswords salted_passwords_;
  std::optional<Attempt> attempt_;
  std::uint64_t attempt_number_ = 0;
  std::shared_ptr<SessionImpl> session_;
  TimePoint opened_{};
  int failures_ = 0;  // since the last session
  Duration delay_ = limits::reconnect_delay_min;
  std::unique_ptr<Timer> retry_timer_;
  Callback shut_down_done_;
  bool shutting_down_ = false;
  bool over_ = false;  // no further attempt
  bool dead_ = false;  // no further callback
};

// --- One attempt ------------------------------------------------------------------------------------------------

void ConnectorImpl::begin() {
  const std::string problem = password_problem(options_.secret.password);
  if (!problem.empty()) {
    over_ = true;
    return loop_.post(weakly([problem](ConnectorImpl& self) {
      if (!self.shutting_down_) self.handler_.on_final(fail(ErrorCode::invalid, problem));
    }));
  }
  try_once();
}

void ConnectorImpl::try_once() {
  ++attempt_number_;
  attempt_.emplace();
  attempt_->deadline =
      loop_.call_at(EventLoop::now() + options_.handshake_deadline, in_attempt([](ConnectorImpl& self) {
                      const double seconds = std::chrono::duration<double>(self.options_.handshake_deadline).count();
                      self.failed(fail(ErrorCode::unreachable,
                                       fmt::format("the head at {} does not answer (for {} s): is it running, and "
                                                   "does a firewall stand between?",
                                                   self.head_, seconds)));
                    }));
  attempt_->dialer =
      dial(loop_, {options_.address, options_.port, options_.unix_path},
           in_attempt([](ConnectorImpl& self, Result<Dialed> dialed) { self.on_socket(std::move(dialed)); }));
}

void ConnectorImpl::on_socket(Result<Dialed> dialed) {
  if (!dialed) return failed(dialed.error());
  attempt_->address = dialed.value().address;
  const bool local = attempt_->address == "unix";
  ChannelOptions options{.handshake_deadline = options_.handshake_deadline,
                         .idle_timeout = options_.idle_timeout,
                         .host = head_,
                         .on_key = [this](const std::string& fingerprint) { return check_key(fingerprint); },
                         .on_http = {}};
  auto on_ready = in_attempt([](ConnectorImpl& self, Result<void> ready) { self.on_channel(std::move(ready)); });
  attempt_->channel = (local ? connect_channel : connect_tls_channel)(std::move(dialed.value().socket),
                                                                      std::move(options), std::move(on_ready));
}

/// Before the first byte of the password proof.
Result<void> ConnectorImpl::check_key(const std::string& fingerprint) {
  attempt_->fingerprint = fingerprint;
  if (!options_.fingerprint.empty()) {
    if (options_.fingerprint == fingerprint) return boost::outcome_v2::success();
    return fail(ErrorCode::rejected,
                fmt::format("the head at {} has the key {}, not {}: it is another head, or someone listens in between. "
                            "The head shows its fingerprint when it starts",
                            head_, fingerprint, options_.fingerprint));
  }
  if (options_.known_heads.empty()) return boost::outcome_v2::success();
  const auto known = known_head(options_.known_heads, head_);
  if (!known || *known == fingerprint) return boost::outcome_v2::success();
  return fail(
      ErrorCode::rejected,
      fmt::format("the head at {} has another key than before ({}, not {}): someone may be listening in between. "
                  "If it was set up anew, remove the line of {} from {}",
                  head_, fingerprint, *known, head_, options_.known_heads));
}

/// The first key that proves the password is the one to expect from now on.
void ConnectorImpl::remember_key() {
  const std::string& file = options_.known_heads;
  if (attempt_->fingerprint.empty() || !options_.fingerprint.empty() || file.empty()) return;
  if (known_head(file, head_)) return;
  if (const auto kept = remember_head(file, head_, attempt_->fingerprint); !kept) {
    log::warning("the key of the head at {} is not remembered: {}", head_, kept.error().message);
  }
}

/// A sentence about a peer that answers, but not as a head does.
Error not_a_head(const std::string& head, const Error& why) {
  if (why.code == ErrorCode::protocol) {
    return fail(ErrorCode::protocol,
                fmt::format("something answers at {}, but it is not a head of distributed computing "
                            "({}): check address and port",
                            head, why.message));
  }
  return fail(why.code, fmt::format("the head at {} broke the connection off before it was ready ({}): is it shutting "
                                    "down, or is something else listening there?",
                                    head, why.message));
}

void ConnectorImpl::on_channel(Result<void> ready) {
  if (!ready && ready.error().code == ErrorCode::rejected) return failed(ready.error());
  if (!ready) return failed(not_a_head(head_, ready.error()));
  Attempt& attempt = *attempt_;
  attempt.handshake.emplace(options_.secret, PeerHandshake::Facts{options_.role, options_.id}, salted_passwords_,
                            attempt.channel->channel_binding());
  attempt.channel->listen({
      .on_frame = in_attempt([](ConnectorImpl& self, std::shared_ptr<const void> frame,
                                std::span<const std::byte> bytes) { self.on_frame(std::move(frame), bytes); }),
      .on_written = in_attempt([](ConnectorImpl& self) { self.attempt_->writer.written(*self.attempt_->channel); }),
      .on_closed = in_attempt([](ConnectorImpl& self, const Error& why) { self.failed(not_a_head(self.head_, why)); }),
  });
  HandshakeStep first = attempt.handshake->begin();
  if (!first.send) return failed(first.error);
  attempt.writer.write(*attempt.channel, std::move(*first.send));
}

void ConnectorImpl::on_frame(std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
  HandshakeStep step = attempt_->handshake->on_frame(bytes, std::move(frame));
  switch (step.then) {
    case HandshakeStep::Then::wait:
      return attempt_->writer.write(*attempt_->channel, std::move(*step.send));
    case HandshakeStep::Then::open:
      return open();
    case HandshakeStep::Then::fail:
      if (step.error.code == ErrorCode::rejected) {
        return failed(fail(ErrorCode::rejected, fmt::format("the head at {} refused: {}", head_, step.error.message)));
      }
      return failed(not_a_head(head_, step.error));
  }
}

void ConnectorImpl::open() {
  remember_key();
  Peer peer = attempt_->handshake->peer();
  peer.address = attempt_->address;
  wire::FrameReader::Options reader;
  reader.payload_bytes_max = peer.payload_bytes_max;
  reader.assembly_bytes_max = std::max(peer.payload_bytes_max, peer.payload_bytes_max * 2);
  reader.allocate = options_.allocate;
  session_ = std::make_shared<SessionImpl>(
      loop_, std::move(peer), attempt_->channel, std::move(reader),
      SessionImpl::Events{
          .on_messages = weakly([](ConnectorImpl& self, SessionImpl& from, std::vector<wire::Message>&& messages) {
            self.handler_.session.on_messages(from, std::move(messages));
          }),
          .on_closed = weakly([](ConnectorImpl& self, SessionImpl&, const Error& why) { self.on_closed(why); }),
      });
  session_->begin(attempt_->writer.writing(), std::nullopt);
  attempt_.reset();
  failures_ = 0;
  opened_ = EventLoop::now();
  handler_.session.on_open(*session_);
}

// --- After it ---------------------------------------------------------------------------------------------------

void ConnectorImpl::on_closed(const Error& why) {
  const auto session = std::exchange(session_, nullptr);
  const Error error = fail(why.code, fmt::format("the connection to the head at {} ended: {}", head_, why.message));
  handler_.session.on_close(session->id(), error);
  if (dead_) return;
  if (shutting_down_) return finish_shut_down();
  if (!options_.reconnect) {
    over_ = true;
    return handler_.on_final(error);
  }
  if (EventLoop::now() - opened_ >= stable_after) delay_ = limits::reconnect_delay_min;
  retry_after(next_delay());
}

void ConnectorImpl::failed(Error error) {
  end_attempt();
  ++failures_;
  if (error.code == ErrorCode::rejected || !options_.reconnect) {
    over_ = true;
    return handler_.on_final(error);
  }
  retry_after(next_delay());
  handler_.on_retry(error, failures_);
}

Duration ConnectorImpl::next_delay() {
  const Duration delay = delay_;
  delay_ = std::min<Duration>(2 * delay_, limits::reconnect_delay_max);
  return jittered(delay, random_id());
}

void ConnectorImpl::retry_after(Duration delay) {
  retry_timer_ = loop_.call_at(EventLoop::now() + delay, weakly([](ConnectorImpl& self) {
                                 if (!self.over_) self.try_once();
                               }));
}

void ConnectorImpl::end_attempt() {
  if (!attempt_) return;
  if (attempt_->channel) attempt_->channel->abort();
  attempt_.reset();
}

void ConnectorImpl::shut_down(std::string message, Callback done) {
  shut_down_done_ = std::move(done);
  shutting_down_ = true;
  over_ = true;
  end_attempt();
  retry_timer_.reset();
  if (session_) {
    session_->send(wire::Goodbye{message}, wire::control_lane);
    session_->close(std::move(message));
  }
  loop_.post(weakly([](ConnectorImpl& self) { self.finish_shut_down(); }));
}

void ConnectorImpl::finish_shut_down() {
  if (shut_down_done_ && !session_) std::exchange(shut_down_done_, {})();
}

void ConnectorImpl::destroy() {
  dead_ = true;
  over_ = true;
  end_attempt();
  retry_timer_.reset();
  if (session_) session_->abort();
  session_.reset();
}

class ConnectorHandle final : public Connector {
 public:
  explicit ConnectorHandle(std::shared_ptr<ConnectorImpl> impl) : impl_(std::move(impl)) {}
  ~ConnectorHandle() override { impl_->destroy(); }
  [[nodiscard]] Session* session() override { return impl_->session(); }
  void shut_down(std::string message, Callback done) override { impl_->shut_down(std::move(message), std::move(done)); }

 private:
  std::shared_ptr<ConnectorImpl> impl_;
};

}  // namespace

std::unique_ptr<Connector> connect(EventLoop& loop, ConnectOptions options, Connector::Handler handler) {
  auto impl = std::make_shared<ConnectorImpl>(loop, std::move(options), std::move(handler));
  impl->begin();
  return std::make_unique<ConnectorHandle>(std::move(impl));
}

}  // namespace dc::net

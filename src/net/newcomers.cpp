// See newcomers.hpp.
#include "net/newcomers.hpp"

#include <openssl/crypto.h>
#include <sys/socket.h>

#include <utility>

#include "core/log.hpp"
#include "net/acceptor.hpp"
#include "net/event_loop_impl.hpp"
#include "net/session_impl.hpp"

namespace dc::net {
namespace {

constexpr auto rejection_log_interval = 1s;
constexpr auto crowd_log_interval = 60s;

ScramVerifier verifier_of(std::string& password) {
  auto verifier = ScramVerifier::of(password, scram::random_salt());
  OPENSSL_cleanse(password.data(), password.size());  // the verifier is all that is needed
  password.clear();
  return verifier;
}

}  // namespace

Newcomers::Newcomers(EventLoop& loop, ListenOptions& options, std::function<void(Admitted)> on_admitted)
    : loop_(loop),
      options_(options),
      on_admitted_(std::move(on_admitted)),
      verifier_(verifier_of(options.secret.password)) {}

// --- Who comes and who goes -------------------------------------------------------------------------------------

void Newcomers::arrive(Socket socket, bool local) {
  if (options_.admits && !options_.admits()) return;
  const TimePoint now = EventLoop::now();
  const std::string address = peer_address(socket);
  const std::string group = local ? "" : address_group(address);
  if (local && !same_user(socket.native_handle())) {
    return log::warning("another user of this machine tried to connect");
  }
  if (!local && !limit_.admits(group, now)) return;
  if (!local) prepare_tcp(socket.native_handle());
  const Id id = next_id_++;
  Newcomer& newcomer = newcomers_[id];
  newcomer.socket = std::move(socket);
  newcomer.address = address;
  newcomer.group = group;
  newcomer.local = local;
  newcomer.deadline =
      loop_.call_at(now + options_.handshake_deadline, [this, id] { drop(id, "no handshake within the deadline"); });
  if (local) return open(id);
  newcomer.socket->async_wait(Socket::wait_read, weakly([id](Newcomers& self, ErrorNumber error) {
                                if (!error) self.on_first_bytes(id);
                              }));
  room_.enter(id, group, limit_.knows(group, now), now);
  if (const auto goes = room_.surplus(now)) no_room_for(*goes);
}

void Newcomers::no_room_for(Id id) {
  const TimePoint now = EventLoop::now();
  ++crowd_unlogged_;
  if (now - crowd_logged_ >= crowd_log_interval) {
    const auto found = newcomers_.find(id);
    log::warning("{} connection(s) had to make room for others before they had proved anything, the last one from {}",
                 crowd_unlogged_, found == newcomers_.end() ? "nowhere" : found->second.address);
    crowd_logged_ = now;
    crowd_unlogged_ = 0;
  }
  drop(id, "others are waiting");
}

bool Newcomers::send_one_away() {
  const auto goes = room_.least(EventLoop::now());
  if (goes) no_room_for(*goes);
  return goes.has_value();
}

void Newcomers::drop(Id id, std::string_view why) {
  auto node = newcomers_.extract(id);
  if (node.empty()) return;
  room_.leave(id);
  Newcomer& newcomer = node.mapped();
  log::debug("{} was turned away: {}", newcomer.address, why);
  if (newcomer.channel) newcomer.channel->abort();
}

void Newcomers::abort_all() {
  for (auto& [id, newcomer] : std::exchange(newcomers_, {})) {
    room_.leave(id);
    if (newcomer.channel) newcomer.channel->abort();
  }
}

void Newcomers::destroy() {
  dead_ = true;
  abort_all();
  turn_timer_.reset();
}

void Newcomers::session_ended(const std::string& address) {
  if (address != "unix") limit_.closed(address_group(address), EventLoop::now());
}

// --- Work, one piece in a turn of the loop ----------------------------------------------------------------------

void Newcomers::on_first_bytes(Id id) {
  const auto found = newcomers_.find(id);
  if (found == newcomers_.end()) return;
  char byte = 0;
  if (::recv(found->second.socket->native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
    return drop(id, "it was closed at the other end");
  }
  ask(id, true, [this, id] { open(id); });
}

void Newcomers::ask(Id id, bool begins, Callback work) {
  const auto found = newcomers_.find(id);
  if (found == newcomers_.end()) return;
  found->second.work = std::move(work);
  room_.shows(id, Shown::bytes, EventLoop::now());
  room_.asks(id, begins);
  schedule_turn();
}

/// Behind all that is ready now; what becomes ready meanwhile comes before the turn after it.
void Newcomers::schedule_turn() {
  if (std::exchange(turn_scheduled_, true)) return;
  asio::post(loop_.impl().context, weakly([](Newcomers& self) {
               self.turn_scheduled_ = false;
               self.take_turn();
             }));
}

void Newcomers::take_turn() {
  const TimePoint now = EventLoop::now();
  if (const auto id = room_.next(now)) {
    const auto found = newcomers_.find(*id);
    if (found != newcomers_.end()) std::exchange(found->second.work, {})();
  }
  const TimePoint next = room_.next_at(now);
  if (next <= now) return schedule_turn();
  turn_timer_ = next == never ? nullptr : loop_.call_at(next, [this] { schedule_turn(); });
}

// --- Handshake --------------------------------------------------------------------------------------------------

void Newcomers::open(Id id) {
  const auto found = newcomers_.find(id);
  if (found == newcomers_.end()) return;
  Newcomer& newcomer = found->second;
  Socket socket = std::move(*std::exchange(newcomer.socket, std::nullopt));
  ChannelOptions options{
      .handshake_deadline = options_.handshake_deadline,
      .idle_timeout = options_.idle_timeout,
      .host = {},
      .on_key = {},
      .on_http = options_.on_http,
      .turn = weakly([id](Newcomers& self, Callback work) { self.ask(id, false, std::move(work)); })};
  auto on_ready = weakly([id](Newcomers& self, Result<void> ready) { self.on_channel(id, std::move(ready)); });
  newcomer.channel = newcomer.local
                         ? accept_channel(std::move(socket), std::move(options), std::move(on_ready))
                         : accept_tls_channel(std::move(socket), context_, std::move(options), std::move(on_ready));
}

void Newcomers::on_channel(Id id, Result<void> ready) {
  if (!ready) return drop(id, ready.error().message);
  const auto found = newcomers_.find(id);
  if (found == newcomers_.end()) return;
  Newcomer& newcomer = found->second;
  room_.shows(id, Shown::websocket, EventLoop::now());
  newcomer.handshake.emplace(verifier_,
                             HeadHandshake::Facts{options_.epoch, options_.payload_bytes_max, options_.term()},
                             newcomer.channel->channel_binding());
  newcomer.channel->listen({
      .on_frame = weakly([id](Newcomers& self, std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
        self.on_frame(id, std::move(frame), bytes);
      }),
      .on_written = weakly([id](Newcomers& self) { self.on_written(id); }),
      .on_closed = weakly([id](Newcomers& self, const Error& why) { self.drop(id, why.message); }),
  });
}

void Newcomers::on_written(Id id) {
  const auto found = newcomers_.find(id);
  if (found == newcomers_.end()) return;
  Newcomer& newcomer = found->second;
  newcomer.writer.written(*newcomer.channel);
  if (newcomer.refused && !newcomer.writer.writing()) newcomer.channel->close("refused");
}

void Newcomers::on_frame(Id id, std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
  const auto found = newcomers_.find(id);
  if (found == newcomers_.end() || found->second.refused) return;
  Newcomer& newcomer = found->second;
  HandshakeStep step = newcomer.handshake->on_frame(bytes, std::move(frame));
  switch (step.then) {
    case HandshakeStep::Then::wait:
      room_.shows(id, Shown::hello, EventLoop::now());
      return newcomer.writer.write(*newcomer.channel, std::move(*step.send));
    case HandshakeStep::Then::open:
      if (options_.admits && !options_.admits()) return drop(id, "this head is not certain to be the head");
      return admit(id, std::move(step.send));
    case HandshakeStep::Then::fail:
      if (!step.send) return drop(id, step.error.message);
      return refuse(id, newcomer, std::move(step));
  }
}

void Newcomers::refuse(Id id, Newcomer& newcomer, HandshakeStep step) {
  newcomer.refused = true;
  const TimePoint now = EventLoop::now();
  if (!newcomer.local && step.error.code == ErrorCode::rejected) limit_.failed(newcomer.group, now);
  newcomer.deadline = loop_.call_at(now + close_deadline, [this, id] { drop(id, "refused"); });
  ++rejections_unlogged_;
  if (now - rejection_logged_ >= rejection_log_interval) {
    log::warning("refused {} peer(s), the last one from {}: {}", rejections_unlogged_, newcomer.address,
                 step.error.message);
    rejection_logged_ = now;
    rejections_unlogged_ = 0;
  }
  newcomer.writer.write(*newcomer.channel, std::move(*step.send));
}

void Newcomers::admit(Id id, std::optional<wire::Frame> welcome) {
  auto node = newcomers_.extract(id);
  room_.leave(id);
  Newcomer& newcomer = node.mapped();
  if (!newcomer.local) limit_.opened(newcomer.group);
  Peer peer = newcomer.handshake->peer();
  peer.address = newcomer.address;
  on_admitted_({std::move(peer), newcomer.channel, newcomer.writer.writing(), std::move(welcome)});
}

}  // namespace dc::net

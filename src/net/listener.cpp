// Accepts connections, walks each through its handshake, keeps the sessions that come of it.
#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "core/log.hpp"
#include "net/acceptor.hpp"
#include "net/event_loop_impl.hpp"
#include "net/handshake.hpp"
#include "net/proof_limit.hpp"
#include "net/session_impl.hpp"
#include "net/tls.hpp"

namespace dc::net {
namespace {

constexpr std::size_t handshakes_max = 64;  // in flight over TCP; more wait in the kernel's queue
/// When so many are in flight and others wait, one that took this long is dropped: an idle stranger must not keep the
/// door shut. Some round trips of a rightful peer from far away fit in, and after its Hello also its key derivation.
constexpr auto patience_for_hello = 250ms;
constexpr auto patience_for_proof = 2s;
constexpr auto accept_retry_delay = 100ms;
constexpr auto rejection_log_interval = 1s;

/// "10.0.0.5" of "10.0.0.5:40312".
std::string host_of(const std::string& address) { return address.substr(0, address.rfind(':')); }

std::uint64_t twice(std::uint64_t bytes) {
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  return bytes > most / 2 ? most : 2 * bytes;
}

/// A connection whose password is not proved yet.
struct Incoming {
  std::shared_ptr<Channel> channel;
  std::optional<HeadHandshake> handshake;
  HandshakeWriter writer;
  std::unique_ptr<Timer> deadline;
  std::string address;
  TimePoint started;
  bool local = false;    // over the Unix socket: not a stranger, and not counted
  bool greeted = false;  // has said Hello
  bool refused = false;
};

/// Behind a ListenerHandle; held by shared_ptr because accepts are under way when the handle goes.
class ListenerImpl : public std::enable_shared_from_this<ListenerImpl> {
 public:
  ListenerImpl(EventLoop& loop, ListenOptions options, SessionHandler handler)
      : loop_(loop),
        options_(std::move(options)),
        handler_(std::move(handler)),
        verifier_(ScramVerifier::of(options_.secret.password, scram::random_salt())) {
    std::string& password = options_.secret.password;  // the verifier is all that is needed
    OPENSSL_cleanse(password.data(), password.size());
    password.clear();
  }

  Result<void> open();
  void renew_socket(LocalSocket socket);
  void accept_more();
  void break_off();
  void shut_down(std::string message, Callback done);
  void destroy();
  [[nodiscard]] std::uint16_t port() const { return options_.port; }
  [[nodiscard]] const std::string& fingerprint() const { return identity_.fingerprint; }

 private:
  using IncomingId = std::uint64_t;
  struct Door {
    Acceptor acceptor;
    bool local = false;  // a Unix socket
    bool accepting = false;
  };

  void accept(Door& door);
  void on_accept(Door& door, ErrorNumber error, Socket socket);
  void greet(Socket socket, bool local);
  void on_channel(IncomingId id, Result<void> ready);
  void on_frame(IncomingId id, std::shared_ptr<const void> frame, std::span<const std::byte> bytes);
  void admit(IncomingId id, std::optional<wire::Frame> welcome);
  void refuse(IncomingId id, Incoming& incoming, HandshakeStep step);
  void drop(IncomingId id, std::string_view why);
  [[nodiscard]] bool full() const;
  void make_room();
  void on_closed(SessionImpl& session, const Error& why);
  void abort_all();
  void close_doors();
  void finish_shut_down();

  /// A callback that does nothing once the listener is gone, and keeps it alive while it runs.
  template <class Body>
  auto weakly(Body body) {
    return [weak = weak_from_this(), body = std::move(body)](auto&&... arguments) {
      if (const auto self = weak.lock(); self && !self->dead_) {
        body(*self, std::forward<decltype(arguments)>(arguments)...);
      }
    };
  }

  EventLoop& loop_;
  ListenOptions options_;
  SessionHandler handler_;
  const ScramVerifier verifier_;
  TlsIdentity identity_;
  ProofLimit limit_;
  std::vector<std::unique_ptr<Door>> doors_;
  LocalSocket local_socket_;
  std::map<IncomingId, Incoming> incoming_;  // in the order of arrival
  IncomingId next_incoming_ = 1;
  std::map<SessionId, std::shared_ptr<SessionImpl>> sessions_;
  std::unique_ptr<Timer> room_timer_;
  std::unique_ptr<Timer> retry_timer_;
  TimePoint rejection_logged_{};
  std::size_t rejections_unlogged_ = 0;
  Callback shut_down_done_;
  bool accept_failing_ = false;
  bool closed_ = false;  // the doors, for good
  bool dead_ = false;
};

Result<void> ListenerImpl::open() {
  auto& context = loop_.impl().context;
  if (!options_.addresses.empty()) {
    BOOST_OUTCOME_TRY(identity, head_identity(options_.key_file));
    identity_ = std::move(identity);
  }
  BOOST_OUTCOME_TRY(acceptors, listen_tcp(context, options_.addresses, options_.port));
  for (Acceptor& acceptor : acceptors)
    doors_.push_back(std::make_unique<Door>(Door{std::move(acceptor), false, false}));
  if (options_.unix_path.empty()) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(socket, LocalSocket::open(options_.unix_path));
  doors_.push_back(std::make_unique<Door>(Door{acceptor_of(context, socket), true, false}));
  local_socket_ = std::move(socket);
  return boost::outcome_v2::success();
}

void ListenerImpl::renew_socket(LocalSocket socket) {
  const auto door = std::find_if(doors_.begin(), doors_.end(), [](const auto& one) { return one->local; });
  if (closed_ || door == doors_.end()) return;
  (*door)->acceptor = acceptor_of(loop_.impl().context, socket);
  local_socket_ = std::move(socket);
}

// --- Accepting --------------------------------------------------------------------------------------------------

void ListenerImpl::accept_more() {
  const bool strangers_wait = full();
  for (const auto& door : doors_) {
    if (!door->accepting && (door->local || !strangers_wait)) accept(*door);
  }
  if (strangers_wait) make_room();
}

bool ListenerImpl::full() const {
  if (incoming_.size() < handshakes_max) return false;
  return std::count_if(incoming_.begin(), incoming_.end(), [](const auto& entry) { return !entry.second.local; }) >=
         static_cast<std::ptrdiff_t>(handshakes_max);
}

void ListenerImpl::accept(Door& door) {
  door.accepting = true;
  door.acceptor.async_accept(weakly([&door](ListenerImpl& self, ErrorNumber error, Socket socket) {
    door.accepting = false;
    self.on_accept(door, error, std::move(socket));
  }));
}

void ListenerImpl::on_accept(Door& door, ErrorNumber error, Socket socket) {
  if (!error) {
    accept_failing_ = false;
    greet(std::move(socket), door.local);
    return accept_more();
  }
  if (error == asio::error::operation_aborted) return closed_ ? void() : accept_more();  // it has another socket now
  // Most likely out of descriptors: at once would be a busy loop.
  if (!accept_failing_) log::warning("cannot accept connections ({})", error.message());
  accept_failing_ = true;
  retry_timer_ = loop_.call_at(EventLoop::now() + accept_retry_delay, [this] { accept_more(); });
}

void ListenerImpl::greet(Socket socket, bool local) {
  if (options_.admits && !options_.admits()) return;
  const std::string address = peer_address(socket);
  if (local && !same_user(socket.native_handle())) {
    return log::warning("another user of this machine tried to connect");
  }
  if (!local && !limit_.admits(host_of(address), EventLoop::now())) return;
  if (local) close_on_exec(socket.native_handle());
  if (!local) prepare_tcp(socket.native_handle());
  const IncomingId id = next_incoming_++;
  Incoming& incoming = incoming_[id];
  incoming.address = address;
  incoming.local = local;
  incoming.started = EventLoop::now();
  incoming.deadline = loop_.call_at(incoming.started + options_.handshake_deadline,
                                    [this, id] { drop(id, "no handshake within the deadline"); });
  ChannelOptions options{.handshake_deadline = options_.handshake_deadline,
                         .idle_timeout = options_.idle_timeout,
                         .host = {},
                         .on_key = {},
                         .on_http = options_.on_http};
  auto on_ready = weakly([id](ListenerImpl& self, Result<void> ready) { self.on_channel(id, std::move(ready)); });
  incoming.channel =
      local ? accept_channel(std::move(socket), std::move(options), std::move(on_ready))
            : accept_tls_channel(std::move(socket), identity_.context, std::move(options), std::move(on_ready));
}

void ListenerImpl::make_room() {
  IncomingId next = 0;
  TimePoint when = never;
  for (const auto& [id, incoming] : incoming_) {
    const TimePoint patient_until = incoming.started + (incoming.greeted ? patience_for_proof : patience_for_hello);
    if (incoming.local || patient_until >= when) continue;
    next = id;
    when = patient_until;
  }
  if (when <= EventLoop::now()) return drop(next, "others are waiting");
  room_timer_ = loop_.call_at(when, [this] {
    if (full()) make_room();
  });
}

void ListenerImpl::drop(IncomingId id, std::string_view why) {
  const auto found = incoming_.find(id);
  if (found == incoming_.end()) return;
  log::debug("{} was turned away: {}", found->second.address, why);
  found->second.channel->abort();
  incoming_.erase(found);
  accept_more();
}

// --- Handshake --------------------------------------------------------------------------------------------------
void ListenerImpl::on_channel(IncomingId id, Result<void> ready) {
  if (!ready) return drop(id, ready.error().message);
  const auto found = incoming_.find(id);
  if (found == incoming_.end()) return;
  Incoming& incoming = found->second;
  incoming.handshake.emplace(verifier_,
                             HeadHandshake::Facts{options_.epoch, options_.payload_bytes_max, options_.term()},
                             incoming.channel->channel_binding());
  incoming.channel->listen({
      .on_frame = weakly([id](ListenerImpl& self, std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
        self.on_frame(id, std::move(frame), bytes);
      }),
      .on_written = weakly([id](ListenerImpl& self) {
        const auto entry = self.incoming_.find(id);
        if (entry == self.incoming_.end()) return;
        Incoming& writer = entry->second;
        writer.writer.written(*writer.channel);
        if (writer.refused && !writer.writer.writing()) writer.channel->close("refused");
      }),
      .on_closed = weakly([id](ListenerImpl& self, const Error& why) { self.drop(id, why.message); }),
  });
}

void ListenerImpl::on_frame(IncomingId id, std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
  const auto found = incoming_.find(id);
  if (found == incoming_.end() || found->second.refused) return;
  Incoming& incoming = found->second;
  incoming.greeted = true;
  HandshakeStep step = incoming.handshake->on_frame(bytes, std::move(frame));
  switch (step.then) {
    case HandshakeStep::Then::wait:
      return incoming.writer.write(*incoming.channel, std::move(*step.send));
    case HandshakeStep::Then::open:
      if (options_.admits && !options_.admits()) return drop(id, "this head is not certain to be the head");
      return admit(id, std::move(step.send));
    case HandshakeStep::Then::fail:
      if (!step.send) return drop(id, step.error.message);
      return refuse(id, incoming, std::move(step));
  }
}

void ListenerImpl::refuse(IncomingId id, Incoming& incoming, HandshakeStep step) {
  incoming.refused = true;
  const TimePoint now = EventLoop::now();
  if (!incoming.local && step.error.code == ErrorCode::rejected) limit_.failed(host_of(incoming.address), now);
  incoming.deadline = loop_.call_at(now + close_deadline, [this, id] { drop(id, "refused"); });
  ++rejections_unlogged_;
  if (now - rejection_logged_ >= rejection_log_interval) {
    log::warning("refused {} peer(s), the last one from {}: {}", rejections_unlogged_, incoming.address,
                 step.error.message);
    rejection_logged_ = now;
    rejections_unlogged_ = 0;
  }
  incoming.writer.write(*incoming.channel, std::move(*step.send));
}

void ListenerImpl::admit(IncomingId id, std::optional<wire::Frame> welcome) {
  auto node = incoming_.extract(id);
  Incoming& incoming = node.mapped();
  Peer peer = incoming.handshake->peer();
  peer.address = incoming.address;
  wire::FrameReader::Options reader{.payload_bytes_max = options_.payload_bytes_max,
                                    .assembly_bytes_max = twice(options_.payload_bytes_max)};
  const auto session = std::make_shared<SessionImpl>(
      loop_, std::move(peer), incoming.channel, std::move(reader),
      SessionImpl::Events{
          .on_messages = weakly([](ListenerImpl& self, SessionImpl& from, std::vector<wire::Message>&& messages) {
            self.handler_.on_messages(from, std::move(messages));
          }),
          .on_closed =
              weakly([](ListenerImpl& self, SessionImpl& from, const Error& why) { self.on_closed(from, why); }),
      });
  sessions_.emplace(session->id(), session);
  session->begin(incoming.writer.writing(), std::move(welcome));
  handler_.on_open(*session);
  if (!dead_) accept_more();
}

// --- End --------------------------------------------------------------------------------------------------------

void ListenerImpl::on_closed(SessionImpl& session, const Error& why) {
  const Peer& peer = session.peer();
  const Error error =
      fail(why.code, fmt::format("the connection to {} ({}) ended: {}", peer.host, peer.address, why.message));
  handler_.on_close(session.id(), error);
  sessions_.erase(session.id());
  finish_shut_down();
}

void ListenerImpl::shut_down(std::string message, Callback done) {
  shut_down_done_ = std::move(done);
  close_doors();
  for (const auto& [id, session] : sessions_) {
    session->send(wire::Goodbye{message}, wire::control_lane);
    session->close(message);
  }
  loop_.post(weakly([](ListenerImpl& self) { self.finish_shut_down(); }));
}

void ListenerImpl::finish_shut_down() {
  if (!dead_ && shut_down_done_ && sessions_.empty()) std::exchange(shut_down_done_, {})();
}

void ListenerImpl::abort_all() {
  for (auto& [id, incoming] : incoming_) incoming.channel->abort();
  incoming_.clear();
  for (const auto& [id, session] : sessions_) session->abort();
  sessions_.clear();
}

void ListenerImpl::break_off() {
  abort_all();
  accept_more();
}

void ListenerImpl::close_doors() {
  for (const auto& door : doors_) {
    ErrorNumber ignored;
    door->acceptor.close(ignored);
    door->accepting = true;  // for good
  }
  for (auto& [id, incoming] : incoming_) incoming.channel->abort();
  incoming_.clear();
  room_timer_.reset();
  retry_timer_.reset();
  closed_ = true;
  local_socket_.remove_file();
}

void ListenerImpl::destroy() {
  dead_ = true;
  close_doors();
  abort_all();
}

class ListenerHandle final : public Listener {
 public:
  explicit ListenerHandle(std::shared_ptr<ListenerImpl> impl) : impl_(std::move(impl)) {}
  ~ListenerHandle() override { impl_->destroy(); }
  [[nodiscard]] std::uint16_t port() const override { return impl_->port(); }
  [[nodiscard]] std::string fingerprint() const override { return impl_->fingerprint(); }
  void renew_socket(LocalSocket socket) override { impl_->renew_socket(std::move(socket)); }
  void break_off() override { impl_->break_off(); }
  void shut_down(std::string message, Callback done) override { impl_->shut_down(std::move(message), std::move(done)); }

 private:
  std::shared_ptr<ListenerImpl> impl_;
};

}  // namespace

Result<std::unique_ptr<Listener>> listen(EventLoop& loop, ListenOptions options, SessionHandler handler) {
  if (const std::string problem = password_problem(options.secret.password); !problem.empty()) {
    return fail(ErrorCode::invalid, problem);
  }
  auto impl = std::make_shared<ListenerImpl>(loop, std::move(options), std::move(handler));
  auto listener = std::make_unique<ListenerHandle>(impl);
  BOOST_OUTCOME_TRYV(impl->open());
  impl->accept_more();
  return listener;
}

}  // namespace dc::net

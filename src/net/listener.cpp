// Accepts connections, and keeps the sessions that come of them. What is between is in newcomers.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "core/fd.hpp"
#include "core/log.hpp"
#include "core/open_files.hpp"
#include "net/acceptor.hpp"
#include "net/event_loop_impl.hpp"
#include "net/mortal.hpp"
#include "net/newcomers.hpp"
#include "net/session_impl.hpp"
#include "net/tls.hpp"

namespace dc::net {
namespace {

constexpr auto accept_retry_delay = 100ms;
constexpr auto no_descriptors_log_interval = 60s;

std::uint64_t twice(std::uint64_t bytes) {
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  return bytes > most / 2 ? most : 2 * bytes;
}

/// Behind a ListenerHandle; held by shared_ptr because accepts are under way when the handle goes.
class ListenerImpl : public Mortal<ListenerImpl> {
 public:
  ListenerImpl(EventLoop& loop, ListenOptions options, SessionHandler handler)
      : loop_(loop),
        options_(std::move(options)),
        handler_(std::move(handler)),
        descriptors_(open_files_limit()),
        spare_(open_spare()) {}

  Result<void> open();
  void renew_socket(LocalSocket socket);
  void accept_more();
  void break_off();
  void shut_down(std::string message, Callback done);
  void destroy();
  [[nodiscard]] std::uint16_t port() const { return options_.port; }
  [[nodiscard]] const std::string& fingerprint() const { return identity_.fingerprint; }

 private:
  struct Door {
    Acceptor acceptor;
    bool local = false;  // a Unix socket
    bool waiting = false;
  };

  void wait_at(Door& door);
  void on_knock(Door& door);
  void let_in(Door& door, Socket socket);
  void turn_away(Door& door);
  [[nodiscard]] bool short_of_descriptors(int taken, bool local) const;
  void tell_of_descriptors();
  void admit(Admitted admitted);
  void on_closed(SessionImpl& session, const Error& why);
  void abort_all();
  void close_doors();
  void finish_shut_down();

  EventLoop& loop_;
  ListenOptions options_;
  SessionHandler handler_;
  TlsIdentity identity_;
  std::shared_ptr<Newcomers> newcomers_;
  std::vector<std::unique_ptr<Door>> doors_;
  LocalSocket local_socket_;
  std::map<SessionId, std::shared_ptr<SessionImpl>> sessions_;
  std::unique_ptr<Timer> retry_timer_;
  const std::size_t descriptors_;  // that this process may have
  Fd spare_;                       // given up for a moment to turn somebody away when there is no other
  TimePoint descriptors_logged_{};
  Callback shut_down_done_;
  bool closed_ = false;  // the doors, for good
};

Result<void> ListenerImpl::open() {
  newcomers_ = std::make_shared<Newcomers>(
      loop_, options_, weakly([](ListenerImpl& self, Admitted admitted) { self.admit(std::move(admitted)); }));
  auto& context = loop_.impl().context;
  if (!options_.addresses.empty()) {
    BOOST_OUTCOME_TRY(identity, head_identity(options_.key_file));
    identity_ = std::move(identity);
    newcomers_->use(identity_.context);
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
  for (const auto& door : doors_) wait_at(*door);
}

void ListenerImpl::wait_at(Door& door) {
  if (std::exchange(door.waiting, true)) return;
  door.acceptor.async_wait(Acceptor::wait_read, weakly([&door](ListenerImpl& self, ErrorNumber error) {
                             door.waiting = false;
                             if (!error) return self.on_knock(door);
                             if (!self.closed_) self.wait_at(door);  // it has another socket now
                           }));
}

/// Takes all that wait in the kernel's queue, some at a time: there a crowd would stand before a rightful peer.
void ListenerImpl::on_knock(Door& door) {
  for (std::size_t i = 0; i < limits::accepted_at_once && door.acceptor.is_open(); ++i) {
    auto accepted = accept_one(door.acceptor);
    if (accepted) {
      let_in(door, std::move(accepted.value()));
      if (dead_) return;
      continue;
    }
    if (accepted.error() == asio::error::would_block) break;
    if (!no_descriptors(accepted.error())) continue;  // of that connection: it is gone already
    if (newcomers_->send_one_away()) continue;
    turn_away(door);
    // It may be for longer: at once would be a busy loop.
    retry_timer_ = loop_.call_at(EventLoop::now() + accept_retry_delay, [this] { accept_more(); });
    return;
  }
  if (door.acceptor.is_open()) wait_at(door);
}

/// The kernel gives the lowest number that is free: all below it are in use.
bool ListenerImpl::short_of_descriptors(int taken, bool local) const {
  const std::size_t kept = std::min(limits::descriptors_reserved, descriptors_ / 3) / (local ? 2 : 1);
  return static_cast<std::size_t>(taken) + kept >= descriptors_;
}

void ListenerImpl::let_in(Door& door, Socket socket) {
  if (short_of_descriptors(socket.native_handle(), door.local) && !newcomers_->send_one_away()) {
    return tell_of_descriptors();
  }
  newcomers_->arrive(std::move(socket), door.local);
}

/// It is better told by a connection that ends than by one that nobody answers.
void ListenerImpl::turn_away(Door& door) {
  tell_of_descriptors();
  spare_.reset();
  for (std::size_t i = 0; i < limits::accepted_at_once && accept_one(door.acceptor); ++i) {
  }
  spare_ = open_spare();
}

void ListenerImpl::tell_of_descriptors() {
  const TimePoint now = EventLoop::now();
  if (now - descriptors_logged_ < no_descriptors_log_interval) return;
  descriptors_logged_ = now;
  log::error(
      "there is no descriptor left for one more connection: this process may have {}, and {} sessions are open. Peers "
      "are turned away until some end; start the head with a higher limit of open files (ulimit -n)",
      descriptors_, sessions_.size());
}

void ListenerImpl::admit(Admitted admitted) {
  wire::FrameReader::Options reader{.payload_bytes_max = options_.payload_bytes_max,
                                    .assembly_bytes_max = twice(options_.payload_bytes_max)};
  const auto session = std::make_shared<SessionImpl>(
      loop_, std::move(admitted.peer), std::move(admitted.channel), std::move(reader), wire::all_to_head,
      SessionImpl::Events{
          .on_messages = weakly([](ListenerImpl& self, SessionImpl& from, std::vector<wire::Message>&& messages) {
            self.handler_.on_messages(from, std::move(messages));
          }),
          .on_closed =
              weakly([](ListenerImpl& self, SessionImpl& from, const Error& why) { self.on_closed(from, why); }),
      });
  sessions_.emplace(session->id(), session);
  session->begin(admitted.writing, std::move(admitted.welcome));
  handler_.on_open(*session);
}

// --- End --------------------------------------------------------------------------------------------------------

void ListenerImpl::on_closed(SessionImpl& session, const Error& why) {
  const Peer& peer = session.peer();
  newcomers_->session_ended(peer.address);
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
  newcomers_->abort_all();
  for (const auto& [id, session] : sessions_) {
    session->abort();
    newcomers_->session_ended(session->peer().address);
  }
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
    door->waiting = true;  // for good
  }
  newcomers_->abort_all();
  retry_timer_.reset();
  closed_ = true;
  local_socket_.remove_file();
}

void ListenerImpl::destroy() {
  dead_ = true;
  close_doors();
  abort_all();
  newcomers_->destroy();
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

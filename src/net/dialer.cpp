// One attempt to reach an address: resolve, then try what was found; see dialer.hpp.
#include "net/dialer.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cctype>
#include <cstring>
#include <utility>
#include <vector>

#include "core/fd.hpp"
#include "net/acceptor.hpp"
#include "net/aside.hpp"
#include "net/event_loop_impl.hpp"
#include "net/lookup.hpp"
#include "net/machine.hpp"

namespace dc::net {
namespace {

using asio::ip::tcp;
using Endpoint = asio::generic::stream_protocol::endpoint;

/// The directory may be one of another machine, which does not answer: the port serves then.
constexpr auto file_patience = 500ms;
constexpr int files_tried_max = 8;  ///< at once; each has a thread
std::atomic<int> files_tried{0};

/// Negative: nobody listens there.
Fd connect_to_file(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  return ::connect(socket.get(), generic, sizeof address) == 0 ? std::move(socket) : Fd();
}

std::string lower_first(std::string text) {
  if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1]))) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

/// Shared with the operation under way, which may end after the dialer is gone.
class DialerImpl : public std::enable_shared_from_this<DialerImpl> {
  /// A handler that does nothing once the attempt is over.
  template <class Body>
  auto then(Body body) {
    return [self = shared_from_this(), body = std::move(body)](auto&&... arguments) {
      if (!self->over_) body(*self, std::forward<decltype(arguments)>(arguments)...);
    };
  }

 public:
  DialerImpl(EventLoop& loop, DialTarget target, std::function<void(Result<Dialed>)> on_done)
      : loop_(loop),
        target_(std::move(target)),
        on_done_(std::move(on_done)),
        socket_(loop.impl().context.get_executor()) {}

  void start() {
    ErrorNumber not_a_number;
    const auto number = asio::ip::make_address(target_.address, not_a_number);
    // Not left to the resolver: "localhost" must work on a machine without any name service.
    if (target_.address == "localhost") {
      endpoints_ = {{asio::ip::address_v4::loopback(), target_.port}, {asio::ip::address_v6::loopback(), target_.port}};
    } else if (!not_a_number) {
      endpoints_ = {{number, target_.port}};
    } else {
      return resolve();
    }
    asio::post(socket_.get_executor(), then([](DialerImpl& self) { self.connect_first(); }));
  }

  void cancel() {
    over_ = true;
    lookup_.reset();
    file_timer_.reset();
    ErrorNumber ignored;
    socket_.close(ignored);
  }

 private:
  void resolve() {
    lookup_ = look_up(loop_, target_.address, [weak = weak_from_this()](const Found& found) {
      const auto self = weak.lock();
      if (!self || self->over_) return;
      if (found.addresses.empty()) {
        return self->done(
            fail(ErrorCode::unreachable, fmt::format("cannot find the machine '{}' ({}): is the name right?",
                                                     self->target_.address, lower_first(found.problem))));
      }
      for (const SocketAddress& address : found.addresses) {
        tcp::endpoint endpoint;
        if (address.size > endpoint.capacity()) continue;
        std::memcpy(endpoint.data(), address.get(), address.size);
        endpoint.resize(address.size);
        endpoint.port(self->target_.port);
        self->endpoints_.push_back(endpoint);
      }
      self->connect_first();
    });
  }

  void connect_first() {
    bool own_machine = false;
    for (const tcp::endpoint& endpoint : endpoints_) own_machine = own_machine || local_address(*endpoint.data());
    if (!own_machine || target_.unix_path.empty() || files_tried >= files_tried_max) return connect_next();
    // Even the look for a file waits for its disk.
    ++files_tried;
    aside(
        loop_,
        [path = target_.unix_path] {
          auto socket = std::make_shared<Fd>(connect_to_file(path));
          --files_tried;
          return socket;
        },
        [weak = weak_from_this()](const std::shared_ptr<Fd>& socket) {
          if (const auto self = weak.lock(); self && !self->over_ && std::exchange(self->file_timer_, nullptr))
            self->on_file(*socket);
        });
    file_timer_ = loop_.call_at(EventLoop::now() + file_patience, [weak = weak_from_this()] {
      if (const auto self = weak.lock(); self && std::exchange(self->file_timer_, nullptr)) self->connect_next();
    });
  }

  /// A file that a dead head left, or someone else's socket: the port decides.
  void on_file(Fd& socket) {
    ErrorNumber error;
    if (socket.get() < 0 || !same_user(socket.get())) return connect_next();
    socket_.assign(asio::generic::stream_protocol(AF_UNIX, 0), socket.get(), error);
    if (error) return connect_next();
    socket.release();
    done(Dialed{std::move(socket_), "unix"});
  }

  void connect_next() {
    if (tried_ == endpoints_.size()) {
      return done(fail(ErrorCode::unreachable,
                       fmt::format("cannot reach the head at {} ({}): is it running, and is the port open?",
                                   host_port(target_.address, target_.port), lower_first(last_error_.message()))));
    }
    const tcp::endpoint& endpoint = endpoints_[tried_++];
    ErrorNumber ignored;
    socket_.close(ignored);
    socket_.async_connect(Endpoint(endpoint.data(), endpoint.size()),
                          then([](DialerImpl& self, ErrorNumber error) { self.on_connect(error); }));
  }

  void on_connect(ErrorNumber error) {
    // While nobody listens on a high port of this machine, TCP may connect us to ourselves.
    if (!error && socket_.local_endpoint(error) == socket_.remote_endpoint(error)) {
      error = asio::error::connection_refused;
    }
    if (error) {
      last_error_ = error;
      return connect_next();
    }
    prepare_tcp(socket_.native_handle());
    std::string address = peer_address(socket_);
    done(Dialed{std::move(socket_), std::move(address)});
  }

  void done(Result<Dialed> result) {
    over_ = true;
    std::exchange(on_done_, {})(std::move(result));
  }

  EventLoop& loop_;
  DialTarget target_;
  std::function<void(Result<Dialed>)> on_done_;
  std::shared_ptr<Lookup> lookup_;
  std::unique_ptr<Timer> file_timer_;  ///< while the socket's file is tried
  Socket socket_;
  std::vector<tcp::endpoint> endpoints_;
  std::size_t tried_ = 0;
  ErrorNumber last_error_;
  bool over_ = false;
};

class DialerHandle final : public Dialer {
 public:
  explicit DialerHandle(std::shared_ptr<DialerImpl> impl) : impl_(std::move(impl)) {}
  ~DialerHandle() override { impl_->cancel(); }

 private:
  std::shared_ptr<DialerImpl> impl_;
};

}  // namespace

std::unique_ptr<Dialer> dial(EventLoop& loop, DialTarget target, std::function<void(Result<Dialed>)> on_done) {
  auto impl = std::make_shared<DialerImpl>(loop, std::move(target), std::move(on_done));
  impl->start();
  return std::make_unique<DialerHandle>(std::move(impl));
}

}  // namespace dc::net

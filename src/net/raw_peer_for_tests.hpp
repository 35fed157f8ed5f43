// For the tests: peers that do not keep to the protocol.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "net/channel.hpp"
#include "net/dialer.hpp"
#include "net/handshake.hpp"
#include "net/session.hpp"

namespace dc::net {

/// A connection to a port of this machine, bare or with TLS, without anything of ours on it.
class RawPeer {
 public:
  explicit RawPeer(std::uint16_t port, bool encrypted = false) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    fcntl(fd_, F_SETFL, O_NONBLOCK);
    if (!encrypted) return;
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a socket whose other end may just have closed
    context_ = SSL_CTX_new(TLS_client_method());
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, fd_);
    SSL_set_connect_state(ssl_);
  }
  ~RawPeer() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    close(fd_);
  }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  /// As much of it as the kernel takes; with TLS, from closed() on.
  void send(std::string_view bytes) {
    if (ssl_) {
      unsent_ += bytes;
    } else {
      (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
  }
  /// For TLS: the highest version to offer.
  void offer_at_most(int version) { SSL_set_max_proto_version(ssl_, version); }
  /// For TLS: the only groups to offer, the first with its share of a key.
  void offer_only(const char* groups) { DC_CHECK(SSL_set1_groups_list(ssl_, groups) == 1); }
  /// Why TLS has failed, once closed() says so.
  [[nodiscard]] const std::string& alert() const { return alert_; }
  /// With TLS, once it is encrypted: new keys, so many times, each in a record of its own, and as many answers wanted.
  void change_keys(int times) {
    for (int i = 0; i < times; ++i) {
      SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED);
      if (SSL_do_handshake(ssl_) != 1) return;
    }
  }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool encrypted() const { return ssl_ && SSL_is_init_finished(ssl_); }
  /// Writes and reads what can be; true when the other end has closed.
  bool closed() {
    ERR_clear_error();
    if (ssl_ && !SSL_is_init_finished(ssl_)) {
      if (const int done = SSL_do_handshake(ssl_); done != 1) {
        if (waits(done)) return false;
        const char* reason = ERR_reason_error_string(ERR_peek_error());
        alert_ = reason ? reason : "";
        return true;
      }
    }
    if (ssl_ && !unsent_.empty()) {
      const int sent = SSL_write(ssl_, unsent_.data(), static_cast<int>(unsent_.size()));
      if (sent <= 0) return !waits(sent);
      unsent_.erase(0, static_cast<std::size_t>(sent));
    }
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t count =
          ssl_ ? SSL_read(ssl_, buffer.data(), buffer.size()) : recv(fd_, buffer.data(), buffer.size(), 0);
      if (count <= 0) return ssl_ ? !waits(static_cast<int>(count)) : count == 0 || errno != EAGAIN;
      received_.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }
  [[nodiscard]] const std::string& received() const { return received_; }

 private:
  [[nodiscard]] bool waits(int result) const {
    const int error = SSL_get_error(ssl_, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  }
  int fd_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
  std::string unsent_, received_, alert_;
};

/// Listens on a port of this machine, says `greeting` to each who connects, and closes then if told so.
class RawServer {
 public:
  RawServer(EventLoop& loop, std::string greeting, bool closes)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), greeting_(std::move(greeting)), closes_(closes) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(fd_, reinterpret_cast<const sockaddr*>(&address), size);
    ::listen(fd_, 16);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    watch_ = loop.watch(fd_, [this] {
      const int peer = accept(fd_, nullptr, nullptr);
      if (peer < 0) return;
      (void)::send(peer, greeting_.data(), greeting_.size(), MSG_NOSIGNAL);
      if (closes_) {
        close(peer);
      } else {
        peers_.push_back(peer);
      }
    });
  }
  ~RawServer() {
    watch_.reset();
    close(fd_);
    for (const int peer : peers_) close(peer);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
  std::string greeting_;
  bool closes_;
  std::unique_ptr<FdWatch> watch_;
  std::vector<int> peers_;
};

/// Speaks WebSocket, but says what it likes.
class RawChannel {
 public:
  RawChannel(EventLoop& loop, std::uint16_t port) {
    dialer_ = dial(loop, {"127.0.0.1", port, ""}, [this](Result<Dialed> dialed) {
      if (!dialed) return;
      const ChannelOptions options{
          .handshake_deadline = 5s, .idle_timeout = 5s, .host = "test", .on_key = {}, .on_http = {}, .turn = {}};
      channel_ = connect_tls_channel(std::move(dialed.value().socket), options, [this](const Result<void>& ready) {
        open_ = ready.has_value();
        if (open_)
          channel_->listen({[this](auto frame, auto bytes) { on_frame(frame, bytes); }, [] {},
                            [this](const Error&) { closed_ = true; }});
      });
    });
  }
  ~RawChannel() {
    if (channel_) channel_->abort();
  }
  RawChannel(const RawChannel&) = delete;
  RawChannel& operator=(const RawChannel&) = delete;

  void send(wire::Message message) { channel_->write(frame_of(std::move(message))); }
  void send_frame(wire::Frame frame) { channel_->write(std::move(frame)); }
  /// What a password proof must be tied to.
  [[nodiscard]] std::string binding() const { return channel_->channel_binding(); }
  [[nodiscard]] bool open() const { return open_; }
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] const std::vector<wire::Message>& received() const { return received_; }

 private:
  void on_frame(std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
    (void)reader_.read(bytes, std::move(frame), received_);
  }
  std::unique_ptr<Dialer> dialer_;
  std::shared_ptr<Channel> channel_;
  wire::FrameReader reader_;
  std::vector<wire::Message> received_;
  bool open_ = false;
  bool closed_ = false;
};

}  // namespace dc::net

// For the tests: peers that do not keep to the protocol.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/channel.hpp"
#include "net/dialer.hpp"
#include "net/handshake.hpp"
#include "net/session.hpp"

namespace dc::net {

/// A bare TCP connection to a port of this machine.
class RawPeer {
 public:
  explicit RawPeer(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~RawPeer() { close(fd_); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  /// As much of it as the kernel takes.
  void send(std::string_view bytes) { (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  [[nodiscard]] bool connected() const { return connected_; }
  /// Reads what there is; true when the other end has closed.
  bool closed() {
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t count = recv(fd_, buffer.data(), buffer.size(), 0);
      if (count == 0) return true;
      if (count < 0) return errno != EAGAIN;
      received_.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }
  [[nodiscard]] const std::string& received() const { return received_; }

 private:
  int fd_;
  bool connected_ = false;
  std::string received_;
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
      const ChannelOptions options{.handshake_deadline = 5s, .idle_timeout = 5s, .host = "test", .on_http = {}};
      channel_ = connect_channel(std::move(dialed.value().socket), options, [this](const Result<void>& ready) {
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

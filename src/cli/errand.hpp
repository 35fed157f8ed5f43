// One session with a head for one question or order of a command.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/result.hpp"
#include "net/session.hpp"

namespace dc::cli {

/// How to reach the head.
struct HeadAccess {
  std::string address = "localhost";  ///< one or several, see net::ConnectOptions
  std::string fingerprint, password;
  std::uint16_t port{};
};

class Errand {
 public:
  using OnMessage = std::function<void(net::Session&, wire::Message&)>;
  /// `first` is said as soon as the session is open; on_message hears the answers, until done() or fail_with().
  Errand(const HeadAccess& access, wire::Role role, wire::Message first, OnMessage on_message);

  void done();
  void fail_with(Error error);
  /// Until either is called, or the session ends: an error of the connection then.
  Result<void> run();

 private:
  wire::Message first_;
  OnMessage on_message_;
  net::EventLoop loop_;
  net::ConnectOptions options_;
  std::optional<Error> problem_;
  bool connected_ = false;
  bool finished_ = false;
};

}  // namespace dc::cli

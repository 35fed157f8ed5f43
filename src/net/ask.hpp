// One question to a head, or one order, on a session of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/result.hpp"
#include "net/session.hpp"

namespace dc::net {

/// How to reach the head.
struct HeadAccess {
  std::string address = "localhost";  ///< one or several, see ConnectOptions
  std::uint16_t port{};
  std::string password, fingerprint;
  std::string unix_path;  ///< empty: the socket of this machine's head at `port`
};

enum class Heard { all, not_all };
/// Gets each message in turn: `all`, or an error, ends the asking.
using Hear = std::function<Result<Heard>(Session&, wire::Message&)>;

struct AskOptions {
  wire::Role role = wire::Role::viewer;
  /// From the beginning to the last answer. Nothing: as long as the session is alive.
  std::optional<Duration> answer_within;
  /// The head has not answered for limits::connecting_notice_after, and may yet; `head` names it for people.
  std::function<void(const std::string& head)> on_slow = [](const std::string&) {};
};

/// Says `first` as soon as the session is open, and waits. Fails with the error of the connection when that ends first.
Result<void> ask(const HeadAccess& head, wire::Message first, const Hear& hear, const AskOptions& options = {});

/// The head's state: the JSON text described in head/status_json.cpp.
Result<std::string> ask_status(const HeadAccess& head, const AskOptions& options = {});

}  // namespace dc::net

// For the tests of sessions: a head and a peer in one loop, and waiting for what must happen.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/session.hpp"

namespace dc::net {

inline constexpr const char* test_password = "correct horse";

/// Runs the loop until `condition` holds; false when it does not within the deadline.
inline bool run_until(EventLoop& loop, std::function<bool()> condition, Duration deadline = 10s) {
  bool held = false;
  std::unique_ptr<Timer> next;
  const TimePoint end = EventLoop::now() + deadline;
  std::function<void()> look = [&] {
    held = condition();
    if (held || EventLoop::now() > end) return loop.stop();
    next = loop.call_at(EventLoop::now() + 200us, look);
  };
  look();
  loop.run();
  return held;
}

/// A directory that goes with its owner.
class TemporaryDir {
 public:
  TemporaryDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "dc-net-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDir() { std::filesystem::remove_all(path_); }
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// All that happened at one end.
struct Events {
  std::vector<Session*> open;
  std::vector<wire::Message> messages;
  std::vector<std::string> closed;
  std::vector<std::string> retries;
  std::vector<Error> finals;

  SessionHandler handler() {
    return {
        .on_open = [this](Session& session) { open.push_back(&session); },
        .on_messages =
            [this](Session& session, std::vector<wire::Message>&& arrived) {
              if (on_message) {
                for (wire::Message& message : arrived) on_message(session, message);
              }
              for (wire::Message& message : arrived) messages.push_back(std::move(message));
            },
        .on_close =
            [this](SessionId id, const Error& why) {
              std::erase_if(open, [&](Session* session) { return session->id() == id; });
              closed.push_back(why.message);
            },
    };
  }
  Connector::Handler connector_handler() {
    return {.session = handler(),
            .on_retry = [this](const Error& error, int) { retries.push_back(error.message); },
            .on_final = [this](const Error& error) { finals.push_back(error); }};
  }
  std::function<void(Session&, wire::Message&)> on_message;
};

enum class Transport { tcp, unix_socket };

/// A head that listens, and what is needed to reach it.
class SessionTest : public ::testing::Test {
 protected:
  static ListenOptions listen_options(Transport transport, const TemporaryDir& dir) {
    ListenOptions options;
    options.port = 0;
    options.secret = {test_password};
    options.epoch = 7;
    options.key_file = dir.file("state/head-key.pem");
    if (transport == Transport::tcp) options.addresses = {"127.0.0.1"};
    if (transport == Transport::unix_socket) options.unix_path = dir.file("run/head.sock");
    return options;
  }
  static ConnectOptions connect_options(const ListenOptions& to, std::uint16_t port) {
    ConnectOptions options;
    options.address = "127.0.0.1";
    options.port = port;
    options.unix_path = to.unix_path;
    options.secret = to.secret;
    options.role = wire::Role::node;
    options.id = 42;
    return options;
  }
  void start(ListenOptions options) {
    auto result = listen(loop, options, at_head.handler());
    ASSERT_TRUE(result) << result.error().message;
    listener = std::move(result.value());
    listening = options;
  }
  void start(Transport transport) { start(listen_options(transport, dir)); }
  void join(ConnectOptions options) { connector = connect(loop, std::move(options), at_peer.connector_handler()); }
  void join() { join(connect_options(listening, listener->port())); }
  bool run_until(std::function<bool()> condition, Duration deadline = 10s) {
    return net::run_until(loop, std::move(condition), deadline);
  }
  bool joined() {
    return run_until([&] { return at_head.open.size() == 1 && at_peer.open.size() == 1; });
  }

  TemporaryDir dir;
  EventLoop loop;
  Events at_head;
  Events at_peer;
  ListenOptions listening;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connector> connector;
};

}  // namespace dc::net

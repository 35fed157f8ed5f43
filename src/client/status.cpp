// Asks a head for its state, once.
#include <optional>
#include <utility>

#include "client/pool_client.hpp"
#include "core/paths.hpp"
#include "net/event_loop.hpp"
#include "net/session.hpp"

namespace dc::client {

Result<std::string> head_status(const std::string& address, std::uint16_t port, const std::string& password,
                                const std::string& unix_path, Duration timeout) {
  net::EventLoop loop;
  std::optional<Result<std::string>> answer;
  const auto finish = [&](Result<std::string> result) {
    if (!answer) answer.emplace(std::move(result));
    loop.stop();
  };

  net::ConnectOptions options;
  options.address = address;
  options.port = port;
  options.unix_path = unix_path.empty() ? paths::head_socket(port) : unix_path;
  options.secret.password = password;
  options.role = wire::Role::viewer;
  options.reconnect = false;
  net::Connector::Handler handler;
  handler.session.on_open = [](net::Session& session) { session.send(wire::StatusRequest{}); };
  handler.session.on_messages = [&](net::Session&, std::vector<wire::Message>&& messages) {
    for (wire::Message& message : messages) {
      if (auto* reply = std::get_if<wire::StatusReply>(&message)) finish(std::move(reply->json));
    }
  };
  handler.session.on_close = [&](SessionId, const Error& why) { finish(why); };
  handler.on_retry = [&](const Error& error, int) { finish(error); };
  handler.on_final = [&](const Error& error) { finish(error); };

  const auto connector = net::connect(loop, std::move(options), std::move(handler));
  const auto deadline = loop.call_at(net::EventLoop::now() + timeout, [&] {
    finish(fail(ErrorCode::unreachable, "the head at " + address + ":" + std::to_string(port) + " did not answer in time"));
  });
  loop.run();
  return std::move(*answer);
}

}  // namespace dc::client

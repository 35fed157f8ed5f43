// Asks a head for its state, once.
#include <optional>
#include <utility>

#include "client/pool_client.hpp"
#include "core/paths.hpp"
#include "net/event_loop.hpp"
#include "net/head_address.hpp"
#include "net/session.hpp"

namespace dc::client {

Result<std::string> head_status(const std::string& address, std::uint16_t port, const std::string& password,
                                const std::string& fingerprint, const std::string& unix_path, Duration timeout) {
  net::EventLoop loop;
  std::optional<std::string> answer;
  Error error =
      fail(ErrorCode::unreachable, "the head at " + net::head_names(address, port) + " did not answer in time");
  const auto give_up = [&](const Error& why) {
    error = why;
    loop.stop();
  };

  net::ConnectOptions options;
  options.address = address;
  options.port = port;
  options.unix_path = unix_path.empty() ? paths::head_socket(port) : unix_path;
  options.fingerprint = fingerprint;
  options.known_heads = paths::known_heads();
  options.secret.password = password;
  options.role = wire::Role::viewer;
  options.reconnect = false;
  net::Connector::Handler handler;
  handler.session.on_open = [](net::Session& session) { session.send(wire::StatusRequest{}); };
  handler.session.on_messages = [&](net::Session&, std::vector<wire::Message>&& messages) {
    for (wire::Message& message : messages) {
      auto* reply = std::get_if<wire::StatusReply>(&message);
      if (!reply) continue;
      answer = std::string(reply->json.view());
      loop.stop();
    }
  };
  handler.session.on_close = [&](SessionId, const Error& why) { give_up(why); };
  handler.on_retry = [&](const Error& why, int) { give_up(why); };
  handler.on_final = [&](const Error& why) { give_up(why); };

  const auto connector = net::connect(loop, std::move(options), std::move(handler));
  const auto deadline = loop.call_at(net::EventLoop::now() + timeout, [&] { loop.stop(); });
  loop.run();
  if (!answer) return error;
  return std::move(*answer);
}

}  // namespace dc::client

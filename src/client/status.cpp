// Asks a head one thing, on a session of its own: for its state, or for what the script of a named pool defines.
#include <functional>
#include <optional>
#include <utility>

#include "client/pool_client_impl.hpp"
#include "core/paths.hpp"
#include "net/event_loop.hpp"
#include "net/head_address.hpp"
#include "net/session.hpp"

namespace dc::client {
namespace {

struct Head {
  std::string address;
  std::uint16_t port{};
  std::string password, fingerprint, unix_path;
};

/// `hear` gets every message until it returns true.
Result<void> ask_head(const Head& head, wire::Message question,
                      const std::function<bool(net::Session&, wire::Message&)>& hear, Duration timeout) {
  net::EventLoop loop;
  bool answered = false;
  Error error = fail(ErrorCode::unreachable,
                     "the head at " + net::head_names(head.address, head.port) + " did not answer in time");
  const auto give_up = [&](const Error& why) {
    error = why;
    loop.stop();
  };

  net::ConnectOptions options;
  options.address = head.address;
  options.port = head.port;
  options.unix_path = head.unix_path.empty() ? paths::head_socket(head.port) : head.unix_path;
  options.fingerprint = head.fingerprint;
  options.known_heads = paths::known_heads();
  options.secret.password = head.password;
  options.role = wire::Role::viewer;
  options.reconnect = false;
  net::Connector::Handler handler;
  handler.session.on_open = [&](net::Session& session) { session.send(std::move(question)); };
  handler.session.on_messages = [&](net::Session& session, std::vector<wire::Message>&& messages) {
    for (wire::Message& message : messages) {
      if (answered || !hear(session, message)) continue;
      answered = true;
      loop.stop();
    }
  };
  handler.session.on_close = [&](SessionId, const Error& why) { give_up(why); };
  handler.on_retry = [&](const Error& why, int) { give_up(why); };
  handler.on_final = [&](const Error& why) { give_up(why); };

  const auto connector = net::connect(loop, std::move(options), std::move(handler));
  const auto deadline = loop.call_at(net::EventLoop::now() + timeout, [&] { loop.stop(); });
  loop.run();
  if (!answered) return error;
  return boost::outcome_v2::success();
}

constexpr auto definitions_timeout = 60s;

}  // namespace

Result<std::string> head_status(const std::string& address, std::uint16_t port, const std::string& password,
                                const std::string& fingerprint, const std::string& unix_path, Duration timeout) {
  std::string json;
  const auto hear = [&](net::Session&, wire::Message& message) {
    auto* reply = std::get_if<wire::StatusReply>(&message);
    if (reply) json = std::string(reply->json.view());
    return reply != nullptr;
  };
  if (auto asked = ask_head({address, port, password, fingerprint, unix_path}, wire::StatusRequest{}, hear, timeout);
      !asked)
    return asked.error();
  return json;
}

Result<std::pair<Payload, std::vector<Payload>>> PoolClient::definitions(std::uint64_t spec_bytes) const {
  const ClientOptions& to = impl_->options;
  std::pair<Payload, std::vector<Payload>> all;
  bool known = true;
  const auto hear = [&](net::Session& session, wire::Message& message) {
    auto* seen = std::get_if<wire::DefinitionsSeen>(&message);
    if (!seen) return false;
    known = seen->known;
    if (all.second.empty() && !seen->spec.empty()) all.first = seen->spec.compact();
    for (const Payload& update : seen->updates) all.second.push_back(update.compact());
    if (seen->more) session.send(wire::SeeDefinitions{to.name, 0, all.second.size()});
    return !seen->more;
  };
  if (auto asked = ask_head({to.address, to.port, to.password, to.fingerprint, to.unix_path},
                            wire::SeeDefinitions{to.name, spec_bytes, 0}, hear, definitions_timeout);
      !asked)
    return asked.error();
  if (!known) return fail(ErrorCode::rejected, "the head does not have pool '" + to.name + "' any more");
  return all;
}

}  // namespace dc::client

// See ask.hpp.
#include "net/ask.hpp"

#include <utility>
#include <vector>

#include "core/paths.hpp"
#include "net/head_address.hpp"

namespace dc::net {
namespace {

ConnectOptions connect_options(const HeadAccess& head, wire::Role role) {
  ConnectOptions options;
  options.address = head.address;
  options.port = head.port;
  options.unix_path = head.unix_path.empty() ? paths::head_socket(head.port) : head.unix_path;
  options.fingerprint = head.fingerprint;
  options.known_heads = paths::known_heads();
  options.secret.password = head.password;
  options.role = role;
  if (role == wire::Role::client) options.id = random_id();
  options.reconnect = false;
  return options;
}

}  // namespace

Result<void> ask(const HeadAccess& head, wire::Message first, const Hear& hear, const AskOptions& options) {
  EventLoop loop;
  bool connected = false;
  std::optional<Result<void>> end;
  const auto end_with = [&](Result<void> how) {
    if (!end) end = std::move(how);
    loop.stop();
  };

  Connector::Handler handler;
  handler.session.on_open = [&](Session& session) {
    connected = true;
    session.send(std::move(first));
  };
  handler.session.on_messages = [&](Session& session, std::vector<wire::Message>&& messages) {
    for (wire::Message& message : messages) {
      if (end) return;
      const auto heard = hear(session, message);
      if (!heard) return end_with(heard.error());
      if (heard.value() == Heard::all) end_with(boost::outcome_v2::success());
    }
  };
  handler.session.on_close = [&](SessionId, const Error& why) { end_with(why); };
  handler.on_retry = [](const Error&, int) {};  // there is none
  handler.on_final = [&](const Error& why) { end_with(why); };

  const std::string name = head_names(head.address, head.port);
  const TimePoint now = EventLoop::now();
  const auto deadline = loop.call_at(now + limits::handshake_deadline, [&] {
    if (connected) return;  // from here on the session itself notices a head that is gone
    end_with(fail(ErrorCode::unreachable, "the head at " + name + " does not answer"));
  });
  const auto notice = loop.call_at(now + limits::connecting_notice_after, [&] {
    if (!connected) options.on_slow(name);
  });
  std::unique_ptr<Timer> last;
  if (options.answer_within) {
    last = loop.call_at(now + *options.answer_within, [&] {
      end_with(fail(ErrorCode::unreachable, "the head at " + name + " did not answer in time"));
    });
  }
  const auto connector = connect(loop, connect_options(head, options.role), std::move(handler));
  loop.run();
  return *end;
}

Result<std::string> ask_status(const HeadAccess& head, const AskOptions& options) {
  std::string json;
  const auto hear = [&](Session&, wire::Message& message) -> Result<Heard> {
    const auto* reply = std::get_if<wire::StatusReply>(&message);
    if (!reply) return Heard::not_all;
    json = std::string(reply->json.view());
    return Heard::all;
  };
  BOOST_OUTCOME_TRYV(ask(head, wire::StatusRequest{}, hear, options));
  return json;
}

}  // namespace dc::net

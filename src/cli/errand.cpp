// See errand.hpp.
#include "cli/errand.hpp"

#include <fmt/format.h>

#include <utility>

#include "core/output.hpp"
#include "core/paths.hpp"
#include "net/head_address.hpp"

namespace dc::cli {

Errand::Errand(const HeadAccess& access, wire::Role role, wire::Message first, OnMessage on_message)
    : first_(std::move(first)), on_message_(std::move(on_message)) {
  options_.address = access.address;
  options_.port = access.port;
  options_.unix_path = paths::head_socket(access.port);
  options_.fingerprint = access.fingerprint;
  options_.known_heads = paths::known_heads();
  options_.secret.password = access.password;
  options_.role = role;
  if (role == wire::Role::client) options_.id = net::random_id();
  options_.reconnect = false;
}

void Errand::done() {
  finished_ = true;
  loop_.stop();
}

void Errand::fail_with(Error error) {
  problem_ = std::move(error);
  loop_.stop();
}

Result<void> Errand::run() {
  net::Connector::Handler handler;
  handler.session.on_open = [this](net::Session& session) {
    connected_ = true;
    session.send(first_);
  };
  handler.session.on_messages = [this](net::Session& session, std::vector<wire::Message>&& messages) {
    for (wire::Message& message : messages) {
      if (finished_ || problem_) return;
      on_message_(session, message);
    }
  };
  handler.session.on_close = [this](SessionId, const Error& why) { fail_with(why); };
  handler.on_retry = [](const Error&, int) {};
  handler.on_final = [this](const Error& error) { fail_with(error); };
  const auto deadline = loop_.call_at(net::EventLoop::now() + limits::handshake_deadline, [this] {
    if (connected_) return;  // from here on the session itself notices a head that is gone
    fail_with(fail(ErrorCode::unreachable,
                   fmt::format("the head at {} does not answer", net::head_names(options_.address, options_.port))));
  });
  const auto notice = loop_.call_at(net::EventLoop::now() + limits::connecting_notice_after, [this] {
    if (connected_) return;
    output::to_stderr(fmt::format(
        "distributed-computing: the head at {} has not answered so far: trying on, for {} s in all\n",
        net::head_names(options_.address, options_.port), std::chrono::seconds(limits::handshake_deadline).count()));
  });
  const auto connector = net::connect(loop_, options_, std::move(handler));
  loop_.run();
  if (finished_) return boost::outcome_v2::success();
  return *problem_;
}

}  // namespace dc::cli

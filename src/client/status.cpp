// What a client asks of a head on a session of its own: its state, or what the script of a named pool defines.
#include <utility>

#include "client/pool_client_impl.hpp"
#include "net/ask.hpp"

namespace dc::client {
namespace {

constexpr auto status_timeout = 10s;
constexpr auto definitions_timeout = 60s;

net::HeadAccess access_of(const ClientOptions& to) {
  return {to.address, to.port, to.password, to.fingerprint, to.unix_path};
}

net::AskOptions within(Duration timeout) {
  net::AskOptions options;
  options.answer_within = timeout;
  return options;
}

}  // namespace

Result<std::string> head_status(const net::HeadAccess& head) { return net::ask_status(head, within(status_timeout)); }

Result<std::string> PoolClient::head_status() const { return client::head_status(access_of(impl_->options)); }

Result<std::pair<Payload, std::vector<Payload>>> PoolClient::definitions(std::uint64_t spec_bytes) const {
  const std::string& name = impl_->options.name;
  std::pair<Payload, std::vector<Payload>> all;
  const auto hear = [&](net::Session& session, wire::Message& message) -> Result<net::Heard> {
    auto* seen = std::get_if<wire::DefinitionsSeen>(&message);
    if (!seen) return net::Heard::not_all;
    if (!seen->known) return fail(ErrorCode::rejected, "the head does not have pool '" + name + "' any more");
    if (all.second.empty() && !seen->spec.empty()) all.first = seen->spec.compact();
    for (const Payload& update : seen->updates) all.second.push_back(update.compact());
    if (!seen->more) return net::Heard::all;
    session.send(wire::SeeDefinitions{name, 0, all.second.size()});
    return net::Heard::not_all;
  };
  BOOST_OUTCOME_TRYV(net::ask(access_of(impl_->options), wire::SeeDefinitions{name, spec_bytes, 0}, hear,
                              within(definitions_timeout)));
  return all;
}

}  // namespace dc::client

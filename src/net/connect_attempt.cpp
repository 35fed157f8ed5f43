// One attempt to open a session at one place: dial, check the head's key, shake hands, and see whether the head is one
// to believe.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/log.hpp"
#include "net/aside.hpp"
#include "net/connector_impl.hpp"
#include "net/known_heads.hpp"

namespace dc::net {
namespace {

/// A sentence about a peer that answers, but not as a head does.
Error not_a_head(const std::string& head, const Error& why) {
  if (why.code == ErrorCode::protocol) {
    return fail(ErrorCode::protocol,
                fmt::format("something answers at {}, but it is not a head of distributed computing "
                            "({}): check address and port",
                            head, why.message));
  }
  return fail(why.code, fmt::format("the head at {} broke the connection off before it was ready ({}): is it shutting "
                                    "down, or is something else listening there?",
                                    head, why.message));
}

}  // namespace

void ConnectorImpl::try_place(Place& place) {
  ++place.attempt_number;
  place.attempt.emplace();
  place.attempt->deadline = loop_.call_at(
      EventLoop::now() + options_.handshake_deadline, in_attempt(place, [](ConnectorImpl& self, Place& silent) {
        const double seconds = std::chrono::duration<double>(self.options_.handshake_deadline).count();
        self.failed(silent, fail(ErrorCode::unreachable,
                                 fmt::format("the head at {} does not answer (for {} s): is it running, "
                                             "and does a firewall stand between?",
                                             silent.name, seconds)));
      }));
  const HeadAddress& address = place.address;
  place.attempt->dialer = dial(loop_, {address.host, address.port, address.own_port ? "" : options_.unix_path},
                               in_attempt(place, [](ConnectorImpl& self, Place& reached, Result<Dialed> dialed) {
                                 self.on_socket(reached, std::move(dialed));
                               }));
}

void ConnectorImpl::on_socket(Place& place, Result<Dialed> dialed) {
  if (!dialed) return failed(place, dialed.error());
  place.attempt->address = dialed.value().address;
  place.attempt->dialed = std::move(dialed.value());
  const bool key_matters = place.attempt->address != "unix" && options_.fingerprint.empty();
  return key_matters && !options_.known_heads.empty() ? read_known_key(place) : open_channel(place);
}

/// On another thread, and one at a time: the file may stand on a disk that hangs. An attempt that finds it being read
/// waits for that.
void ConnectorImpl::read_known_key(Place& place) {
  if (std::exchange(place.reading, true)) return;
  aside(
      loop_, [file = options_.known_heads, head = place.name] { return known_head(file, head); },
      weakly([&place](ConnectorImpl& self, const std::optional<std::string>& known) {
        place.reading = false;
        place.known_key = known;
        if (place.attempt && place.attempt->dialed) self.open_channel(place);
      }));
}

void ConnectorImpl::open_channel(Place& place) {
  Dialed dialed = std::move(*place.attempt->dialed);
  place.attempt->dialed.reset();
  const bool local = place.attempt->address == "unix";
  ChannelOptions options{
      .handshake_deadline = options_.handshake_deadline,
      .idle_timeout = options_.idle_timeout,
      .host = place.name,
      .on_key = [this, &place](const std::string& fingerprint) { return check_key(place, fingerprint); },
      .on_http = {}};
  auto on_ready = in_attempt(
      place, [](ConnectorImpl& self, Place& from, Result<void> ready) { self.on_channel(from, std::move(ready)); });
  place.attempt->channel = (local ? connect_channel : connect_tls_channel)(std::move(dialed.socket), std::move(options),
                                                                           std::move(on_ready));
}

/// Before the first byte of the password proof.
Result<void> ConnectorImpl::check_key(Place& place, const std::string& fingerprint) {
  const std::string& head = place.name;
  place.attempt->fingerprint = fingerprint;
  if (!options_.fingerprint.empty()) {
    // All have the same length.
    if (options_.fingerprint.find(fingerprint) != std::string::npos) return boost::outcome_v2::success();
    return fail(ErrorCode::rejected,
                fmt::format("the head at {} has the key {}, not {}: it is another head, or someone listens in between. "
                            "The head shows its fingerprint when it starts",
                            head, fingerprint, options_.fingerprint));
  }
  if (options_.known_heads.empty()) return boost::outcome_v2::success();
  const std::optional<std::string>& known = place.known_key;
  if (!known || *known == fingerprint) return boost::outcome_v2::success();
  return fail(
      ErrorCode::rejected,
      fmt::format("the head at {} has another key than before ({}, not {}): someone may be listening in between. "
                  "If it was set up anew, remove the line of {} from {}",
                  head, fingerprint, *known, head, options_.known_heads));
}

/// The first key that proves the password is the one to expect from now on. Nobody waits until it is written.
void ConnectorImpl::remember_key(const Place& place) {
  const std::string& file = options_.known_heads;
  const std::string& fingerprint = place.attempt->fingerprint;
  if (fingerprint.empty() || !options_.fingerprint.empty() || file.empty()) return;
  if (place.known_key) return;
  aside(
      loop_,
      [file, head = place.name, fingerprint] {
        if (known_head(file, head)) return std::string();  // another process was quicker
        const auto kept = remember_head(file, head, fingerprint);
        return kept ? std::string() : kept.error().message;
      },
      [head = place.name](const std::string& problem) {
        if (!problem.empty()) log::warning("the key of the head at {} is not remembered: {}", head, problem);
      });
}

void ConnectorImpl::on_channel(Place& place, Result<void> ready) {
  if (!ready && ready.error().code == ErrorCode::rejected) return failed(place, ready.error());
  if (!ready) return failed(place, not_a_head(place.name, ready.error()));
  Attempt& attempt = *place.attempt;
  attempt.handshake.emplace(options_.secret, PeerHandshake::Facts{options_.role, options_.id, term_}, salted_passwords_,
                            attempt.channel->channel_binding());
  attempt.channel->listen({
      .on_frame =
          in_attempt(place, [](ConnectorImpl& self, Place& from, std::shared_ptr<const void> frame,
                               std::span<const std::byte> bytes) { self.on_frame(from, std::move(frame), bytes); }),
      .on_written =
          in_attempt(place, [](ConnectorImpl&, Place& to) { to.attempt->writer.written(*to.attempt->channel); }),
      .on_closed = in_attempt(place, [](ConnectorImpl& self, Place& from,
                                        const Error& why) { self.failed(from, not_a_head(from.name, why)); }),
  });
  HandshakeStep first = attempt.handshake->begin();
  if (!first.send) return failed(place, first.error);
  attempt.writer.write(*attempt.channel, std::move(*first.send));
}

void ConnectorImpl::on_frame(Place& place, std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
  HandshakeStep step = place.attempt->handshake->on_frame(bytes, std::move(frame));
  switch (step.then) {
    case HandshakeStep::Then::wait:
      return place.attempt->writer.write(*place.attempt->channel, std::move(*step.send));
    case HandshakeStep::Then::open:
      return open(place);
    case HandshakeStep::Then::fail:
      if (step.error.code == ErrorCode::rejected) {
        return failed(place, fail(ErrorCode::rejected,
                                  fmt::format("the head at {} refused: {}", place.name, step.error.message)));
      }
      return failed(place, not_a_head(place.name, step.error));
  }
}

/// Whether this is not a head whose place another has taken: one that was frozen, or cut off, and does not know it yet.
/// Nothing that it says is believed. Ends the attempt if it is one.
bool ConnectorImpl::believed(Place& place) {
  const std::uint64_t term = place.attempt->handshake->peer().term;
  if (term > term_) {
    term_ = term;
    term_from_ = place.name;
  }
  if (term == 0 || term == term_) return true;
  const std::string sentence = fmt::format(
      "the head at {} is no longer the head: its term is {}, and the one at {} has told of term {}. Nothing that it "
      "says "
      "is believed.",
      place.name, term, term_from_, term_);
  if (std::exchange(place.stale_term, term) != term) log::warning("{}", sentence);
  failed(place, fail(ErrorCode::fenced, sentence));
  return false;
}

void ConnectorImpl::open(Place& place) {
  if (!believed(place)) return;
  remember_key(place);
  turn_.reset();
  first_ = place.index;
  Attempt& attempt = *place.attempt;
  Peer peer = attempt.handshake->peer();
  peer.address = attempt.address;
  peer.head = place.name;
  wire::FrameReader::Options reader;
  reader.payload_bytes_max = peer.payload_bytes_max;
  reader.assembly_bytes_max = std::max(peer.payload_bytes_max, peer.payload_bytes_max * 2);
  reader.allocate = options_.allocate;
  session_ = std::make_shared<SessionImpl>(
      loop_, std::move(peer), attempt.channel, std::move(reader),
      SessionImpl::Events{
          .on_messages = weakly([](ConnectorImpl& self, SessionImpl& from, std::vector<wire::Message>&& messages) {
            self.handler_.session.on_messages(from, std::move(messages));
          }),
          .on_closed = weakly([](ConnectorImpl& self, SessionImpl&, const Error& why) { self.on_closed(why); }),
      });
  session_->begin(attempt.writer.writing(), std::nullopt);
  attempt.channel.reset();  // it is the session's now
  end_attempts();
  failures_ = 0;
  opened_ = EventLoop::now();
  handler_.session.on_open(*session_);
}

}  // namespace dc::net

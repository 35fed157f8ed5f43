// One attempt to open a session at one place: dial, check the head's key, shake hands, and see whether the head is one
// to believe.
#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "core/log.hpp"
#include "core/signals_blocked.hpp"
#include "net/aside.hpp"
#include "net/connector_impl.hpp"

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
  place.refusal.clear();
  place.attempt->deadline = loop_.call_at(
      EventLoop::now() + options_.handshake_deadline, in_attempt(place, [](ConnectorImpl& self, Place& silent) {
        const double seconds = std::chrono::duration<double>(self.options_.handshake_deadline).count();
        const Error error =
            fail(ErrorCode::unreachable, fmt::format("the head at {} does not answer (for {} s): is it running, "
                                                     "and does a firewall stand between?",
                                                     silent.name, seconds));
        const bool somebody_listens = silent.attempt->channel != nullptr;
        return self.had_session_ && somebody_listens ? self.not_the_head(silent, error) : self.failed(silent, error);
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
  const bool keys_matter = place.attempt->address != "unix" && options_.fingerprint.empty();
  return keys_matter && !options_.known_heads.empty() && !known_heads_ ? read_known_heads(place) : open_channel(place);
}

/// On another thread, and one at a time: the file may stand on a disk that hangs. An attempt that finds it being read
/// waits for that.
void ConnectorImpl::read_known_heads(Place& place) {
  if (std::exchange(place.reading, true)) return;
  aside(
      loop_, [file = options_.known_heads] { return KnownHeads::read(file); },
      weakly([&place](ConnectorImpl& self, const Result<KnownHeads>& known) {
        place.reading = false;
        if (!place.attempt || !place.attempt->dialed) return;
        if (!known) return self.ended_early(place, known.error());
        self.known_heads_ = known.value();
        self.open_channel(place);
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
      .on_http = {},
      .turn = {}};
  auto on_ready = in_attempt(
      place, [](ConnectorImpl& self, Place& from, Result<void> ready) { self.on_channel(from, std::move(ready)); });
  place.attempt->channel = (local ? connect_channel : connect_tls_channel)(std::move(dialed.socket), std::move(options),
                                                                           std::move(on_ready));
}

/// Before the first byte of the password proof.
Result<void> ConnectorImpl::check_key(Place& place, const std::string& fingerprint) {
  const std::string& head = place.name;
  place.attempt->fingerprint = fingerprint;
  if (fingerprint.empty()) {
    return fail(ErrorCode::rejected, fmt::format("the head at {} shows no key: it is none, or someone listens in "
                                                 "between",
                                                 head));
  }
  if (options_.fingerprint.empty()) return check_known_key(place, fingerprint);
  std::istringstream expected(options_.fingerprint);
  for (std::string one; std::getline(expected, one, ',');) {
    if (one == fingerprint) return boost::outcome_v2::success();
  }
  return fail(ErrorCode::rejected,
              fmt::format("the head at {} has the key {}, not {}: it is another head, or someone listens in between. "
                          "The head shows its fingerprint when it starts",
                          head, fingerprint, options_.fingerprint));
}

/// A key that differs is looked up anew at the next attempt: somebody may remove the line meanwhile.
Result<void> ConnectorImpl::check_known_key(Place& place, const std::string& fingerprint) {
  if (!known_heads_) return boost::outcome_v2::success();
  const auto* entry = known_heads_->find(place.address.host, place.address.port);
  if (!entry || entry->fingerprint == fingerprint) return boost::outcome_v2::success();
  const KnownHeads::Entry known = *entry;
  known_heads_.reset();
  return fail(
      ErrorCode::rejected,
      fmt::format("the head at {} has another key than before ({}, not {}): someone may be listening in between. "
                  "If it was set up anew, remove the line of {} (line {}) from {}",
                  place.name, fingerprint, known.fingerprint, known.name, known.line, options_.known_heads));
}

/// Whether the key of this attempt is one that belongs to a head of ours, so that what it says is to be believed.
/// Nobody but our own user listens on the Unix socket.
bool ConnectorImpl::right_key(const Place& place) const {
  if (place.attempt->address == "unix") return true;
  const std::string& shown = place.attempt->fingerprint;
  if (shown.empty()) return false;
  if (!options_.fingerprint.empty()) return true;  // it was compared
  if (known_heads_ && known_heads_->find(place.address.host, place.address.port)) return true;
  return std::any_of(places_.begin(), places_.end(), [&](const Place& other) { return other.key == shown; });
}

/// The first key that proves the password is the one to expect from now on. Written down by a thread: the file system
/// must not hold up a session.
void ConnectorImpl::remember_key(Place& place) {
  const std::string& fingerprint = place.attempt->fingerprint;
  place.key = fingerprint;
  if (fingerprint.empty() || !known_heads_) return;
  const HeadAddress& address = place.address;
  if (known_heads_->find(address.host, address.port)) return;
  known_heads_->add(address.host, address.port, fingerprint);
  const SignalsBlocked blocked;
  remembering_.emplace_back([file = options_.known_heads, address, fingerprint] {
    const auto kept = remember_head(file, address.host, address.port, fingerprint);
    if (!kept) log::warning("the key of the head at {} is not remembered: {}", address.name(), kept.error().message);
  });
}

void ConnectorImpl::on_channel(Place& place, Result<void> ready) {
  if (!ready) return ended_early(place, ready.error());
  Attempt& attempt = *place.attempt;
  attempt.handshake.emplace(options_.secret, PeerHandshake::Facts{options_.role, options_.id, term_}, salted_passwords_,
                            attempt.channel->channel_binding());
  attempt.channel->listen({
      .on_frame =
          in_attempt(place, [](ConnectorImpl& self, Place& from, std::shared_ptr<const void> frame,
                               std::span<const std::byte> bytes) { self.on_frame(from, std::move(frame), bytes); }),
      .on_written =
          in_attempt(place, [](ConnectorImpl&, Place& to) { to.attempt->writer.written(*to.attempt->channel); }),
      .on_closed =
          in_attempt(place, [](ConnectorImpl& self, Place& from, const Error& why) { self.ended_early(from, why); }),
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
      if (step.error.code != ErrorCode::rejected) return ended_early(place, step.error);
      const Error error =
          fail(ErrorCode::rejected, fmt::format("the head at {} refused: {}", place.name, step.error.message));
      return had_session_ && !right_key(place) ? not_the_head(place, error) : refused(place, error);
  }
}

/// The key is wrong, or the peer broke off or talked nonsense.
void ConnectorImpl::ended_early(Place& place, const Error& why) {
  if (why.code == ErrorCode::invalid && !had_session_) {  // our own list of keys cannot be read
    end_attempt(place);
    return give_up(why);
  }
  const bool of_the_key = why.code == ErrorCode::rejected || why.code == ErrorCode::invalid;
  if (of_the_key) return had_session_ ? not_the_head(place, why) : refused(place, why);
  const Error error = not_a_head(place.name, why);
  return had_session_ && why.code == ErrorCode::protocol ? not_the_head(place, error) : failed(place, error);
}

/// For a peer that has had a session, somebody else on the port is an outage like any other: the head is down, perhaps,
/// and anybody on its machine may have taken the port meanwhile.
void ConnectorImpl::not_the_head(Place& place, Error error) {
  if (place.strangers_told.insert(error.code).second) {
    log::warning("{}. This is not believed to be the head; it is tried again until the head is back.", error.message);
  }
  failed(place, fail(ErrorCode::unreachable, std::move(error.message)));
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
      loop_, std::move(peer), attempt.channel, std::move(reader), wire::ways_to(options_.role),
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
  had_session_ = true;
  place.strangers_told.clear();
  opened_ = EventLoop::now();
  handler_.session.on_open(*session_);
}

}  // namespace dc::net

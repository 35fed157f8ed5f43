// The two sides of the handshake; see handshake.hpp.
#include "net/handshake.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "wire/codec.hpp"

namespace dc::net {
namespace {

using Then = HandshakeStep::Then;

constexpr std::size_t name_bytes_max = 64;       ///< of a host or a version
constexpr std::size_t handshake_array_max = 64;  ///< its messages have less than ten fields

HandshakeStep failed(Error error) { return {std::nullopt, Then::fail, std::move(error)}; }

HandshakeStep rejected(std::string reason, const std::string& message) {
  return {frame_of(wire::Rejected{std::move(reason), message}), Then::fail, fail(ErrorCode::rejected, message)};
}

/// A sentence of the peer, or ours when it has none.
std::string said(std::string_view sentence, std::string_view ours) {
  return sentence.empty() ? std::string(ours) : printable(sentence);
}

HandshakeStep out_of_turn() {
  return failed(fail(ErrorCode::protocol, "the peer sent something else than its part of the handshake"));
}

/// What the password proof covers besides the password.
std::string identity_of(wire::Role role, std::uint64_t id) {
  const char* name = "";
  switch (role) {
    case wire::Role::client:
      name = "client";
      break;
    case wire::Role::node:
      name = "node";
      break;
    case wire::Role::viewer:
      name = "viewer";
      break;
  }
  return fmt::format("{}-{:016x}", name, id);
}

/// Exactly one message, not large, in a batch frame.
Result<wire::Message> read_one(std::span<const std::byte> bytes, std::shared_ptr<const void> frame) {
  if (bytes.size() < 2 || bytes.size() > limits::handshake_frame_bytes_max || bytes[0] != std::byte{0}) {
    return fail(ErrorCode::protocol, "the peer's frame is no handshake");
  }
  return wire::decode(bytes.subspan(1), std::move(frame), {}, handshake_array_max);
}

/// The first two fields of Hello, which stay where they are in every version of the protocol.
struct ForeignHello {
  std::uint32_t protocol{};
  std::string version;
};
std::optional<ForeignHello> read_foreign_hello(std::span<const std::byte> bytes) {
  if (bytes.size() < 2 || bytes.size() > limits::handshake_frame_bytes_max) return std::nullopt;
  try {
    wire::ObjectReader reader(reinterpret_cast<const char*>(bytes.data()) + 1, bytes.size() - 1, handshake_array_max);
    const auto message = reader.next().as<std::vector<msgpack::object>>();
    if (message.size() != 2 || message[0].as<std::uint8_t>() != wire::Hello::type) return std::nullopt;
    const auto fields = message[1].as<std::vector<msgpack::object>>();
    if (fields.size() < 2) return std::nullopt;
    return ForeignHello{fields[0].as<std::uint32_t>(), fields[1].as<std::string>()};
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

HandshakeStep wrong_version(const ForeignHello& hello) {
  return rejected("version", fmt::format("the head has distributed computing {} (protocol {}), this side has {} "
                                         "(protocol {}): install the same version on both",
                                         product_version, limits::protocol_version,
                                         printable(hello.version, name_bytes_max), hello.protocol));
}

}  // namespace

wire::Frame frame_of(wire::Message message) {
  wire::FrameWriter writer;
  writer.push(std::move(message), wire::control_lane);
  return writer.next();
}

// --- Head -------------------------------------------------------------------------------------------------------

HeadHandshake::HeadHandshake(const ScramVerifier& verifier, Facts facts, std::string channel_binding)
    : scram_(verifier, std::move(channel_binding)), facts_(facts) {}

HandshakeStep HeadHandshake::on_frame(std::span<const std::byte> bytes, std::shared_ptr<const void> frame) {
  if (!greeted_) {
    const auto hello = read_foreign_hello(bytes);
    if (hello && hello->protocol != limits::protocol_version) return wrong_version(*hello);
  }
  const auto message = read_one(bytes, std::move(frame));
  if (!message) return failed(message.error());
  if (const auto* hello = std::get_if<wire::Hello>(&message.value()); hello && !greeted_) return on_hello(*hello);
  if (const auto* proof = std::get_if<wire::Proof>(&message.value()); proof && greeted_) return on_proof(*proof);
  return out_of_turn();
}

HandshakeStep HeadHandshake::on_hello(const wire::Hello& hello) {
  greeted_ = true;
  identity_ = identity_of(hello.role, hello.peer);
  peer_ = {.role = hello.role,
           .id = hello.peer,
           .host = printable(hello.host, name_bytes_max),
           .pid = hello.pid,
           .version = printable(hello.version, name_bytes_max),
           .address = {},
           .epoch = {},
           .payload_bytes_max = {},
           .term = hello.term,
           .head = {}};
  auto answer = scram_.answer(hello.proof);
  if (!answer) return failed(answer.error());
  return {frame_of(wire::Proof{std::move(answer.value())}), Then::wait, {}};
}

HandshakeStep HeadHandshake::on_proof(const wire::Proof& proof) {
  auto final_text = scram_.finish(proof.proof);
  if (!final_text && final_text.error().code == ErrorCode::rejected) {
    return rejected("password", final_text.error().message);
  }
  if (!final_text) return failed(final_text.error());
  if (scram_.identity() != identity_) return rejected("role", "the role is not the one that was proved");
  return {frame_of(wire::Welcome{product_version, facts_.epoch, static_cast<std::uint32_t>(getpid()), host_name(),
                                 facts_.payload_bytes_max, std::move(final_text.value()), facts_.term}),
          Then::open,
          {}};
}

// --- Connecting side --------------------------------------------------------------------------------------------

PeerHandshake::PeerHandshake(const Secret& secret, Facts facts, SaltedPasswords& cache, std::string channel_binding)
    : scram_(secret.password, identity_of(facts.role, facts.id), cache, std::move(channel_binding)), facts_(facts) {}

HandshakeStep PeerHandshake::begin() {
  auto first = scram_.first();
  if (!first) return failed(first.error());
  return {frame_of(wire::Hello{limits::protocol_version, product_version, facts_.role, facts_.id, host_name(),
                               static_cast<std::uint32_t>(getpid()), std::move(first.value()), facts_.term}),
          Then::wait,
          {}};
}

HandshakeStep PeerHandshake::on_frame(std::span<const std::byte> bytes, std::shared_ptr<const void> frame) {
  const auto message = read_one(bytes, std::move(frame));
  if (!message) return failed(message.error());
  if (const auto* proof = std::get_if<wire::Proof>(&message.value()); proof && !proved_) return on_proof(*proof);
  if (const auto* welcome = std::get_if<wire::Welcome>(&message.value()); welcome && proved_) {
    return on_welcome(*welcome);
  }
  if (const auto* refusal = std::get_if<wire::Rejected>(&message.value())) {
    return failed(fail(ErrorCode::rejected, said(refusal->message, "the head refuses this side and does not say why")));
  }
  if (const auto* goodbye = std::get_if<wire::Goodbye>(&message.value())) {
    return failed(fail(ErrorCode::unreachable, said(goodbye->message, "the head ended the session")));
  }
  return out_of_turn();
}

HandshakeStep PeerHandshake::on_proof(const wire::Proof& proof) {
  auto answer = scram_.answer(proof.proof);
  if (!answer) return failed(answer.error());
  proved_ = true;
  return {frame_of(wire::Proof{std::move(answer.value())}), Then::wait, {}};
}

HandshakeStep PeerHandshake::on_welcome(const wire::Welcome& welcome) {
  if (auto proved = scram_.finish(welcome.proof); !proved) return failed(proved.error());
  peer_ = {.role = {},
           .id = 0,
           .host = printable(welcome.host, name_bytes_max),
           .pid = welcome.pid,
           .version = printable(welcome.version, name_bytes_max),
           .address = {},
           .epoch = welcome.epoch,
           .payload_bytes_max = welcome.payload_bytes_max,
           .term = welcome.term,
           .head = {}};
  return {std::nullopt, Then::open, {}};
}

}  // namespace dc::net

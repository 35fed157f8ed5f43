// How a session begins, as two machines without a socket: Hello -> Proof -> Proof -> Welcome, or Rejected.
// Each takes the frames that arrive and says what to send and whether the session is open.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "core/printable.hpp"
#include "core/result.hpp"
#include "core/version.hpp"
#include "net/channel.hpp"
#include "net/scram.hpp"
#include "net/session.hpp"
#include "wire/framing.hpp"
#include "wire/messages.hpp"

namespace dc::net {

/// For people; peers compare limits::protocol_version.
inline constexpr const char* product_version = dc::version;

/// What to do after a frame. `send` is one frame, or empty.
struct HandshakeStep {
  enum class Then { wait, open, fail };
  std::optional<wire::Frame> send;
  Then then = Then::wait;
  Error error;  ///< when it failed; with something to send that goes out first
};

/// The head's side.
class HeadHandshake {
 public:
  struct Facts {
    std::uint32_t epoch{};
    std::uint64_t payload_bytes_max{};
    std::uint64_t term = 0;
  };
  /// `verifier` outlives this object.
  HeadHandshake(const ScramVerifier& verifier, Facts facts, std::string channel_binding = {});
  HandshakeStep on_frame(std::span<const std::byte> bytes, std::shared_ptr<const void> frame);
  /// Who it is, once open. `address` is left empty.
  [[nodiscard]] const Peer& peer() const { return peer_; }

 private:
  HandshakeStep on_hello(const wire::Hello& hello);
  HandshakeStep on_proof(const wire::Proof& proof);

  ScramServer scram_;
  Facts facts_;
  std::string identity_;
  Peer peer_;
  bool greeted_ = false;
};

/// The connecting side.
class PeerHandshake {
 public:
  struct Facts {
    wire::Role role{};
    std::uint64_t id{};
    std::uint64_t term = 0;  ///< the highest that a head has told this side
  };
  /// `cache` outlives this object.
  PeerHandshake(const Secret& secret, Facts facts, SaltedPasswords& cache, std::string channel_binding = {});
  /// The first frame to send.
  HandshakeStep begin();
  HandshakeStep on_frame(std::span<const std::byte> bytes, std::shared_ptr<const void> frame);
  /// The head, once open.
  [[nodiscard]] const Peer& peer() const { return peer_; }

 private:
  HandshakeStep on_proof(const wire::Proof& proof);
  HandshakeStep on_welcome(const wire::Welcome& welcome);

  ScramClient scram_;
  Facts facts_;
  Peer peer_;
  bool proved_ = false;
};

/// Writes the frames of a handshake one after the other. (The answer to a frame may arrive before the channel has
/// told that the frame is written.)
class HandshakeWriter {
 public:
  void write(Channel& channel, wire::Frame frame) {
    waiting_.push_back(std::move(frame));
    if (!writing_) next(channel);
  }
  void written(Channel& channel) {
    writing_ = false;
    if (!waiting_.empty()) next(channel);
  }
  [[nodiscard]] bool writing() const { return writing_; }

 private:
  void next(Channel& channel) {
    writing_ = true;
    wire::Frame frame = std::move(waiting_.front());
    waiting_.pop_front();
    channel.write(std::move(frame));
  }
  std::deque<wire::Frame> waiting_;
  bool writing_ = false;
};

/// One message alone in a frame.
wire::Frame frame_of(wire::Message message);

}  // namespace dc::net

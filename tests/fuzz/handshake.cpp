// A stranger's bytes against either side of the handshake. Nobody gets in without the password; nothing that is sent
// back is large.
#include <optional>

#include "input.hpp"
#include "net/handshake.hpp"

using namespace dc;

namespace {

constexpr std::size_t answer_bytes_max = 1024;
const net::ScramVerifier verifier = net::ScramVerifier::of("the password", "0123456789abcdef", 4096);
const std::string binding(32, 'b');

template <class Side>
void feed(Side& side, fuzz::Input& input) {
  while (!input.empty()) {
    const fuzz::Owned frame(input.piece());
    const net::HandshakeStep step = side.on_frame(frame.bytes(), frame.memory);
    if (step.send && step.send->head.size() + step.send->body.size() > answer_bytes_max)
      fuzz::broken("a stranger gets a long answer");
    if (step.then == net::HandshakeStep::Then::open) fuzz::broken("a session opens without the password");
    if (step.then == net::HandshakeStep::Then::fail) {
      if (step.error.message.empty()) fuzz::broken("a refusal without a reason");
      return;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static net::SaltedPasswords salted;
  fuzz::Input input(data, size);
  const std::uint8_t choice = input.byte();
  const std::string bound = (choice & 2) != 0 ? binding : "";
  if ((choice & 1) == 0) {
    net::HeadHandshake head(verifier, {77, 1 << 20}, bound);
    feed(head, input);
  } else {
    const net::Secret secret{"the password"};
    net::PeerHandshake peer(secret, {wire::Role::client, 100}, salted, bound);
    peer.begin();
    feed(peer, input);
  }
  return 0;
}

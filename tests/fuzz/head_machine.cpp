// What clients, nodes and viewers may say once they have proved the password: any message, at any time, from anybody.
// Head and scheduler stay in agreement.
#include <array>

#include "head/head_machine.hpp"
#include "input.hpp"
#include "wire/framing.hpp"

using namespace dc;
using namespace std::chrono_literals;

namespace {

/// Sessions 1 and 2 are clients, 3 and 4 nodes, 5 a viewer.
constexpr std::uint64_t peers = 5;

class Scene {
 public:
  Scene() {
    for (std::uint64_t i = 1; i <= peers; ++i) open(i);
  }
  void open(std::uint64_t i) {
    sessions_[i] = ++latest_;
    const auto role = i <= 2 ? wire::Role::client : i <= 4 ? wire::Role::node : wire::Role::viewer;
    machine_.session_opened(SessionId{latest_}, {role, i * 100, "host", 1, "unix"}, now_, effects_);
  }
  void close(std::uint64_t i) {
    if (const std::uint64_t session = std::exchange(sessions_[i], 0))
      machine_.session_closed({session}, now_, effects_);
  }
  void hear(std::uint64_t i, wire::Message&& message) {
    if (sessions_[i] == 0) return;
    std::vector<wire::Message> messages;
    messages.push_back(std::move(message));
    machine_.on_messages({sessions_[i]}, std::move(messages), now_, effects_);
  }
  void turn(Duration later) {
    now_ += later;
    machine_.flush(now_, effects_);
    machine_.check_invariants();
    for (const head::Effect& effect : std::exchange(effects_, {})) carry_out(effect);
  }
  [[nodiscard]] bool is_open(std::uint64_t i) const { return sessions_[i] != 0; }

 private:
  void carry_out(const head::Effect& effect) {
    if (const auto* asked = std::get_if<head::HashProgram>(&effect)) {
      machine_.program_hashed(head::HashProgram(*asked), asked->program.empty() ? "another" : asked->hash, now_,
                              effects_);
      return;
    }
    if (const auto* text = std::get_if<head::Log>(&effect); text && text->text.empty())
      fuzz::broken("an empty line in the log");
    const auto* closing = std::get_if<head::CloseSession>(&effect);
    if (!closing) return;
    if (closing->reason.empty()) fuzz::broken("a session is closed without a reason");
    for (std::uint64_t i = 1; i <= peers; ++i) {
      if (sessions_[i] == closing->session.value) close(i);
    }
  }

  TimePoint now_ = TimePoint{} + 1h;
  head::HeadMachine machine_{head::HeadFacts{77, 1, 8899, "head", "here"}, now_};
  head::Effects effects_;
  std::array<std::uint64_t, peers + 1> sessions_{};
  std::uint64_t latest_ = 0;
};

}  // namespace

/// Steps: one byte says who (1 ... 5) and, with 0x80, that they come or go; 0 lets time pass, so many milliseconds as
/// the next two bytes say. All else is a message.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<Payload> beside(2, Payload(std::string(limits::inline_payload_max + 1, 'x')));
  fuzz::Input input(data, size);
  Scene scene;
  while (!input.empty()) {
    const std::uint8_t step = input.byte();
    const std::uint64_t who = (step & 0x7f) % (peers + 1);
    if (who == 0) {
      scene.turn(std::chrono::milliseconds(input.number()));
      continue;
    }
    if ((step & 0x80) != 0) {
      const bool was_open = scene.is_open(who);
      scene.close(who);
      if (!was_open) scene.open(who);
    } else {
      const fuzz::Owned bytes(input.piece());
      if (auto message = wire::decode(bytes.bytes(), bytes.memory, beside)) scene.hear(who, std::move(message.value()));
    }
    if ((step & 0x40) == 0) scene.turn(1ms);
  }
  scene.turn(1h);
  return 0;
}

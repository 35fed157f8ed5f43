// What clients, nodes and viewers may say once they have proved the password: any message, at any time, from anybody.
// Head and scheduler stay in agreement. Beside raw messages there are made-up ones, whose workers, jobs and pools are
// those that the head knows, or nearly so: what they say contradicts it in many ways.
#include <array>
#include <optional>
#include <vector>

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
    machine_.journaled(std::exchange(journaled_, {}), now_, effects_);
    machine_.flush(now_, effects_);
    machine_.check_invariants();
    for (const head::Effect& effect : std::exchange(effects_, {})) carry_out(effect);
  }
  /// Workers that were started, and what they were given, the latest last.
  [[nodiscard]] const std::vector<WorkerId>& workers() const { return workers_; }
  [[nodiscard]] const std::vector<PoolId>& pools() const { return pools_; }
  [[nodiscard]] const std::vector<Attempt>& attempts() const { return attempts_; }
  [[nodiscard]] bool is_open(std::uint64_t i) const { return sessions_[i] != 0; }

 private:
  static store::LogId log_of(std::string_view name) { return name.size(); }
  void carry_out(const head::Effect& effect) {
    if (const auto* asked = std::get_if<head::HashProgram>(&effect)) {
      machine_.program_hashed(head::HashProgram(*asked), asked->program.empty() ? "another" : asked->hash, now_,
                              effects_);
      return;
    }
    if (const auto* text = std::get_if<head::Log>(&effect); text && text->text.empty())
      fuzz::broken("an empty line in the log");
    if (const auto* append = std::get_if<head::JournalWrite>(&effect)) journaled_.push_back({append->ticket, ""});
    if (const auto* removal = std::get_if<head::JournalRemove>(&effect)) journaled_.push_back({removal->ticket, ""});
    if (const auto* send = std::get_if<head::Send>(&effect)) {
      if (const auto* opened = std::get_if<wire::PoolOpened>(&send->message)) pools_.push_back(opened->id);
      if (const auto* start = std::get_if<wire::StartWorker>(&send->message)) workers_.push_back(start->worker);
      const auto* run = std::get_if<wire::RunJobs>(&send->message);
      for (const wire::RunItem& item : run ? run->items : std::vector<wire::RunItem>{})
        attempts_.push_back(item.attempt);
    }
    const auto* closing = std::get_if<head::CloseSession>(&effect);
    if (!closing) return;
    if (closing->reason.empty()) fuzz::broken("a session is closed without a reason");
    for (std::uint64_t i = 1; i <= peers; ++i) {
      if (sessions_[i] == closing->session.value) close(i);
    }
  }

  TimePoint now_ = TimePoint{} + 1h;
  head::HeadMachine machine_{head::HeadFacts{77, 1, 8899, "head", "here", true, "a test", log_of}, now_};
  std::vector<store::Journaled> journaled_;
  std::vector<PoolId> pools_;
  std::vector<WorkerId> workers_;
  std::vector<Attempt> attempts_;
  head::Effects effects_;
  std::array<std::uint64_t, peers + 1> sessions_{};
  std::uint64_t latest_ = 0;
};

/// Messages whose fields are drawn from what is known at the head and from what cannot be.
class Liar {
 public:
  Liar(fuzz::Input& input, const Scene& scene) : input_(input), scene_(scene) {}

  wire::Message of_node() {
    const Payload small(std::string("x"));
    switch (input_.byte() % 10) {
      case 0: {
        wire::NodeState state{{{0, "cpu", 0}, {1, "cpu", 0}}, {{pool(), number() % 4, attempts()}}, {}, {}};
        for (int i = input_.byte() % 3; i > 0; --i)
          state.workers.push_back({worker(), pool(), input_.byte() % 3U, true, 1, number(), attempts()});
        return state;
      }
      case 1:
        return wire::WorkerReady{worker(), 1};
      case 2:
        return wire::WorkerExited{worker(), static_cast<ExitCause>(input_.byte() % 6), {}, attempts(), attempts()};
      case 3:
        return wire::JobsDone{worker(), pool(), {{attempt(), 1, small}, {attempt(), 1, small}}};
      case 4:
        return wire::JobFailed{worker(), pool(), attempt(), 1, {}, small};
      case 5:
        return wire::JobsRecalled{worker(), attempts()};
      case 6:
        return wire::UpdatesApplied{worker(), number(), {}};
      case 7:
        return wire::JobsParked{worker(), pool(), {{attempt(), number()}}};
      case 8:
        return wire::ResultsFull{pool(), input_.byte() % 2 == 0};
      default:
        return wire::SlotsChanged{{{input_.byte() % 3U, "cpu", 0}}};
    }
  }
  wire::Message of_client() {
    const Payload small(std::string("x"));
    switch (input_.byte() % 15) {
      case 0:
        return wire::OpenPool{pool(), {}, input_.byte() % 2 == 0, small};
      case 1:
        return wire::OpenPool{pool(), {}, false, small, "sweep", input_.byte() % 4 == 0, input_.byte() % 2 == 0};
      case 2:
        return wire::ResumePool{pool(), numbers()};
      case 3:
        return wire::ResumePool{pool(), numbers(), "sweep", number(), numbers()};
      case 4:
        return wire::SubmitJobs{pool(), {{number(), number() % 3, small, input_.byte() % 3 == 0 ? "key" : ""}}};
      case 5:
        return wire::AckOutcomes{pool(), numbers()};
      case 6:
        return wire::AddUpdate{pool(), number(), small};
      case 7:
        return wire::WantOutcomes{pool(), static_cast<std::uint32_t>(number()), input_.byte() % 2 == 0};
      case 8:
        return wire::WantWorkers{pool(), static_cast<std::uint32_t>(number())};
      case 9:
        return wire::HolderGone{pool(), ClientId{100 * number()}};
      case 10:
        return wire::ClosePool{pool(), true};
      case 11:
        return wire::PoolResumed{pool()};
      case 12:
        return wire::RepairPool{pool(), "sweep"};
      case 13:
        return wire::ForgetKeys{pool(), "sweep", {"key"}, input_.byte() % 2 == 0};
      default:
        return wire::ClosePool{pool(), false, input_.byte() % 4 == 0 ? "sweep" : ""};
    }
  }

 private:
  std::uint64_t number() {
    constexpr std::array<std::uint64_t, 8> all{0, 1, 2, 3, 4, 5, ~0ULL, 1ULL << 60};
    return all.at(input_.byte() % all.size());
  }
  std::vector<std::uint64_t> numbers() {
    std::vector<std::uint64_t> some(input_.byte() % 3);
    for (std::uint64_t& one : some) one = number();
    return some;
  }
  PoolId pool() {
    const PoolId asked{7000U + input_.byte() % 3U};
    return input_.byte() % 2 == 0 ? asked : latest(scene_.pools()).value_or(asked);
  }
  template <class Item>
  std::optional<Item> latest(const std::vector<Item>& all) {
    const std::size_t back = input_.byte() % 4U;
    return back < all.size() ? std::optional(all[all.size() - 1 - back]) : std::nullopt;
  }
  WorkerId worker() { return latest(scene_.workers()).value_or(WorkerId{input_.byte()}); }
  Attempt attempt() {
    return latest(scene_.attempts()).value_or(Attempt{number(), {77, static_cast<std::uint32_t>(number())}});
  }
  std::vector<Attempt> attempts() {
    std::vector<Attempt> some(input_.byte() % 3);
    for (Attempt& one : some) one = attempt();
    return some;
  }

  fuzz::Input& input_;
  const Scene& scene_;
};

}  // namespace

/// Steps: one byte says who (1 ... 5) and, with 0x80, that they come or go; 0 lets time pass, so many milliseconds as
/// the next two bytes say, or (0x80) somebody says something made up. All else is a message.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<Payload> beside(2, Payload(std::string(limits::inline_payload_max + 1, 'x')));
  fuzz::Input input(data, size);
  Scene scene;
  while (!input.empty()) {
    const std::uint8_t step = input.byte();
    const std::uint64_t who = (step & 0x7f) % (peers + 1);
    if (who == 0 && (step & 0x80) != 0) {
      const std::uint64_t speaker = 1 + input.byte() % (peers - 1);
      Liar liar(input, scene);
      wire::Message message = speaker <= 2 ? liar.of_client() : liar.of_node();
      scene.hear(speaker, std::move(message));
      if (!scene.is_open(speaker)) scene.open(speaker);
      if ((step & 0x40) == 0) scene.turn(1ms);
      continue;
    }
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

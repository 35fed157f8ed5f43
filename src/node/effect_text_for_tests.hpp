// For tests of the node machine: a world of one node, and its effects as lines of text, so that a test compares all of
// them.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/node_machine.hpp"

namespace dc::node {

inline constexpr WorkerId w1{1}, w2{2}, w3{3};

inline std::string text_of(const Attempt& attempt) {
  return fmt::format("{}.{}", attempt.sequence, attempt.token.attempt);
}
inline std::string text_of(const std::vector<Attempt>& attempts) {
  std::vector<std::string> texts;
  for (const Attempt& attempt : attempts) texts.push_back(text_of(attempt));
  return fmt::format("[{}]", fmt::join(texts, " "));
}
inline const char* text_of(ExitCause cause) {
  constexpr const char* names[] = {"requested", "died", "init_failed", "job_timeout", "drained", "out_of_memory"};
  return names[static_cast<int>(cause)];
}

struct MessageText {
  std::string operator()(const wire::NodeState& m) const {
    std::string text = "NodeState";
    for (const auto& pool : m.pools)
      text += fmt::format(" pool {}: updates {} finished {}", pool.pool.value, pool.updates, text_of(pool.finished));
    for (const auto& worker : m.workers) {
      text += fmt::format(" worker {}: pool {} slot {} {} pid {} updates {} held {}", worker.worker.value,
                          worker.pool.value, worker.slot, worker.ready ? "ready" : "starting", worker.pid,
                          worker.updates_applied, text_of(worker.held));
    }
    return m.programs.empty() ? text : text + fmt::format(" programs {}", m.programs);
  }
  std::string operator()(const wire::WorkerReady& m) const {
    return fmt::format("WorkerReady {} pid {}", m.worker.value, m.pid);
  }
  std::string operator()(const wire::WorkerExited& m) const {
    return fmt::format("WorkerExited {} {} running {} unstarted {}: {}", m.worker.value, text_of(m.cause),
                       text_of(m.running), text_of(m.unstarted), m.error.message);
  }
  std::string operator()(const wire::JobsDone& m) const {
    std::string text = fmt::format("JobsDone {}", m.worker.value);
    for (const auto& item : m.items)
      text += fmt::format(" {}={}", text_of(item.attempt), item.value.size() < 100 ? item.value.view() : "(large)");
    return text;
  }
  std::string operator()(const wire::JobFailed& m) const {
    return fmt::format("JobFailed {} {}: {}", m.worker.value, text_of(m.attempt), m.error.message);
  }
  std::string operator()(const wire::JobsParked& m) const {
    std::string text = fmt::format("JobsParked {}", m.worker.value);
    for (const auto& item : m.items)
      text += fmt::format(" {}{}", text_of(item.attempt), item.bytes > 0 ? fmt::format("({})", item.bytes) : "");
    return text;
  }
  std::string operator()(const wire::ResultsFull& m) const { return m.full ? "ResultsFull" : "ResultsFull no more"; }
  std::string operator()(const wire::JobsRecalled& m) const {
    return fmt::format("JobsRecalled {} {}", m.worker.value, text_of(m.attempts));
  }
  std::string operator()(const wire::UpdatesApplied& m) const {
    return fmt::format("UpdatesApplied {} {}{}{}", m.worker.value, m.number, m.failed ? ": " : "", m.error.message);
  }
  std::string operator()(const wire::OutputLines& m) const {
    return fmt::format("OutputLines {} {} {} +{}", m.slot, m.stream == OutputStream::out ? "out" : "err", m.lines,
                       m.left_out);
  }
  std::string operator()(const wire::SlotsChanged& m) const {
    std::string text = "SlotsChanged";
    for (const SlotInfo& slot : m.slots)
      text += fmt::format(" [{}: {} MiB free{}{}]", slot.slot, slot.gpu_memory_free_mib,
                          slot.trouble.empty() ? "" : ", ", slot.trouble);
    return text;
  }
  std::string operator()(const wire::NeedProgram& m) const { return fmt::format("NeedProgram {}", m.hash); }
  std::string operator()(const wire::NodeLeaving&) const { return "NodeLeaving"; }
  template <class Other>
  std::string operator()(const Other&) const {
    return Other::name;
  }
};

struct PacketText {
  std::string operator()(const wire::Begin& m) const { return "Begin " + std::string(m.spec.view()); }
  std::string operator()(const wire::WorkerJob& m) const {
    return fmt::format("Job #{} {}", m.index, m.arguments.view());
  }
  std::string operator()(const wire::WorkerUpdate& m) const {
    return fmt::format("Update {} {}", m.number, m.payload.view());
  }
  std::string operator()(const wire::HistoryEnd&) const { return "HistoryEnd"; }
  std::string operator()(const wire::Stop& m) const { return m.terminated ? "Stop after SIGTERM" : "Stop"; }
};

struct EffectText {
  std::string operator()(const ToHead& e) const { return std::visit(MessageText{}, *e.message); }
  std::string operator()(const SpawnWorker& e) const {
    std::string text = fmt::format("spawn {} on slot {}", e.worker.value, e.slot);
    for (const std::uint32_t more : e.more_slots) text += fmt::format(" and {}", more);
    return text;
  }
  std::string operator()(const ToWorker& e) const {
    return fmt::format("to {}: {}", e.worker.value, std::visit(PacketText{}, e.message));
  }
  std::string operator()(const SignalWorker& e) const {
    return fmt::format("SIG{} to {}", ::sigabbrev_np(e.signal), e.worker.value);
  }
  std::string operator()(const StoreProgram& e) const { return "store " + e.hash; }
  std::string operator()(const CheckProgram& e) const { return "check " + e.hash; }
  std::string operator()(const UseProgram& e) const { return fmt::format("use {} for {}", e.hash, e.worker.value); }
  std::string operator()(const LookAtDevices&) const { return "look at devices"; }
  std::string operator()(const Left&) const { return "left"; }
  std::string operator()(const RefuseHead& e) const { return "refuse the head: " + e.what; }
};

using Lines = std::vector<std::string>;

/// One node called "here" with pool 7, and what drives it. The clock stands at `now`.
class NodeWorld {
 public:
  explicit NodeWorld(NodeFacts facts = {"here", {{0, "cpu", 0}, {1, "cpu", 0}}, {}}) : machine(std::move(facts)) {}

  /// A turn of the loop ends: all effects since the last turn.
  Lines turn() {
    machine.flush(now, effects);
    Lines lines;
    for (const Effect& effect : effects) lines.push_back(std::visit(EffectText{}, effect));
    effects.clear();
    return lines;
  }
  template <class... Messages>
  void head(Messages... messages) {
    std::vector<wire::Message> all;
    (all.emplace_back(std::move(messages)), ...);
    machine.on_messages(std::move(all), now, effects);
  }
  template <class... Messages>
  void worker(WorkerId id, Messages... messages) {
    std::vector<wire::FromWorker> all;
    (all.emplace_back(std::move(messages)), ...);
    machine.on_worker_messages(id, std::move(all), now, effects);
  }
  wire::Claims& spawned(WorkerId id) {
    claims[id] = std::make_unique<wire::Claims>();
    machine.worker_spawned(id, static_cast<pid_t>(4000 + id.value), claims[id].get(), now, effects);
    return *claims[id];
  }
  void connect() { machine.session_opened(now, effects); }
  void open_pool(PoolOptions options = {}) {
    head(wire::OpenPoolHere{pool, std::move(options), Payload::copy("spec")},
         wire::ResultWindow{pool, limits::result_window_bytes, {}});
  }
  void start(WorkerId id, std::uint32_t slot = 0, UpdateNumber skip = 0) {
    head(wire::StartWorker{id, pool, slot, skip});
  }
  /// A worker that is constructed, in a pool that is open; its effects are gone.
  wire::Claims& ready(WorkerId id, PoolOptions options = {}) {
    connect();
    open_pool(std::move(options));
    start(id);
    wire::Claims& page = spawned(id);
    worker(id, wire::WorkerConstructed{});
    turn();
    return page;
  }
  static wire::RunItem job(JobSequence sequence, UpdateNumber after_update = 0) {
    return {{sequence, {1, 1}}, after_update, Payload::copy(fmt::format("a{}", sequence))};
  }
  static wire::RunJobs jobs(WorkerId id, JobSequence first, JobSequence last) {
    wire::RunJobs message{id, {}};
    for (JobSequence sequence = first; sequence <= last; ++sequence) message.items.push_back(job(sequence));
    return message;
  }
  static wire::WorkerValue value(std::uint64_t index, const char* text = "v") {
    return {index, 5, Payload::copy(text)};
  }
  wire::PoolUpdate update(UpdateNumber number) const {
    return {pool, number, Payload::copy(fmt::format("u{}", number))};
  }
  void start_job(WorkerId id, std::uint64_t index) {
    claims[id]->start(index, static_cast<std::uint64_t>(now.time_since_epoch().count()));
  }
  void exits(WorkerId id, ProcessEnd end) { machine.worker_exited(id, end, effects); }

  static constexpr PoolId pool{7};
  NodeMachine machine;
  Effects effects;
  TimePoint now{1000s};
  std::map<WorkerId, std::unique_ptr<wire::Claims>> claims;
};

}  // namespace dc::node

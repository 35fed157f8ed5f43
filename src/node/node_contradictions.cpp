// What a peer of a node cannot say, whatever has happened before: the head's session ends then, and a worker is ended.
// Nothing of the message has an effect.
#include <fmt/format.h>

#include <algorithm>

#include "node/node_machine.hpp"

namespace dc::node {
namespace {

template <class Body>
std::string without_pool(const Body& message) {
  return message.pool.value == 0 ? fmt::format("{} without a pool", message.name) : "";
}

std::string not_given(const char* message, std::uint64_t index) {
  return fmt::format("{} of job {}, which it was not given", message, index);
}

}  // namespace

// --- The head ---------------------------------------------------------------------------------------------------

std::string NodeMachine::contradiction(const wire::OpenPoolHere& message) { return without_pool(message); }

std::string NodeMachine::contradiction(const wire::PoolUpdate& message) {
  return message.number == 0 && message.pool.value != 0 ? "PoolUpdate without a number" : without_pool(message);
}

std::string NodeMachine::contradiction(const wire::StartWorker& message) const {
  if (message.worker.value == 0) return "StartWorker without a worker";
  std::vector<std::uint32_t> slots = message.more_slots;
  slots.push_back(message.slot);
  std::sort(slots.begin(), slots.end());
  for (const std::uint32_t slot : slots) {
    const bool known =
        std::any_of(facts_.slots.begin(), facts_.slots.end(), [&](const SlotInfo& info) { return info.slot == slot; });
    if (!known) return fmt::format("StartWorker on slot {}, which the node does not have", slot);
  }
  if (const auto twice = std::adjacent_find(slots.begin(), slots.end()); twice != slots.end())
    return fmt::format("StartWorker on slot {} twice", *twice);
  return without_pool(message);
}

std::string NodeMachine::contradiction(const wire::RunJobs& message) {
  const bool nameless = std::any_of(message.items.begin(), message.items.end(), [](const wire::RunItem& item) {
    return item.attempt.sequence == 0 || item.attempt.token.epoch == 0;
  });
  return nameless ? "RunJobs with a job without a number or a token" : "";
}

// --- Workers ----------------------------------------------------------------------------------------------------

std::string NodeMachine::contradiction(const Worker& worker, const wire::WorkerConstructed&) {
  return worker.phase == Phase::constructing ? "" : "WorkerConstructed again";
}

std::string NodeMachine::contradiction(const Worker& worker, const wire::ConstructionFailed&) {
  return worker.phase == Phase::constructing ? "" : "ConstructionFailed too late";
}

std::string NodeMachine::contradiction(const Worker& worker, const wire::WorkerValue& message) {
  return message.index < worker.next_index ? "" : not_given("WorkerValue", message.index);
}

std::string NodeMachine::contradiction(const Worker& worker, const wire::WorkerError& message) {
  return message.index < worker.next_index ? "" : not_given("WorkerError", message.index);
}

std::string NodeMachine::contradiction(const Worker& worker, const wire::UpdateDone& message) {
  const bool sent = message.number != 0 && message.number <= worker.updates_sent;
  return sent ? "" : fmt::format("UpdateDone of update {}, which it was not sent", message.number);
}

}  // namespace dc::node

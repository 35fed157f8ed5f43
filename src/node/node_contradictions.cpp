// What a peer of a node cannot say, whatever has happened before: the head's session ends then, and a worker is ended.
// Nothing of the message has an effect.
#include <fmt/format.h>

#include <algorithm>

#include "node/node_machine.hpp"

namespace dc::node {
namespace {

template <class... Overloads>
struct Choose : Overloads... {
  using Overloads::operator()...;
};
template <class... Overloads>
Choose(Overloads...) -> Choose<Overloads...>;

}  // namespace

std::string NodeMachine::contradiction(const wire::Message& message) const {
  const auto in_pool = [](const auto& body, std::string wrong = {}) -> std::string {
    return body.pool.value == 0 ? fmt::format("{} without a pool", body.name) : std::move(wrong);
  };
  return std::visit(Choose{
                        [&](const wire::OpenPoolHere& body) { return in_pool(body); },
                        [&](const wire::PoolUpdate& body) {
                          return in_pool(body, body.number == 0 ? "PoolUpdate without a number" : "");
                        },
                        [&](const wire::StartWorker& body) {
                          if (body.worker.value == 0) return std::string("StartWorker without a worker");
                          std::vector<std::uint32_t> slots = body.more_slots;
                          slots.push_back(body.slot);
                          std::sort(slots.begin(), slots.end());
                          for (std::size_t i = 0; i < slots.size(); ++i) {
                            const bool known = std::any_of(facts_.slots.begin(), facts_.slots.end(),
                                                           [&](const SlotInfo& slot) { return slot.slot == slots[i]; });
                            if (!known)
                              return fmt::format("StartWorker on slot {}, which the node does not have", slots[i]);
                            if (i > 0 && slots[i] == slots[i - 1])
                              return fmt::format("StartWorker on slot {} twice", slots[i]);
                          }
                          return in_pool(body);
                        },
                        [&](const wire::RunJobs& body) {
                          const bool nameless =
                              std::any_of(body.items.begin(), body.items.end(), [](const wire::RunItem& item) {
                                return item.attempt.sequence == 0 || item.attempt.token.epoch == 0;
                              });
                          return std::string(nameless ? "RunJobs with a job without a number or a token" : "");
                        },
                        [](const auto&) { return std::string(); },
                    },
                    message);
}

std::string NodeMachine::contradiction(const Worker& worker, const wire::FromWorker& message) {
  const auto job = [&](const char* name, std::uint64_t index) {
    const bool handed = worker.claims && index < worker.next_index;
    return handed ? std::string() : fmt::format("{} of job {}, which it was not given", name, index);
  };
  return std::visit(Choose{
                        [&](const wire::WorkerValue& body) { return job("WorkerValue", body.index); },
                        [&](const wire::WorkerError& body) { return job("WorkerError", body.index); },
                        [&](const wire::WorkerConstructed&) {
                          return std::string(worker.phase == Phase::constructing ? "" : "WorkerConstructed again");
                        },
                        [&](const wire::ConstructionFailed&) {
                          return std::string(worker.phase == Phase::constructing ? "" : "ConstructionFailed too late");
                        },
                        [&](const wire::UpdateDone& body) {
                          const bool sent = body.number != 0 && body.number <= worker.updates_sent;
                          return sent ? std::string()
                                      : fmt::format("UpdateDone of update {}, which it was not sent", body.number);
                        },
                    },
                    message);
}

}  // namespace dc::node

// Payloads that were accepted, and that the store cannot give back: each costs its job, which says so, and nothing
// else.
#include <fmt/format.h>

#include <utility>

#include "head/head_machine.hpp"

namespace dc::head {
namespace {

ErrorInfo lost_payload(std::string_view what, JobSequence sequence, const HeadPool* pool, const std::string& why) {
  return ErrorInfo::of(ErrorKind::not_stored, fmt::format("the {} of job {} of pool '{}' cannot be read: {}", what,
                                                          sequence, pool ? pool->name() : "?", why));
}

}  // namespace

void HeadMachine::unreadable(Send&& send, const std::string& why, TimePoint now, Effects& out) {
  if (!sessions_.contains(send.session)) return;
  if (auto* run = std::get_if<wire::RunJobs>(&send.message)) return cannot_run(send.session, *run, why, now, out);
  if (auto* error = std::get_if<wire::JobError>(&send.message)) error->exception = {};
  if (auto* seen = std::get_if<wire::OutcomesSeen>(&send.message)) {
    for (wire::SeenOutcome& item : seen->items) {
      if (!item.payload.is_elsewhere()) continue;
      if (!item.failed) item.error = lost_payload("result", item.sequence, nullptr, why);
      item.failed = true;
      item.payload = {};
    }
  }
  if (auto* values = std::get_if<wire::JobValues>(&send.message)) {
    for (const wire::ValueItem& item : values->items) {
      if (!item.value.is_elsewhere()) continue;
      out.emplace_back(Send{
          send.session,
          wire::JobError{
              values->pool, item.sequence, lost_payload("result", item.sequence, find_pool(values->pool), why), {}},
          send.lane});
    }
    std::erase_if(values->items, [](const wire::ValueItem& item) { return item.value.is_elsewhere(); });
    if (values->items.empty()) return;
  }
  out.emplace_back(std::move(send));
}

/// They end as if they had run and failed.
void HeadMachine::cannot_run(SessionId session, wire::RunJobs& run, const std::string& why, TimePoint now,
                             Effects& out) {
  const NodeId node = node_of(session);
  const auto place = places_.find(run.worker);
  if (place == places_.end()) return;  // and its jobs run elsewhere
  const PoolId pool = place->second.pool;
  std::vector<wire::RunItem> left;
  for (auto& item : run.items) {
    if (!item.arguments.is_elsewhere()) {
      left.push_back(std::move(item));
      continue;
    }
    ErrorInfo error = lost_payload("arguments", item.attempt.sequence, find_pool(pool), why);
    tell(scheduler::JobFinished{node, run.worker, pool, item.attempt, Duration::zero(), {{}, std::move(error)}}, now,
         out);
  }
  if (left.empty()) return;
  out.emplace_back(Send{session, wire::RunJobs{run.worker, std::move(left)}, run.worker.value});
}

}  // namespace dc::head

// Looking at what is in a named pool, which takes nothing from anybody.
#include <algorithm>

#include "head/kept_pool.hpp"

namespace dc::head {
namespace {

/// One answer to SeeOutcomes: so many jobs are looked at, and so many outcomes are in it, at most.
constexpr std::size_t looked_at_max = std::size_t{1} << 16;
constexpr std::size_t seen_max = 1024;
/// Of one outcome in a message, beside its texts and its payload.
constexpr std::size_t seen_bytes = 128;

std::size_t size_of(const ErrorInfo& error) {
  return error.message.size() + error.traceback.size() + error.type_name.size() + error.host.size();
}

}  // namespace

wire::OutcomesSeen KeptPool::see(const wire::SeeOutcomes& message) const {
  wire::OutcomesSeen seen{true, {}, message.after, false};
  std::size_t looked_at = 0, bytes = 0;
  auto next = message.after == UINT64_MAX ? records_.end() : records_.lower_bound(message.after + 1);
  for (; next != records_.end() && looked_at < looked_at_max && seen.items.size() < seen_max; ++next, ++looked_at) {
    const auto [sequence, record] = *next;
    if (!record.durable) {
      seen.last = sequence;
      continue;
    }
    const StoredOutcome outcome = outcome_of(record);
    const std::size_t size = seen_bytes + outcome.payload.size() + (outcome.error ? size_of(*outcome.error) : 0);
    if (!seen.items.empty() && bytes + size > limits::batch_bytes_max) break;
    bytes += size;
    seen.items.push_back(
        {sequence, outcome.error.has_value(), outcome.error ? *outcome.error : ErrorInfo{}, outcome.payload});
    seen.last = sequence;
  }
  seen.more = next != records_.end();
  return seen;
}

wire::DefinitionsSeen KeptPool::see(const wire::SeeDefinitions& message) const {
  wire::DefinitionsSeen seen;
  seen.known = true;
  if (message.after == 0) {
    const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(message.spec_bytes, spec.size()));
    seen.spec = Payload(spec.owner(), spec.bytes().first(bytes));
  }
  auto next = static_cast<std::size_t>(std::min<std::uint64_t>(message.after, definitions_.size()));
  for (std::size_t bytes = 0; next < definitions_.size(); ++next) {
    if (!seen.updates.empty() && bytes >= limits::batch_bytes_max) break;
    bytes += definitions_[next].size();
    seen.updates.push_back(definitions_[next]);
  }
  seen.more = next < definitions_.size();
  return seen;
}

}  // namespace dc::head

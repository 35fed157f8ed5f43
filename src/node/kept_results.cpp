// See kept_results.hpp.
#include "node/kept_results.hpp"

#include <algorithm>
#include <utility>

#include "core/result_cost.hpp"

namespace dc::node {

KeptResults::Kept& KeptResults::add(JobSequence sequence, Kept kept) {
  const auto [entry, is_new] = kept_.try_emplace(sequence);
  if (!is_new) {  // an earlier attempt at the job
    remove(entry);
    return add(sequence, std::move(kept));
  }
  kept.cost = result_cost(kept.outcome);
  bytes_ += kept.cost;
  ++unsent_;
  return entry->second = std::move(kept);
}

void KeptResults::remove(std::unordered_map<JobSequence, Kept>::iterator kept) {
  const Kept& gone = kept->second;
  bytes_ -= gone.cost;
  if (gone.sent && !gone.large) under_way_ -= gone.cost;
  if (!gone.sent) --unsent_;
  kept_.erase(kept);
}

/// Those that had their turn are the head's to count.
void KeptResults::send(Kept& kept) {
  kept.sent = true;
  --unsent_;
  if (!kept.large) under_way_ += kept.cost;
}

/// For room, and not for a turn.
bool KeptResults::waits(JobSequence sequence) const {
  const auto kept = kept_.find(sequence);
  return kept != kept_.end() && !kept->second.sent && !kept->second.large;
}

/// One that is gone holds up nobody: it was acknowledged while it was parked, after an earlier session had sent it, and
/// perhaps no acknowledgement comes after that one.
bool KeptResults::offer(JobSequence sequence, Kept& kept) {
  while (!parked_.empty() && (parked_.front() == sequence || !waits(parked_.front()))) parked_.pop_front();
  if (parked_.empty() && under_way_ + kept.cost <= window_) {
    send(kept);
    return true;
  }
  kept.large = kept.cost > window_;
  if (!kept.large) parked_.push_back(sequence);
  return false;
}

std::optional<JobSequence> KeptResults::next() {
  while (!turns_.empty()) {
    const Attempt attempt = turns_.front();
    turns_.pop_front();
    const auto kept = kept_.find(attempt.sequence);
    if (kept == kept_.end() || kept->second.token != attempt.token || kept->second.sent || !kept->second.large)
      continue;
    send(kept->second);
    return attempt.sequence;
  }
  while (!parked_.empty()) {
    const JobSequence sequence = parked_.front();
    const auto kept = kept_.find(sequence);
    const bool waiting = waits(sequence);
    if (waiting && kept->second.cost <= window_ && under_way_ + kept->second.cost > window_) return std::nullopt;
    parked_.pop_front();
    if (!waiting) continue;
    if (kept->second.cost > window_) {  // which has become smaller
      kept->second.large = true;
      asks_.push_back(sequence);
      continue;
    }
    send(kept->second);
    return sequence;
  }
  return std::nullopt;
}

void KeptResults::acknowledge(const Attempt& attempt) {
  const auto kept = kept_.find(attempt.sequence);
  if (kept != kept_.end() && kept->second.token == attempt.token) remove(kept);
}

void KeptResults::session_over() {
  parked_.clear();
  turns_.clear();
  asks_.clear();
  under_way_ = 0;
  unsent_ = kept_.size();
  window_ = limits_.window_min;
  for (auto& [sequence, kept] : kept_) kept.sent = kept.large = false;
}

std::vector<Attempt> KeptResults::attempts() const {
  std::vector<Attempt> all;
  for (const auto& [sequence, kept] : kept_) all.push_back({sequence, kept.token});
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace dc::node

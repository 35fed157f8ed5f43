// See job_numbers.hpp.
#include "core/job_numbers.hpp"

#include <algorithm>
#include <iterator>

namespace dc {

bool JobNumbers::contains(JobSequence sequence) const {
  const auto after = intervals_.upper_bound(sequence);
  return after != intervals_.begin() && std::prev(after)->second >= sequence;
}

bool JobNumbers::add(JobSequence sequence) {
  const auto after = intervals_.upper_bound(sequence);
  const bool follows = after != intervals_.begin() && std::prev(after)->second + 1 >= sequence;
  if (follows && std::prev(after)->second >= sequence) return false;
  const bool precedes = after != intervals_.end() && after->first == sequence + 1;
  const JobSequence last = precedes ? after->second : sequence;
  if (follows) {
    std::prev(after)->second = last;
  } else {
    intervals_[sequence] = last;
  }
  if (precedes) intervals_.erase(sequence + 1);
  return true;
}

void JobNumbers::add(JobSequence first, JobSequence last) {
  if (first > last) return;
  auto next = intervals_.upper_bound(first);
  // What overlaps or touches becomes one with it.
  if (next != intervals_.begin() && std::prev(next)->second >= first - 1) --next;
  while (next != intervals_.end() && next->first - 1 <= last) {
    first = std::min(first, next->first);
    last = std::max(last, next->second);
    next = intervals_.erase(next);
  }
  intervals_[first] = last;
}

void JobNumbers::remove(JobSequence sequence) {
  const auto after = intervals_.upper_bound(sequence);
  if (after == intervals_.begin()) return;
  const auto found = std::prev(after);
  const auto [first, last] = *found;
  if (last < sequence) return;
  intervals_.erase(found);
  if (first < sequence) intervals_[first] = sequence - 1;
  if (sequence < last) intervals_[sequence + 1] = last;
}

}  // namespace dc

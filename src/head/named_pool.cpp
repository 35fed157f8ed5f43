// Which outcomes of earlier jobs a client is sent next.
#include "head/named_pool.hpp"

#include <fmt/format.h>

namespace dc::head {

void NamedPool::attach(JobSequence first) {
  first_own = first;
  resuming = false;
  confirmed.clear();
  credit = 0;
  in_order = false;
  cursor = 0;
  ready.clear();
  settled(early);
  early.clear();
  for (auto& [sequence, record] : records) {
    record.sent = false;
    if (record.durable && sequence < first_own) ready.insert(ready.end(), sequence);
  }
}

std::vector<JobSequence> NamedPool::earlier() const {
  std::vector<JobSequence> intervals;
  for (auto record = records.begin(); record != records.end() && record->first < first_own; ++record) {
    if (!intervals.empty() && intervals.back() + 1 == record->first)
      intervals.back() = record->first;
    else
      intervals.insert(intervals.end(), {record->first, record->first});
  }
  return intervals;
}

std::string NamedPool::cannot_be_received(const std::vector<JobSequence>& sequences) const {
  for (const JobSequence sequence : sequences) {
    const auto record = records.find(sequence);
    if (record != records.end() && !record->second.durable && sequence > restored_to)
      return fmt::format("ResumeNamedPool with the outcome of job {}, which has none", sequence);
  }
  return {};
}

std::map<JobSequence, NamedPool::Record>::iterator NamedPool::next_earlier() {
  if (credit == 0 || ready.empty()) return records.end();
  if (!in_order) return records.find(*ready.begin());
  auto next = records.lower_bound(cursor);
  while (next != records.end() && next->second.sent) ++next;
  if (next == records.end() || next->first >= first_own) return records.end();
  cursor = next->first;
  return next->second.durable ? next : records.end();
}

}  // namespace dc::head

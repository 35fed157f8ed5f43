// See job_ladder.hpp.
#include "client/job_ladder.hpp"

#include <algorithm>

#include "core/check.hpp"

namespace dc::client {
namespace {

/// The keys of entries that `wanted` is true for, in rising order.
template <class Map, class Wanted>
std::vector<JobSequence> sorted_keys(const Map& map, Wanted wanted) {
  std::vector<JobSequence> keys;
  keys.reserve(map.size());
  for (const auto& [sequence, value] : map) {
    if (wanted(value)) keys.push_back(sequence);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace

// --- The steps --------------------------------------------------------------------------------------------------

void JobLadder::first_is_sent() {
  const auto& [stream, job] = waiting_.front();
  DC_CHECK(!sent_.contains(job.sequence));
  sent_.emplace(job.sequence, Sent{stream, job.after_update, job.arguments, job.key});
  sent_bytes_ += job.arguments.size();
}

std::pair<bool, StreamId> JobLadder::take_sent(JobSequence sequence) {
  const auto found = sent_.find(sequence);
  if (found == sent_.end()) return {false, nobody};
  const StreamId stream = found->second.stream;
  DC_CHECK(found->second.arguments.size() <= sent_bytes_);
  sent_bytes_ -= found->second.arguments.size();
  sent_.erase(found);
  return {true, stream};
}

StreamId JobLadder::take_accepted(JobSequence sequence) {
  const auto found = accepted_.find(sequence);
  if (found == accepted_.end()) return nobody;
  const StreamId stream = found->second;
  accepted_.erase(found);
  return stream;
}

void JobLadder::accepted(JobSequence sequence) {
  const auto [was_sent, stream] = take_sent(sequence);
  if (was_sent && stream != nobody) accepted_.emplace(sequence, stream);
}

std::pair<bool, StreamId> JobLadder::refused(JobSequence sequence) { return take_sent(sequence); }

JobLadder::Arrival JobLadder::arrived(JobSequence sequence) {
  if (!head_keeps_) {
    const auto [is_new, stream] = take_sent(sequence);
    return {is_new, true, false, stream};
  }
  if (confirmed_.contains(sequence)) {
    received_[sequence] = true;
    return {false, true, true, nobody};
  }
  const auto [known, is_new] = received_.emplace(sequence, false);
  if (!is_new) return {false, known->second, false, nobody};  // it comes again after a break
  const auto [was_sent, stream] = take_sent(sequence);
  return {true, false, false, was_sent ? stream : take_accepted(sequence)};
}

bool JobLadder::consumed(JobSequence sequence) {
  const auto found = received_.find(sequence);
  return found != received_.end() && !std::exchange(found->second, true);
}

void JobLadder::confirmed(JobSequence sequence) {
  received_.erase(sequence);
  confirmed_.add(sequence);
}

// --- Who does not want what; what comes to an end ---------------------------------------------------------------

void JobLadder::drop(StreamId stream) {
  if (!head_keeps_) std::erase_if(waiting_, [&](const NewJob& job) { return job.stream == stream; });
  for (NewJob& job : waiting_) {
    if (job.stream == stream) job.stream = nobody;
  }
  for (auto& [sequence, job] : sent_) {
    if (job.stream == stream) job.stream = nobody;
  }
  std::erase_if(accepted_, [&](const auto& job) { return job.second == stream; });
}

void JobLadder::forget_unwanted() {
  if (head_keeps_) return;
  std::erase_if(sent_, [&](const auto& entry) {
    if (entry.second.stream != nobody) return false;
    sent_bytes_ -= entry.second.arguments.size();
    return true;
  });
}

JobLadder::Ended JobLadder::lost_after(JobSequence last_kept) {
  Ended ended;
  for (const auto& job : accepted_) {
    if (job.first > last_kept) ended.push_back(job);
  }
  std::sort(ended.begin(), ended.end());
  for (const auto& [sequence, stream] : ended) accepted_.erase(sequence);
  return ended;
}

JobLadder::Ended JobLadder::end() {
  Ended ended(accepted_.begin(), accepted_.end());
  for (const auto& [sequence, job] : sent_) ended.emplace_back(sequence, job.stream);
  std::sort(ended.begin(), ended.end());
  for (const NewJob& job : waiting_) ended.emplace_back(job.job.sequence, job.stream);
  waiting_.clear();
  sent_.clear();
  sent_bytes_ = 0;
  accepted_.clear();
  received_.clear();
  return ended;
}

// --- Which ------------------------------------------------------------------------------------------------------

const JobLadder::Sent* JobLadder::find_sent(JobSequence sequence) const {
  const auto found = sent_.find(sequence);
  return found == sent_.end() ? nullptr : &found->second;
}

std::vector<JobSequence> JobLadder::outstanding() const {
  return sorted_keys(sent_, [](const Sent&) { return true; });
}

std::vector<JobSequence> JobLadder::received() const {
  return sorted_keys(received_, [](bool) { return true; });
}

std::vector<JobSequence> JobLadder::unconfirmed() const {
  return sorted_keys(received_, [](bool done) { return done; });
}

}  // namespace dc::client

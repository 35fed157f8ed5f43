// How far the jobs of one map or imap are read ahead of their results, and in which order these are handed out: for
// both languages. Pure: it waits for nothing and reads no clock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include "core/check.hpp"
#include "core/clock.hpp"
#include "core/job.hpp"
#include "core/limits.hpp"
#include "distributed_computing/detail/raw_pool.hpp"

namespace dc::client {

/// As far as that, or farther: a job of a named pool passes the store twice, and is on its way for longer.
inline ReadAhead read_ahead_of(ReadAhead options, bool named) {
  if (named && options.bounded) options.jobs_max *= limits::named_window_factor;
  return options;
}

/// The jobs of one map or imap, from the reading of an item to the handing out of its outcome. Whoever has it goes
/// round: when an item is due() reads as many as there is room() for, and tells what was submitted(); hands out what is
/// next(); if that is nothing, takes what has arrived(), reads more, and waits as long as begin_wait() says.
template <class Outcome>
class Window {
 public:
  static constexpr std::size_t batch_max = 256;  ///< items that are submitted at once
  static constexpr Duration batch_time = 1ms;    ///< reading that takes longer is slow
  static constexpr Duration short_wait = 20ms;   ///< results that come this quickly mean that jobs are short
  static constexpr Duration look_again = 200ms;  ///< whether there are more workers to feed

  /// `workers`: that the pool has now.
  Window(const ReadAhead& read_ahead, std::size_t workers) : options_(read_ahead) { widen(workers); }

  // --- Items ---

  /// The workers must not run dry while the consumer works through what is there; but it need not wait for slow items.
  [[nodiscard]] bool due() const { return !ended_ && !slow_ && ahead() <= size_ / 2; }
  /// The last batch ended because reading it took long.
  [[nodiscard]] bool slow() const { return slow_; }
  /// There are no more items, or none are to be read.
  void end_items() { ended_ = true; }

  /// So much may be read at once.
  struct Room {
    std::size_t jobs = 0;
    std::int64_t bytes = 0;       ///< of arguments, and of the results to come
    std::size_t to_come = 0;      ///< bytes of each result, as far as one knows
    std::size_t jobs_always = 0;  ///< so many however large they are: each worker may have one
    /// One more, after so many with so many bytes of arguments.
    [[nodiscard]] bool holds_more(std::size_t count, std::size_t size) const {
      if (count >= jobs) return false;
      return count < jobs_always || static_cast<std::int64_t>(size + count * to_come) < bytes;
    }
  };
  [[nodiscard]] Room room() const {
    if (ended_) return {};
    const auto left = [this](std::size_t all) { return all - std::min(all, ahead()); };
    const std::size_t to_come = options_.bounded ? result_bytes_ : 0;
    const std::size_t used = bytes_ + in_flight_ * to_come;
    return {std::min(batch_, left(size_)),
            static_cast<std::int64_t>(limits::imap_window_bytes) - static_cast<std::int64_t>(used), to_come,
            left(std::max<std::size_t>(1, workers_))};
  }

  /// These were read, perhaps none, and submitted with consecutive sequences from `first` on. What was read is not held
  /// back while the next item is made slowly: batches grow as long as items come quickly.
  void submitted(JobSequence first, std::span<const std::size_t> sizes, bool slow) {
    slow_ = slow;
    batch_ = slow ? 1 : std::min(2 * batch_, batch_max);
    // Other streams of the pool may take numbers in between: the order is that of our own items.
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      under_way_.emplace(first + i, Job{submitted_ + i, sizes[i]});
      bytes_ += sizes[i];
    }
    submitted_ += sizes.size();
    in_flight_ += sizes.size();
    if (options_.ordered) line_.resize(line_.size() + sizes.size());
  }

  // --- Outcomes ---

  /// One has come, with so many bytes.
  void arrived(JobSequence sequence, std::size_t bytes, Outcome&& outcome) {
    const auto job = under_way_.find(sequence);
    DC_CHECK(job != under_way_.end());
    --in_flight_;
    bytes_ -= job->second.bytes;
    if (options_.bounded) bytes_ += bytes;
    result_bytes_ = (result_bytes_ * 7 + bytes) / 8;
    ++at_once_;
    if (options_.ordered)
      line_[job->second.index - handed_out_] = Arrived{bytes, std::move(outcome)};
    else
      line_.emplace_back(Arrived{bytes, std::move(outcome)});
    under_way_.erase(job);
  }

  /// The outcome whose turn it is, if it is there: the consumer has it from now on.
  std::optional<Outcome> next() {
    if (line_.empty() || !line_.front()) return std::nullopt;
    std::optional<Outcome> outcome(std::move(line_.front()->outcome));
    if (options_.bounded) bytes_ -= line_.front()->bytes;
    line_.pop_front();
    ++handed_out_;
    return outcome;
  }
  /// Everything that was submitted is handed out.
  [[nodiscard]] bool empty() const { return handed_out_ == submitted_; }

  // --- Waiting ---

  /// The consumer has to wait for an outcome: no longer than this, then it looks again. Not at all when results only
  /// wait for their turn and workers would be idle.
  Duration begin_wait() {
    idle_ = in_flight_ <= workers_ && size_ < options_.jobs_max;
    at_once_ = 0;
    return idle_ ? Duration::zero() : look_again;
  }
  /// It has waited so long, and some came, or none. When they come quickly more jobs must be under way; and when many
  /// come at once, for then it is the way there and back that takes long, and not the jobs.
  void end_wait(bool came, Duration waited, std::size_t workers) {
    if (idle_ || (came && (waited < short_wait || 4 * at_once_ >= size_))) size_ *= 2;
    widen(workers);
  }

 private:
  struct Job {
    std::uint64_t index{};  ///< in the order of the items
    std::size_t bytes{};
  };
  struct Arrived {
    std::size_t bytes{};
    Outcome outcome;
  };

  /// Jobs that count for the window.
  [[nodiscard]] std::size_t ahead() const { return options_.bounded ? submitted_ - handed_out_ : in_flight_; }
  void widen(std::size_t workers) {
    workers_ = workers;
    const std::size_t two_each = std::max(options_.jobs_min, 2 * workers);
    size_ = std::min(std::max(size_, two_each), options_.jobs_max);
  }

  const ReadAhead options_;
  bool ended_ = false;
  bool slow_ = false;
  bool idle_ = false;
  std::size_t workers_ = 0;
  std::size_t size_ = 0;   ///< jobs that may be under way
  std::size_t batch_ = 1;  ///< items to submit at once
  std::uint64_t submitted_ = 0, handed_out_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t at_once_ = 0;       ///< outcomes that arrived since the last wait began
  std::size_t bytes_ = 0;         ///< arguments in flight, and results not handed out where they count
  std::size_t result_bytes_ = 0;  ///< mean size of a result
  std::unordered_map<JobSequence, Job> under_way_;
  std::deque<std::optional<Arrived>> line_;  ///< to be handed out; ordered: with the places of those to come
};

}  // namespace dc::client

// The lazy results of imap and imap_unordered.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "distributed_computing/detail/codec.hpp"
#include "distributed_computing/detail/raw_pool.hpp"

namespace dc {

namespace detail {

/// Sets the value, or the error.
template <class Worker>
void decode_outcome(const RawOutcome& outcome, std::optional<result_value_t<Worker>>& value,
                    std::exception_ptr& error) {
  value.reset();
  error = outcome.error;
  if (error) return;
  try {
    value = decode_result<Worker>(outcome.data, outcome.size);
  } catch (...) {
    error = std::current_exception();
  }
}

}  // namespace detail

/// How far Results reads ahead of what was consumed.
struct ReadAhead {
  bool ordered = false;  ///< results in the order of the items
  bool whole = false;    ///< the caller needs all results, or none of them counts as delivered (named pools)
  bool bounded = true;   ///< false: results that wait to be consumed do not count (map keeps them all anyway)
  std::size_t jobs_min = 16;
  std::size_t jobs_max = detail::window_jobs;
};

/// Walks over a source of results: dereferencing throws when that job failed; incrementing goes on with the next one.
template <class Source, class Value>
class ResultIterator {
 public:
  using value_type = Value;
  using difference_type = std::ptrdiff_t;
  using iterator_category = std::input_iterator_tag;
  ResultIterator() = default;
  explicit ResultIterator(Source* results) : results_(results) { ++*this; }
  const value_type& operator*() const {
    if (results_->error_) std::rethrow_exception(results_->error_);
    return *results_->value_;
  }
  const value_type* operator->() const { return &**this; }
  ResultIterator& operator++() {
    if (!results_->advance()) results_ = nullptr;
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const { return results_ == nullptr; }

 private:
  Source* results_ = nullptr;
};

/// Yields results while it reads the items: in order, or as they come. Reads only a bounded number of items ahead of
/// what was consumed (about two for each worker, more when jobs are short), so that an endless range is fine. A
/// single-pass input range: iterate once, do not move it meanwhile. Destroying it early discards the
/// results that were not read; jobs that were submitted, 2,048 at most, still run, before later jobs of the pool,
/// unless that is closed. Dereferencing throws when that job failed; incrementing goes on with the next one.
template <class Worker, std::ranges::input_range Items>
class Results {
 public:
  using value_type = detail::result_value_t<Worker>;

  Results(std::shared_ptr<detail::RawPool> pool, Items items, ReadAhead read_ahead)
      : pool_(std::move(pool)),
        stream_(pool_->open_stream()),
        named_(pool_->named()),
        items_(std::move(items)),
        options_(read_ahead) {
    widen();
  }
  Results(Results&&) noexcept = default;

  using iterator = ResultIterator<Results, value_type>;

  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const { return {}; }

  /// With ReadAhead::whole: the caller has all results.
  void all_delivered() {
    if (!whole_.empty()) stream_->hand_over(std::exchange(whole_, {}));
  }

 private:
  friend iterator;
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t batch_max = 256;
  static constexpr auto batch_time = std::chrono::milliseconds(1);  ///< reading that takes longer is slow
  static constexpr auto short_wait = std::chrono::milliseconds(20);
  static constexpr auto look_again = std::chrono::milliseconds(200);  ///< whether there are more workers to feed

  /// Makes the next result current; false at the end.
  bool advance() {
    while (true) {
      // The workers must not run dry while the consumer works through what is ready; but it need not wait for a slow
      // range.
      if (!exhausted_ && !slow_items_ && ahead() <= window_ / 2) feed();
      if (std::optional<detail::RawOutcome> outcome = next_outcome()) {
        ++yielded_;
        if (options_.bounded) bytes_ -= outcome->bytes();
        make_current(*outcome);
        return true;
      }
      if (take(std::chrono::nanoseconds::zero()) || feed()) continue;
      if (submitted_ == yielded_) return throw_at_end();
      wait();
    }
  }

  /// What the caller's range threw is the last result; false when it threw nothing.
  bool throw_at_end() {
    error_ = std::exchange(items_error_, nullptr);
    return error_ != nullptr;
  }

  void make_current(const detail::RawOutcome& outcome) {
    if (named_) options_.whole ? whole_.push_back(outcome.sequence) : stream_->hand_over({outcome.sequence});
    detail::decode_outcome<Worker>(outcome, value_, error_);
  }

  std::optional<detail::RawOutcome> next_outcome() {
    if (options_.ordered) {
      const auto found = early_.find(yielded_);
      if (found == early_.end()) return std::nullopt;
      detail::RawOutcome outcome = std::move(found->second);
      early_.erase(found);
      return outcome;
    }
    if (ready_.empty()) return std::nullopt;
    detail::RawOutcome outcome = std::move(ready_.front());
    ready_.pop_front();
    return outcome;
  }

  /// Jobs that count for the window.
  [[nodiscard]] std::size_t ahead() const { return options_.bounded ? submitted_ - yielded_ : in_flight_; }

  /// Room for one more job, when `more_bytes` are about to be submitted. Results to come count with their mean size so
  /// far.
  [[nodiscard]] bool has_room(std::size_t more_jobs, std::size_t more_bytes) const {
    const std::size_t to_come = options_.bounded ? (in_flight_ + more_jobs) * mean_result_bytes_ : 0;
    if (ahead() + more_jobs < window_ && bytes_ + more_bytes + to_come < detail::window_bytes) return true;
    return ahead() + more_jobs < std::max(1U, pool_->workers());  // however large they are: no worker is idle
  }

  /// Reads and submits some items as far as the window allows; false when it could not read any.
  bool feed() {
    std::vector<std::string> batch;
    std::size_t batch_bytes = 0;
    const auto start = Clock::now();
    slow_items_ = false;
    try {
      while (!exhausted_ && batch.size() < batch_ && has_room(batch.size(), batch_bytes)) {
        if (!next_item()) break;
        batch.push_back(detail::encode_item<Worker>(**position_));
        batch_bytes += batch.back().size();
        slow_items_ = Clock::now() - start > batch_time;
        if (slow_items_) break;
      }
    } catch (...) {
      exhausted_ = true;
      items_error_ = std::current_exception();  // thrown after the results of the items before it
    }
    // What was read is not held back while a slow range makes the next item: batches grow as long as it is quick.
    batch_ = slow_items_ ? 1 : std::min(2 * batch_, batch_max);
    if (batch.empty()) return false;
    submit(std::move(batch));
    return true;
  }

  /// Moves position_ to an item that was not used so far.
  bool next_item() {
    if (position_)
      ++*position_;
    else
      position_ = std::ranges::begin(items_);
    exhausted_ = *position_ == std::ranges::end(items_);
    return !exhausted_;
  }

  void submit(std::vector<std::string> batch) {
    std::vector<std::size_t> sizes;
    for (const std::string& item : batch) sizes.push_back(item.size());
    const std::uint64_t first = stream_->submit(std::move(batch));
    // Other streams of the pool may have taken numbers in between: the order is that of our own items.
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      place_[first + i] = {submitted_ + i, sizes[i]};
      bytes_ += sizes[i];
    }
    submitted_ += sizes.size();
    in_flight_ += sizes.size();
  }

  bool take(std::chrono::nanoseconds timeout) {
    std::vector<detail::RawOutcome> outcomes = stream_->take(timeout);
    in_flight_ -= outcomes.size();
    for (detail::RawOutcome& outcome : outcomes) {
      const auto place = place_.find(outcome.sequence);
      if (options_.bounded) bytes_ += outcome.bytes();
      bytes_ -= place->second.size;
      mean_result_bytes_ = (mean_result_bytes_ * 7 + outcome.bytes()) / 8;
      if (options_.ordered)
        early_.emplace(place->second.index, std::move(outcome));
      else
        ready_.push_back(std::move(outcome));
      place_.erase(place);
    }
    return !outcomes.empty();
  }

  /// The consumer waits for a result. When they come quickly, jobs are short and more of them must be under way; when
  /// results only wait for their turn, workers would be idle.
  void wait() {
    const auto start = Clock::now();
    const bool idle = in_flight_ <= pool_->workers() && window_ < options_.jobs_max;
    const bool came = take(idle ? std::chrono::nanoseconds::zero() : look_again);
    if (idle || (came && Clock::now() - start < short_wait)) window_ *= 2;
    widen();
  }

  void widen() {
    const std::size_t two_each = std::max<std::size_t>(options_.jobs_min, 2 * std::size_t{pool_->workers()});
    window_ = std::clamp(window_, std::min(two_each, options_.jobs_max), options_.jobs_max);
  }

  struct Place {
    std::uint64_t index{};
    std::size_t size{};
  };
  std::shared_ptr<detail::RawPool> pool_;
  std::unique_ptr<detail::RawStream> stream_;
  bool named_ = false;
  std::vector<std::uint64_t> whole_;  ///< named pools: results that count as delivered only together
  Items items_;
  ReadAhead options_;
  std::optional<std::ranges::iterator_t<Items>> position_;  ///< at the item that was used last
  bool exhausted_ = false;
  std::size_t batch_ = 1;           ///< items to submit at once
  bool slow_items_ = false;         ///< the last batch ended because reading it took long
  std::exception_ptr items_error_;  ///< thrown by the caller's range
  std::size_t window_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t bytes_ = 0;  ///< arguments in flight, and results not consumed where they count
  std::size_t mean_result_bytes_ = 0;
  std::uint64_t submitted_ = 0, yielded_ = 0;
  std::map<std::uint64_t, Place> place_;
  std::map<std::uint64_t, detail::RawOutcome> early_;  ///< ordered: by index
  std::deque<detail::RawOutcome> ready_;
  std::optional<value_type> value_;
  std::exception_ptr error_;
};

/// Yields the results of the jobs that earlier programs submitted to a named pool and that no program has so far. A
/// single-pass input range, as Results. What is left when it is destroyed is there for the next one.
template <class Worker>
class EarlierResults {
 public:
  using value_type = detail::result_value_t<Worker>;
  using iterator = ResultIterator<EarlierResults, value_type>;

  explicit EarlierResults(std::shared_ptr<detail::RawStream> stream) : stream_(std::move(stream)) {}

  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const { return {}; }
  /// So many are left.
  [[nodiscard]] std::size_t size() const { return stream_->in_flight(); }

 private:
  friend iterator;
  bool advance() {
    if (stream_->in_flight() == 0) {
      stream_->take(std::chrono::nanoseconds::zero());  // the caller has done with the last one
      return false;
    }
    // One at a time: what the caller does not ask for stays in the pool.
    const std::vector<detail::RawOutcome> outcomes = stream_->take(std::chrono::nanoseconds::max(), 1);
    stream_->hand_over({outcomes.front().sequence});
    detail::decode_outcome<Worker>(outcomes.front(), value_, error_);
    return true;
  }

  std::shared_ptr<detail::RawStream> stream_;
  std::optional<value_type> value_;
  std::exception_ptr error_;
};

}  // namespace dc

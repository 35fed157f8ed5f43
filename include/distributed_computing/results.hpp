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

/// Yields results while it reads the items: in order, or as they come. Reads only a bounded number of items ahead of what was
/// consumed, so that an endless range is fine. A single-pass input range: iterate once. Destroying it early discards what is
/// still under way. Dereferencing throws when that job failed; incrementing goes on with the next one.
template <class Worker, std::ranges::input_range Items>
class Results {
 public:
  using value_type = detail::result_value_t<Worker>;

  Results(std::shared_ptr<detail::RawPool> pool, Items items, bool ordered, std::size_t window)
      : pool_(std::move(pool)), stream_(pool_->open_stream()), items_(std::move(items)), ordered_(ordered), window_max_(window) {
    window_ = std::min<std::size_t>(window_max_, std::max<std::size_t>(16, 2 * pool_->workers()));
  }
  Results(Results&&) = default;

  class iterator {
   public:
    using value_type = Results::value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    iterator() = default;
    explicit iterator(Results* results) : results_(results) { ++*this; }
    const value_type& operator*() const {
      if (results_->error_) std::rethrow_exception(results_->error_);
      return *results_->value_;
    }
    const value_type* operator->() const { return &**this; }
    iterator& operator++() {
      if (!results_->advance()) results_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return results_ == nullptr; }

   private:
    Results* results_ = nullptr;
  };

  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  static constexpr std::size_t batch_max = 256;

  /// Makes the next result current; false at the end.
  bool advance() {
    while (true) {
      if (std::optional<detail::RawOutcome> outcome = next_outcome()) {
        value_.reset();
        error_ = outcome->error;
        if (!error_) decode(*outcome);
        return true;
      }
      feed();
      if (in_flight_ == 0 && ready_.empty() && early_.empty()) return false;
      if (take(std::chrono::nanoseconds::zero())) continue;
      if (window_ < window_max_) {
        window_ = std::min(window_max_, window_ * 2);  // the consumer waits: read further ahead
        if (!exhausted_ && bytes_ < detail::window_bytes) continue;
      }
      take(std::chrono::hours(1));
    }
  }

  void decode(const detail::RawOutcome& outcome) {
    try {
      value_ = detail::decode_result<Worker>(outcome.data, outcome.size);
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  std::optional<detail::RawOutcome> next_outcome() {
    if (ordered_) {
      const auto found = early_.find(next_sequence_);
      if (found == early_.end()) return std::nullopt;
      detail::RawOutcome outcome = std::move(found->second);
      early_.erase(found);
      ++next_sequence_;
      return outcome;
    }
    if (ready_.empty()) return std::nullopt;
    detail::RawOutcome outcome = std::move(ready_.front());
    ready_.pop_front();
    return outcome;
  }

  void feed() {
    while (!exhausted_ && in_flight_ < window_ && (bytes_ < detail::window_bytes || in_flight_ == 0)) {
      std::vector<std::string> batch;
      std::size_t batch_bytes = 0;
      const std::size_t room = std::min(batch_max, window_ - in_flight_);
      while (batch.size() < room && (batch.empty() || bytes_ + batch_bytes < detail::window_bytes)) {
        if (!position_) position_ = std::ranges::begin(items_);
        else if (advance_position_) ++*position_;
        advance_position_ = true;
        if (*position_ == std::ranges::end(items_)) {
          exhausted_ = true;
          break;
        }
        batch.push_back(detail::encode_item<Worker>(**position_));
        batch_bytes += batch.back().size();
      }
      if (batch.empty()) return;
      submit(std::move(batch));
      if (take(std::chrono::nanoseconds::zero())) return;
    }
  }

  void submit(std::vector<std::string> batch) {
    std::vector<std::size_t> sizes;
    for (const std::string& item : batch) sizes.push_back(item.size());
    const std::uint64_t first = stream_->submit(std::move(batch));
    // Other streams of the pool may have taken numbers in between: the order is that of our own items.
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (ordered_ || sizes[i] > 0) place_[first + i] = {submitted_ + i, sizes[i]};
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
      bytes_ -= place->second.size;
      if (ordered_) early_.emplace(place->second.index, std::move(outcome));
      else ready_.push_back(std::move(outcome));
      place_.erase(place);
    }
    return !outcomes.empty();
  }

  struct Place {
    std::uint64_t index{};
    std::size_t size{};
  };
  std::shared_ptr<detail::RawPool> pool_;
  std::unique_ptr<detail::RawStream> stream_;
  Items items_;
  std::optional<std::ranges::iterator_t<Items>> position_;
  bool advance_position_ = false;  ///< the item at position_ was used
  bool ordered_;
  bool exhausted_ = false;
  std::size_t window_ = 0, window_max_;
  std::size_t in_flight_ = 0, bytes_ = 0;
  std::uint64_t submitted_ = 0, next_sequence_ = 0;
  std::map<std::uint64_t, Place> place_;
  std::map<std::uint64_t, detail::RawOutcome> early_;
  std::deque<detail::RawOutcome> ready_;
  std::optional<value_type> value_;
  std::exception_ptr error_;
};

}  // namespace dc

// The lazy results of imap and imap_unordered.
#pragma once

#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <utility>

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
/// results that were not read; jobs that were submitted, 2,048 at most (8,192 of a named pool), still run, before later
/// jobs of the pool, unless that is closed. Dereferencing throws when that job failed; incrementing goes on with the
/// next one.
template <class Worker, std::ranges::input_range Items>
class Results {
 public:
  using value_type = detail::result_value_t<Worker>;

  Results(std::shared_ptr<detail::RawPool> pool, Items items, ReadAhead read_ahead)
      : raw_(std::move(pool), read_ahead), items_(std::move(items)) {}
  Results(Results&&) noexcept = default;

  using iterator = ResultIterator<Results, value_type>;

  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const { return {}; }

  /// With ReadAhead::whole: the caller has all results.
  void all_delivered() { raw_.all_delivered(); }

 private:
  friend iterator;

  /// Makes the next result current; false at the end. What the caller's range threw is the last result.
  bool advance() {
    if (const auto outcome = raw_.next([this] { return read_item(); })) {
      detail::decode_outcome<Worker>(*outcome, value_, error_);
      return true;
    }
    error_ = std::exchange(items_error_, nullptr);
    return error_ != nullptr;
  }

  /// The next item as bytes; nothing at the end of the range, or when it throws.
  std::optional<std::string> read_item() {
    try {
      if (position_)
        ++*position_;
      else
        position_ = std::ranges::begin(items_);
      if (*position_ == std::ranges::end(items_)) return std::nullopt;
      return detail::encode_item<Worker>(**position_);
    } catch (...) {
      items_error_ = std::current_exception();
      return std::nullopt;
    }
  }

  detail::RawResults raw_;
  Items items_;
  std::optional<std::ranges::iterator_t<Items>> position_;  ///< at the item that was used last
  std::exception_ptr items_error_;                          ///< thrown by the caller's range
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

  explicit EarlierResults(std::shared_ptr<client::Stream> earlier) : earlier_(std::move(earlier)) {}

  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const { return {}; }
  /// So many are left.
  [[nodiscard]] std::size_t size() const { return detail::left_in(*earlier_); }

 private:
  friend iterator;
  bool advance() {
    const auto outcome = detail::next_of(*earlier_);
    if (outcome) detail::decode_outcome<Worker>(*outcome, value_, error_);
    return outcome.has_value();
  }

  std::shared_ptr<client::Stream> earlier_;
  std::optional<value_type> value_;
  std::exception_ptr error_;
};

}  // namespace dc

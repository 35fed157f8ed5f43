// Something for each of many jobs, in the order of their numbers. Those are dense mostly: neighbours share a block, so
// that one costs hardly more than what is told of it, and one that stands alone no more than a block.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/check.hpp"
#include "core/ids.hpp"

namespace dc {

/// Like a std::map from numbers of jobs to T; but iterators give items by value, which refer to what is there. What
/// stands in it does not move.
template <class T>
class JobTable {
  static constexpr JobSequence width = 64;
  struct Block {
    std::uint64_t present = 0;  ///< a bit for each
    std::array<T, width> items;
  };
  using Blocks = std::map<JobSequence, std::unique_ptr<Block>>;  ///< by number / width; none but the last is empty

  template <bool is_const>
  class BasicIterator {
    using Outer = std::conditional_t<is_const, typename Blocks::const_iterator, typename Blocks::iterator>;

   public:
    struct Item {
      JobSequence first;
      std::conditional_t<is_const, const T, T>& second;
      const Item* operator->() const { return this; }
    };
    using iterator_category = std::input_iterator_tag;
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using pointer = Item;
    using reference = Item;
    Item operator*() const { return {block_->first * width + place_, block_->second->items[place_]}; }
    Item operator->() const { return **this; }
    BasicIterator& operator++() {
      go_to(place_ + 1);
      return *this;
    }
    bool operator==(const BasicIterator& other) const { return block_ == other.block_ && place_ == other.place_; }

   private:
    friend class JobTable;
    BasicIterator(Outer block, Outer end, JobSequence place) : block_(block), end_(end) { go_to(place); }
    /// The first that is there from this place of the block on.
    void go_to(JobSequence place) {
      for (place_ = 0; block_ != end_; ++block_, place = 0) {
        const std::uint64_t left = place < width ? block_->second->present >> place << place : 0;
        if (left == 0) continue;
        place_ = static_cast<JobSequence>(std::countr_zero(left));
        return;
      }
    }
    Outer block_, end_;
    JobSequence place_ = 0;
  };

 public:
  using iterator = BasicIterator<false>;
  using const_iterator = BasicIterator<true>;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool contains(JobSequence sequence) const { return find(sequence) != end(); }
  iterator begin() { return {blocks_.begin(), blocks_.end(), 0}; }
  iterator end() { return {blocks_.end(), blocks_.end(), 0}; }
  [[nodiscard]] const_iterator begin() const { return {blocks_.begin(), blocks_.end(), 0}; }
  [[nodiscard]] const_iterator end() const { return {blocks_.end(), blocks_.end(), 0}; }
  iterator find(JobSequence sequence) { return find_in<iterator>(blocks_, sequence); }
  [[nodiscard]] const_iterator find(JobSequence sequence) const { return find_in<const_iterator>(blocks_, sequence); }
  /// The first with this number or a higher one.
  iterator lower_bound(JobSequence sequence) { return first_from<iterator>(blocks_, sequence); }
  [[nodiscard]] const_iterator lower_bound(JobSequence sequence) const {
    return first_from<const_iterator>(blocks_, sequence);
  }

  /// That of this job, which is there.
  [[nodiscard]] const T& at(JobSequence sequence) const {
    const auto found = find(sequence);
    DC_CHECK(found != end());
    return found->second;
  }
  /// That of this job, if there is one; it is no longer here then.
  std::optional<T> take(JobSequence sequence) {
    const auto found = find(sequence);
    if (found == end()) return std::nullopt;
    std::optional<T> taken = std::move(found->second);
    erase(found);
    return taken;
  }
  void clear() { *this = {}; }
  /// That of this job; true: a new one, for there was none.
  std::pair<T&, bool> try_emplace(JobSequence sequence) {
    Block& block = block_at(sequence / width);
    const std::uint64_t bit = std::uint64_t{1} << sequence % width;
    const bool is_new = (block.present & bit) == 0;
    size_ += is_new ? 1 : 0;
    block.present |= bit;
    return {block.items[sequence % width], is_new};
  }
  T& operator[](JobSequence sequence) { return try_emplace(sequence).first; }
  void erase(iterator item) {
    Block& block = *item.block_->second;
    block.items[item.place_] = T();
    block.present &= ~(std::uint64_t{1} << item.place_);
    --size_;
    // Jobs come and go one by one, often: the block of the latest waits for the next.
    if (block.present == 0 && std::next(item.block_) != blocks_.end()) blocks_.erase(item.block_);
  }

 private:
  Block& block_at(JobSequence number) {
    const auto found = blocks_.find(number);
    if (found != blocks_.end()) return *found->second;
    if (blocks_.empty() || blocks_.rbegin()->second->present != 0)
      return *blocks_.emplace(number, std::make_unique<Block>()).first->second;
    auto spare = blocks_.extract(std::prev(blocks_.end()));
    spare.key() = number;
    return *blocks_.insert(std::move(spare)).position->second;
  }
  template <class Iterator, class Of>
  static Iterator find_in(Of& blocks, JobSequence sequence) {
    const auto block = blocks.find(sequence / width);
    const bool there = block != blocks.end() && (block->second->present >> sequence % width & 1) != 0;
    return there ? Iterator{block, blocks.end(), sequence % width} : Iterator{blocks.end(), blocks.end(), 0};
  }
  template <class Iterator, class Of>
  static Iterator first_from(Of& blocks, JobSequence sequence) {
    const auto block = blocks.lower_bound(sequence / width);
    const bool within = block != blocks.end() && block->first == sequence / width;
    return {block, blocks.end(), within ? sequence % width : 0};
  }

  Blocks blocks_;
  std::size_t size_ = 0;
};

}  // namespace dc

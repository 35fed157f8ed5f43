// How many lines, or other things that peers cause, are shown in a second. Time comes in as an argument.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

#include "core/clock.hpp"

namespace dc {

class TextPace {
 public:
  constexpr TextPace(double at_once, double per_second) : most_(at_once), per_second_(per_second), room_(at_once) {}

  /// So many may come now.
  [[nodiscard]] std::size_t room(TimePoint now) {
    refill(now);
    return static_cast<std::size_t>(std::max(room_, 0.0));
  }
  /// They came: no more than there was room for.
  void spend(std::size_t count) { room_ -= static_cast<double>(count); }

  /// How many were left out before this one, or nothing when this one is too many.
  std::optional<std::size_t> admit(TimePoint now) {
    refill(now);
    if (room_ < 1) {
      ++left_out_;
      return std::nullopt;
    }
    room_ -= 1;
    return std::exchange(left_out_, 0);
  }

 private:
  void refill(TimePoint now) {
    const double seconds = std::chrono::duration<double>(now - at_).count();
    at_ = now;
    room_ = std::min(most_, room_ + seconds * per_second_);
  }

  double most_, per_second_, room_;
  TimePoint at_{};
  std::size_t left_out_ = 0;
};

}  // namespace dc

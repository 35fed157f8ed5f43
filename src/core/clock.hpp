// Time as the machines see it: a point on a steady clock, always handed in as an argument.
#pragma once

#include <chrono>

namespace dc {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using namespace std::chrono_literals;

/// What the clocks on the wall say, which people set: for the age of what outlives a machine's start, and nothing else.
using WallTime = std::chrono::sys_seconds;

/// The later end of time: "no deadline".
inline constexpr TimePoint never = TimePoint::max();

}  // namespace dc

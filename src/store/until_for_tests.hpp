// For tests: waiting for what another thread, or a server, is about to do.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "core/clock.hpp"

namespace dc::store {

/// False: it did not come to be in time.
inline bool until(const std::function<bool()>& condition, Duration limit = 10s) {
  const TimePoint end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

/// For what must not come to be meanwhile.
inline void pass(Duration time) {
  until([] { return false; }, time);
}

}  // namespace dc::store

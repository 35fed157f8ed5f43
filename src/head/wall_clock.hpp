// The clock on the wall, read in this one place: for the age of values of keys (kept_pool_keys.cpp), and for nothing
// that decides who is head or what runs.
#pragma once

#include <chrono>

#include "core/clock.hpp"

namespace dc::head {

inline WallTime wall_now() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

}  // namespace dc::head

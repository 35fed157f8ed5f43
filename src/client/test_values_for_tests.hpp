// What the client's tests send and wait for.
#pragma once

#include <cstdint>
#include <string>

#include "core/clock.hpp"
#include "core/job.hpp"
#include "core/payload.hpp"

namespace dc::client {

inline constexpr Duration long_enough = 20s;

inline Payload number(std::uint64_t value) { return Payload(std::to_string(value)); }

}  // namespace dc::client

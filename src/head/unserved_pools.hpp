// Named pools that lie on this machine where a head may have kept them before, but not in the store that it has chosen
// now.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dc::head {

/// Of start_redis().
inline constexpr std::uint16_t seed_redis_port = 6379;

/// Sentences for the operator, each with the --store to write: none when there are no such pools. `chosen`: the URL of
/// the store that nobody named. Reads files only: nothing is sent to anybody.
std::vector<std::string> unserved_pools(const std::string& chosen, std::uint16_t head_port);

}  // namespace dc::head

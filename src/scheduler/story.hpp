// The nodes and pools of the scheduler's tests.
#pragma once

#include "core/ids.hpp"

namespace dc::scheduler {

inline constexpr NodeId node{1}, other_node{2};
inline constexpr PoolId pool{10}, other_pool{11}, third_pool{12};

}  // namespace dc::scheduler

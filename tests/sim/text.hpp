// Messages in the trace, and the names of pools.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/ids.hpp"
#include "wire/messages.hpp"
#include "world.hpp"

namespace dc::sim {

/// A line of the trace: this message arrives.
void note_message(World& world, std::string_view from, std::string_view to, const wire::Message& message);

/// The label of a pool names it and its plan, so that a node can find both.
std::string label_of(PoolId pool, std::size_t plan);
std::pair<PoolId, std::size_t> pool_of_label(const std::string& label);

/// Arguments of a job begin with its number in the ledger; 0: they do not.
std::size_t job_in(std::string_view arguments);

}  // namespace dc::sim

// Which slots a pool's workers can live on, by what their devices are and by what the nodes say of them now.
#pragma once

#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/job.hpp"
#include "scheduler/state.hpp"

namespace dc::scheduler {

/// By what never changes: kind and size of the device; and the node has as many different ones as a worker needs.
bool eligible(const Pool& pool, const Slot& slot);

/// No trouble, and enough memory free for the pool, as of when none of our workers used it.
bool ready(const Pool& pool, const Slot& slot);

/// A worker of the pool could live here: no failed constructor forbids it at this time.
bool suits(const Pool& pool, const Slot& slot, TimePoint now);

/// A slot that the pool has, or could have now or as soon as its present worker is gone.
bool usable(const Pool& pool, const Slot& slot, TimePoint now);

/// Of a pool whose workers need several GPUs: slots of as many as could be there at once, were these slots its own.
std::uint32_t capacity(const Pool& pool, const std::vector<Slot*>& slots, TimePoint now);

/// What the pool asks for, e.g. "2 GPUs with 40000 MiB each".
std::string requirement_of(const PoolOptions& options);

}  // namespace dc::scheduler

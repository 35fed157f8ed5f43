// What a head does with its store before its door opens.
#pragma once

#include "core/result.hpp"
#include "head/head_machine.hpp"
#include "store/store.hpp"

namespace dc::head {

/// Reads the named pools that an earlier head kept, and waits until that one cannot speak any more. A pool whose
/// journal is broken, or contradicts itself, is refused alone. Fails when the store cannot be read, or is another
/// head's.
Result<void> restore_pools(store::Store& store, HeadMachine& machine, Effects& effects);

}  // namespace dc::head

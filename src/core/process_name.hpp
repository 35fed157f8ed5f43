// A name for a process that no other one ever has: a later process on the same machine can tell whether it is gone.
#pragma once

#include <string>

namespace dc {

/// Of this process: what the kernel is since it was started, the namespace of process ids, the id in it, and when the
/// process began.
std::string process_name();

/// True: that process ran here and has ended. False: it lives, or nobody can tell from here (another machine, another
/// container, an empty name).
bool process_is_gone(const std::string& name);

}  // namespace dc

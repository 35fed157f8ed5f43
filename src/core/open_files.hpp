// How many descriptors this process may have.
#pragma once

#include <sys/resource.h>

#include <cstddef>
#include <optional>

namespace dc {

/// Lets this process have as many descriptors as the system allows it: every connection and every large payload is one.
/// Returns the limit as it was, for processes that it starts: programs that use select() must not have more than 1024.
std::optional<rlimit> raise_open_files_limit();

/// The limit as it is now.
std::size_t open_files_limit();

}  // namespace dc

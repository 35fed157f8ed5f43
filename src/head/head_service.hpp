// The head as a process: event loop, listener, and the machine between them.
#pragma once

#include "head/head_options.hpp"

namespace dc::head {

/// Runs until SIGTERM, SIGINT or SIGHUP. Returns an ExitCode; what was wrong is on stderr.
int run_head(HeadOptions options);

}  // namespace dc::head

// Copies of the worker that the user's code makes with fork() and that come out of run: they must not speak for it.
#pragma once

#include "core/job.hpp"

namespace dc::worker {

/// To be called once, before any of the user's code. What a copy writes about a crash of its own goes to stderr then:
/// the file for that (worker_claims_fd) is the worker's.
void watch_forks();

/// Whether this process is such a copy. As cheap as reading a variable.
bool forked();

/// Ends a copy that has done what `outcome` says: with status 0, or 1 and the error on stderr. Flushes stdio.
[[noreturn]] void end_copy(const Outcome& outcome);

}  // namespace dc::worker

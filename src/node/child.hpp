// What happens between fork and exec of a worker process.
#pragma once

#include <sched.h>
#include <sys/resource.h>
#include <sys/types.h>

namespace dc::node {

/// Everything the child needs, prepared before the fork: the child must not allocate.
struct ChildPlan {
  int socket, claims, output, null;
  int report;  ///< gets errno when it cannot come to that; closed by a successful exec
  char* const* command;
  char* const* environment;
  pid_t parent;
  const rlimit* open_files;  ///< or nullptr
  const cpu_set_t* cpus;     ///< or nullptr
  const char* directory;     ///< or nullptr
};

/// Runs in the child, with all signals blocked. Makes only async-signal-safe calls.
[[noreturn]] void become_worker(const ChildPlan& plan);

}  // namespace dc::node

// What happens between fork and exec of a worker process, and of its warden.
#pragma once

#include <sched.h>
#include <sys/resource.h>
#include <sys/types.h>

namespace dc::node {

/// Everything the child needs, prepared before the fork: the child must not allocate.
struct ChildPlan {
  int socket, claims, output, errors, null;
  int report;  ///< gets errno when it cannot come to that; closed by a successful exec
  char* const* command;
  char* const* environment;
  pid_t parent;              ///< the node; of the worker it is the warden
  int warden_report;         ///< where the warden reports; see warden.hpp
  int warden_program;        ///< or -1
  const rlimit* open_files;  ///< or nullptr
  const cpu_set_t* cpus;     ///< or nullptr
  const char* directory;     ///< or nullptr
};

/// Runs in the child, with all signals blocked. Makes only async-signal-safe calls.
[[noreturn]] void become_warden(const ChildPlan& plan);
/// The same in the child of the warden, which it makes.
[[noreturn]] void become_worker(const ChildPlan& plan);

}  // namespace dc::node

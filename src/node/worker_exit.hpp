// How a worker process ended, and the sentence that its owner reads about it. Pure.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/job.hpp"

namespace dc::node {

/// The stack of Python's threads in what its faulthandler wrote, without what is not the user's. Empty unless the
/// process ended by a signal of a crash: somebody else may have written.
std::string python_stack(std::string_view crash_text, int signal);

struct ProcessEnd {
  std::optional<int> exit_status;
  std::optional<int> signal;
  std::string last_output;     ///< the last lines that it printed, and Python's stack after a crash
  std::string spawn_error;     ///< it could not be started: a whole sentence
  bool out_of_memory = false;  ///< the kernel ended it for lack of memory
  TimePoint at{};              ///< when
};

/// What the node knew of the worker when it ended.
struct ExitScene {
  std::string host;
  std::uint32_t slot{};
  pid_t pid{};
  ExitCause cause{};
  std::string cause_text;  ///< why the node ended it; may be empty
  bool constructed = false;
  bool ran_a_job = false;
  UpdateNumber updating = 0;  ///< the update in whose handle_update it ended; 0: none
  std::string device = {};    ///< its GPUs, what it held there, and what their driver reported
};

/// The message is complete: who, where, how, why, and what to do where that is known.
ErrorInfo describe_end(const ExitScene& scene, const ProcessEnd& end);

}  // namespace dc::node

// See worker_exit.hpp.
#include "node/worker_exit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <string_view>

namespace dc::node {
namespace {

ErrorKind kind_of(ExitCause cause) {
  switch (cause) {
    case ExitCause::init_failed:
      return ErrorKind::worker_init_error;
    case ExitCause::job_timeout:
      return ErrorKind::job_timeout;
    case ExitCause::requested:
    case ExitCause::died:
    case ExitCause::drained:
    case ExitCause::out_of_memory:
      return ErrorKind::worker_died;
  }
  return ErrorKind::worker_died;
}

/// What stands between `before` and `after` in `text`; empty when it is not there.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  const std::size_t begin = text.find(before);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + before.size());
  return text.substr(0, text.find_first_of(after));
}

/// What to do about a process that never became a worker, as far as its last words tell.
std::string advice(std::string_view output) {
  if (const auto library = between(output, "error while loading shared libraries: ", ":\n"); !library.empty()) {
    return fmt::format(
        "the program needs the library {}, which this machine lacks: install it here, or link it statically", library);
  }
  if (const auto version = between(output, "version `", "'\n"); !version.empty()) {
    return fmt::format(
        "the program needs {}, which the system libraries of this machine are too old for: build it on the "
        "oldest system in use, or link it statically",
        version);
  }
  const bool no_package = output.find("No module named distributed_computing") != std::string_view::npos ||
                          output.find("No module named 'distributed_computing'") != std::string_view::npos;
  if (no_package) {
    return "this Python has no package distributed_computing: install it there, or start the node with --python and an "
           "interpreter that has it";
  }
  return {};
}

std::string how_it_ended(const ProcessEnd& end) {
  if (!end.signal) return fmt::format("ended with exit status {}", end.exit_status.value_or(-1));
  const char* name = ::sigabbrev_np(*end.signal);
  return name ? fmt::format("was killed by signal {} (SIG{})", *end.signal, name)
              : fmt::format("was killed by signal {}", *end.signal);
}

/// A line of faulthandler's that tells the user nothing: our own frames, and a long list of modules.
bool is_noise(std::string_view line) {
  return line.find("/distributed_computing/worker_main.py\"") != line.npos ||
         line.starts_with("  File \"<string>\", line ") || line.starts_with("Extension modules: ");
}

}  // namespace

std::string python_stack(std::string_view crash_text, int signal) {
  constexpr std::array crashes = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
  if (std::find(crashes.begin(), crashes.end(), signal) == crashes.end()) return {};
  const std::size_t begin = crash_text.rfind("Fatal Python error: ");
  if (begin == crash_text.npos) return {};
  crash_text.remove_prefix(begin);
  std::string stack;
  while (!crash_text.empty()) {
    const std::string_view line = crash_text.substr(0, crash_text.find('\n'));
    crash_text.remove_prefix(std::min(line.size() + 1, crash_text.size()));
    if (!is_noise(line)) stack.append(line) += '\n';
  }
  while (stack.ends_with('\n')) stack.pop_back();
  return stack;
}

ErrorInfo describe_end(const ExitScene& scene, const ProcessEnd& end) {
  ErrorInfo error = ErrorInfo::of(kind_of(scene.cause), {}, scene.host, scene.slot);
  error.traceback = end.last_output;
  error.exit_status = end.exit_status.value_or(-1);
  error.signal = end.signal.value_or(0);
  if (!end.spawn_error.empty()) {
    error.message =
        fmt::format("the worker on {} slot {} cannot be started: {}", scene.host, scene.slot, end.spawn_error);
    return error;
  }
  if (scene.pid == 0) {
    error.message = fmt::format("the worker on {} slot {} was not started", scene.host, scene.slot);
    if (!scene.cause_text.empty()) error.message += ": " + scene.cause_text;
    return error;
  }
  const std::string doing = scene.updating != 0 ? fmt::format("while it applied update {}", scene.updating)
                            : scene.ran_a_job   ? "while it ran the job"
                            : scene.constructed ? "between jobs"
                                                : "while it constructed the class";
  error.message = fmt::format("the worker on {} slot {} (pid {}) {} {}", scene.host, scene.slot, scene.pid,
                              how_it_ended(end), doing);
  std::string why = scene.cause_text.empty() && !scene.constructed ? advice(end.last_output) : scene.cause_text;
  if (end.out_of_memory) {
    why =
        "this machine (or its memory limit) ran out of memory and the kernel chose this process: start the node with "
        "fewer --workers, or let a job use less";
  }
  if (!why.empty()) error.message += ": " + why;
  if (!scene.device.empty() && scene.cause != ExitCause::requested && scene.cause != ExitCause::drained)
    error.message += fmt::format(" [on {}]", scene.device);
  return error;
}

}  // namespace dc::node

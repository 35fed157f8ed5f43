// See init.hpp.
#include "cli/init.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace dc::cli {
namespace {

constexpr int killed_by = 128;  ///< and the signal: as a shell tells it

/// The exit code of `child` if it is among those that have ended.
std::optional<int> reap_all(pid_t child) {
  std::optional<int> code;
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == child) code = WIFEXITED(status) ? WEXITSTATUS(status) : killed_by + WTERMSIG(status);
  }
  return code;
}

}  // namespace

void open_standard_descriptors() {
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::dup(fd)) {
    if (fd > STDERR_FILENO) return void(::close(fd));
  }
}

std::optional<int> stay_as_init(const std::function<void()>& in_parent) {
  if (::getpid() != 1) return std::nullopt;
  sigset_t all, before;  // blocked, a signal waits even where number 1 would ignore it
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t child = ::fork();
  if (child <= 0) {  // also where there can be no child: then nobody is buried, but the work is done
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return std::nullopt;
  }
  in_parent();
  while (true) {
    siginfo_t signal{};
    if (::sigwaitinfo(&all, &signal) < 0 && errno == EINTR) continue;
    if (const auto code = reap_all(child)) return code;
    // What the terminal sends, the child has got itself.
    if (signal.si_signo != SIGCHLD && signal.si_code != SI_KERNEL) ::kill(child, signal.si_signo);
  }
}

}  // namespace dc::cli

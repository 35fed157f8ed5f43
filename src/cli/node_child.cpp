// See node_child.hpp.
#include "cli/node_child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include "core/limits.hpp"
#include "core/output.hpp"

namespace dc::cli {
namespace {

constexpr int patience_s = limits::leave_at_once_max.count();

/// Waits for the word of the parent, and for nothing when the parent is gone.
bool may_start(int pipe) {
  char word = 0;
  ssize_t size = 0;
  do size = ::read(pipe, &word, 1);
  while (size < 0 && errno == EINTR);
  return size == 1;
}

}  // namespace

NodeChild::NodeChild(const std::function<int()>& run) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    problem_ = fmt::format("no process can be started for the node ({})", std::strerror(errno));
    return;
  }
  std::fflush(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::close(pipe[1]);
    const bool go = may_start(pipe[0]);
    ::close(pipe[0]);
    const int code = go ? run() : EXIT_FAILURE;
    output::flush();
    std::fflush(nullptr);
    std::_Exit(code);
  }
  const int error = errno;
  ::close(pipe[0]);
  go_ = pipe[1];
  if (pid_ < 0) problem_ = fmt::format("no process can be started for the node ({})", std::strerror(error));
  if (pid_ > 0) pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
}

NodeChild::~NodeChild() {
  if (pid_ > 0) wait_for_end();
  if (go_ >= 0) ::close(go_);
  if (pidfd_ >= 0) ::close(pidfd_);
}

void NodeChild::start() {
  if (pid_ > 0) started_ = ::write(go_, "g", 1) == 1;
}

std::string NodeChild::reap() {
  int status = 0;
  if (pid_ <= 0 || ::waitpid(pid_, &status, WNOHANG) != pid_) return {};
  const pid_t pid = std::exchange(pid_, -1);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                              : fmt::format("exit code {}", WEXITSTATUS(status));
  return fmt::format(
      "the node beside this head (pid {}) ended unexpectedly ({}); the head goes on without it: "
      "start_node brings a new one",
      pid, how);
}

void NodeChild::leave() {
  left_ = true;
  if (go_ >= 0) ::close(std::exchange(go_, -1));  // never told to start: ends by itself
  if (pid_ > 0 && started_) ::kill(pid_, SIGINT);
}

void NodeChild::wait_for_end() {
  if (pid_ <= 0) return;
  sigset_t signals, before;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  if (!left_) leave();
  for (int seconds = 0; ::waitpid(pid_, nullptr, WNOHANG) == 0;) {
    const timespec second{1, 0};
    const int signal = ::sigtimedwait(&signals, nullptr, &second);
    if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP) ::kill(pid_, SIGTERM);
    if (signal < 0 && ++seconds == patience_s) ::kill(pid_, SIGKILL);
  }
  pid_ = -1;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace dc::cli

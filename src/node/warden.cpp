// See warden.hpp. Uses the C library alone: this file is also most of a program that must stay small.
#include "node/warden.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/limits.hpp"

namespace dc::node {
namespace {

constexpr int pause_ms = 10;  ///< between two looks at what is still there

bool digit(char c) { return c >= '0' && c <= '9'; }

/// Whether a child was there, and is reaped or will be soon; `spared` is none.
bool end_child(pid_t child, pid_t spared) {
  if (child <= 0 || child == spared) return false;
  return ::waitpid(child, nullptr, WNOHANG) == child || ::kill(child, SIGKILL) == 0;
}

/// Those in the list that the kernel keeps: how many there were. -1: it keeps none.
int end_listed_children(pid_t spared) {
  const int file = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  int ended = 0;
  pid_t child = 0;
  char text[4096];
  for (ssize_t size = 0; (size = ::read(file, text, sizeof text)) > 0;) {
    for (ssize_t i = 0; i < size; ++i) {
      if (digit(text[i])) {
        child = 10 * child + (text[i] - '0');
      } else {
        ended += end_child(child, spared) ? 1 : 0;
        child = 0;
      }
    }
  }
  ::close(file);
  return ended;
}

/// The parent of a process, by /proc/PID/stat: "PID (NAME) STATE PARENT ...".
pid_t parent_of(const char* pid) {
  char path[32];
  if (std::snprintf(path, sizeof path, "/proc/%s/stat", pid) >= static_cast<int>(sizeof path)) return 0;
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char text[512] = {};
  const ssize_t size = ::read(file, text, sizeof text - 1);
  ::close(file);
  const char* name_end = size > 0 ? std::strrchr(text, ')') : nullptr;
  return name_end && std::strlen(name_end) > 4 ? std::atoi(name_end + 4) : 0;
}

/// For kernels without that list: looks at every process.
int end_found_children(pid_t spared) {
  const int proc = ::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return 0;
  int ended = 0;
  alignas(dirent64) char entries[4096];
  for (long size = 0; (size = ::syscall(SYS_getdents64, proc, entries, sizeof entries)) > 0;) {
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(entries + at);
      if (digit(entry->d_name[0]) && parent_of(entry->d_name) == ::getpid())
        ended += end_child(std::atoi(entry->d_name), spared) ? 1 : 0;
      at += entry->d_reclen;
    }
  }
  ::close(proc);
  return ended;
}

int end_children(pid_t spared) {
  const int ended = end_listed_children(spared);
  return ended >= 0 ? ended : end_found_children(spared);
}

long now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

sigset_t wake_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, warden_node_gone_signal());
  return set;
}

/// Reaps who has ended, but for the worker: true when that one has.
bool reap_all_but(pid_t worker, siginfo_t& end) {
  while (true) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return false;
    if (info.si_pid == worker) {
      end = info;
      return true;
    }
    ::waitpid(info.si_pid, nullptr, WNOHANG);
  }
}

/// The children of who is killed become ours: again and again, until nobody is there. One that hangs in a driver is
/// left to the system.
void end_all_but(pid_t worker) {
  const sigset_t wake = wake_signals();
  const timespec pause{0, pause_ms * 1'000'000};
  const long deadline = now_ms() + limits::orphans_patience.count();
  while (end_children(worker) > 0 && now_ms() < deadline) ::sigtimedwait(&wake, nullptr, &pause);
}

}  // namespace

int warden_node_gone_signal() { return SIGRTMAX; }

void stand_guard(pid_t worker, pid_t node, int report) {
  const sigset_t wake = wake_signals();
  const timespec patience{limits::orphans_patience.count() / 1000, 0};
  bool node_gone = false;
  siginfo_t end{};
  while (!reap_all_but(worker, end)) {
    if (::getppid() != node && !node_gone) {
      node_gone = true;
      if (::killpg(worker, SIGKILL) != 0) ::kill(worker, SIGKILL);
    }
    if (::sigtimedwait(&wake, nullptr, node_gone ? &patience : nullptr) < 0 && errno == EAGAIN) break;
  }
  ::killpg(worker, SIGKILL);  // what it left in its group: none else can have that number as long as it is not reaped
  end_all_but(worker);
  const WardenReport told{end.si_code, end.si_status};
  [[maybe_unused]] const auto written = ::write(report, &told, sizeof told);
  ::waitpid(worker, nullptr, WNOHANG);
  ::_exit(0);
}

}  // namespace dc::node

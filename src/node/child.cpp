// See child.hpp.
#include "node/child.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "wire/claims.hpp"

namespace dc::node {
namespace {

constexpr int report_fd = 5;
constexpr int first_free_fd = 10;  // above every fixed number
constexpr int busy_retries = 50;

/// `report` is where the node reads why.
[[noreturn]] void give_up(int report) {
  const int error = errno;
  [[maybe_unused]] const auto written = ::write(report, &error, sizeof error);
  ::_exit(127);
}

void place_descriptors(const ChildPlan& plan) {
  // Copies above the fixed numbers first, so that none is overwritten before it is used.
  const auto above = [&plan](int fd) {
    const int copy = ::fcntl(fd, F_DUPFD, first_free_fd);
    if (copy < 0) give_up(plan.report);  // there may be few (ulimit -n)
    return copy;
  };
  const int report = above(plan.report);
  const auto put = [report](int fd, int number) {
    if (::dup2(fd, number) < 0) give_up(report);
  };
  const int socket = above(plan.socket), claims = above(plan.claims), output = above(plan.output);
  const int null = above(plan.null);
  put(null, 0);
  put(output, 1);
  put(output, 2);
  put(socket, wire::worker_socket_fd);
  put(claims, wire::worker_claims_fd);
  put(report, report_fd);
  ::fcntl(report_fd, F_SETFD, FD_CLOEXEC);
  if (::syscall(SYS_close_range, static_cast<unsigned>(report_fd + 1), ~0U, 0U) != 0) {
    for (int fd = report_fd + 1; fd < 4096; ++fd) ::close(fd);  // a kernel before 5.9
  }
}

/// Dispositions first: a signal that waits must not run a handler of the node in here.
void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

void become_worker(const ChildPlan& plan) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);  // the node died before the line above
  place_descriptors(plan);
  if (plan.open_files) ::setrlimit(RLIMIT_NOFILE, plan.open_files);
  if (plan.cpus) ::sched_setaffinity(0, sizeof *plan.cpus, plan.cpus);
  if (plan.directory && ::chdir(plan.directory) != 0) give_up(report_fd);
  reset_signals();
  // A program that was written a moment ago is "busy" while another child, forked meanwhile, still holds the
  // descriptor.
  for (int i = 0; i < busy_retries; ++i) {
    ::execve(plan.command[0], plan.command, plan.environment);
    if (errno != ETXTBSY) break;
    const timespec pause{0, 10'000'000};
    ::nanosleep(&pause, nullptr);
  }
  give_up(report_fd);
}

}  // namespace dc::node

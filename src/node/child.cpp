// See child.hpp.
#include "node/child.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "node/warden.hpp"
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
  const int errors = above(plan.errors), null = above(plan.null);
  put(null, 0);
  put(output, 1);
  put(errors, 2);
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

/// The pipe as 3, the program as 4 if there is room for it, and of the node's descriptors nothing else. Returns the
/// program.
int keep_two_descriptors(const ChildPlan& plan) {
  constexpr int pipe = 3, program = 4;
  for (const int standard : {0, 1, 2}) ::dup2(plan.null, standard);
  const int moved = plan.warden_program == pipe ? ::dup(pipe) : plan.warden_program;
  const int from = plan.warden_report;
  ::dup2(from, pipe);
  ::fcntl(pipe, F_SETFD, 0);
  const bool has_program = moved >= 0 && ::dup2(moved, program) == program;
  const unsigned first = static_cast<unsigned>(has_program ? program : pipe) + 1;
  if (::syscall(SYS_close_range, first, ~0U, 0U) != 0) {
    for (unsigned fd = first; fd < 4096; ++fd) ::close(static_cast<int>(fd));
  }
  ::fcntl(program, F_SETFD, FD_CLOEXEC);
  return has_program ? program : -1;
}

}  // namespace

void become_warden(const ChildPlan& plan) {
  ::setpgid(0, 0);  // what is sent to the node's group must not end those who clean up behind it
  ::prctl(PR_SET_PDEATHSIG, warden_node_gone_signal());
  if (::getppid() != plan.parent) ::_exit(127);  // the node died before the line above
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::signal(SIGCHLD, SIG_DFL);
  ChildPlan of_worker = plan;
  of_worker.parent = ::getpid();
  const pid_t worker = ::fork();
  if (worker == 0) become_worker(of_worker);
  const pid_t told = worker < 0 ? -errno : worker;
  if (worker > 0) ::setpgid(worker, worker);  // here and there: whoever comes first
  if (::write(plan.warden_report, &told, sizeof told) != sizeof told || worker < 0) ::_exit(127);
  const pid_t node = plan.parent;
  if (const int program = keep_two_descriptors(plan); program >= 0) {
    char name[] = "dc-warden", numbers[2][16];
    std::snprintf(numbers[0], sizeof numbers[0], "%d", worker);
    std::snprintf(numbers[1], sizeof numbers[1], "%d", node);
    char* const command[] = {name, numbers[0], numbers[1], nullptr};
    char* const no_environment[] = {nullptr};
    ::syscall(SYS_execveat, program, "", command, no_environment, AT_EMPTY_PATH);
  }
  stand_guard(worker, node, 3);  // a system that executes nothing from memory
}

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

// Birth and death of worker processes. Between fork and exec only async-signal-safe calls are made.
#include "node/worker_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

extern char** environ;

namespace dc::node {
namespace {

constexpr int socket_buffer_bytes = 1 << 20;

/// The node's environment without the password, plus what the worker needs.
std::vector<std::string> clean_environment(const SpawnOptions& options) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const bool named = text.starts_with("DISTRIBUTED_COMPUTING_PASSWORD=");
    if (named || (!options.secret.empty() && text.find(options.secret) != std::string_view::npos)) continue;
    result.emplace_back(text);
  }
  result.insert(result.end(), options.environment.begin(), options.environment.end());
  return result;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

struct ChildPlan {
  int socket, claims, output, null, report;
  char* const* command;
  char* const* environment;
  pid_t parent;
};

/// Runs in the child. Writes errno to `report` when the program cannot be executed.
[[noreturn]] void become_worker(const ChildPlan& plan) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);
  // Move our ends above the fixed numbers first, so that none is overwritten before it is used.
  const int socket = ::fcntl(plan.socket, F_DUPFD, 10);
  const int claims = ::fcntl(plan.claims, F_DUPFD, 10);
  const int output = ::fcntl(plan.output, F_DUPFD, 10);
  const int null = ::fcntl(plan.null, F_DUPFD, 10);
  const int report = ::fcntl(plan.report, F_DUPFD, 10);
  ::dup2(null, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  ::dup2(socket, wire::worker_socket_fd);
  ::dup2(claims, wire::worker_claims_fd);
  ::dup2(report, 5);
  ::fcntl(5, F_SETFD, FD_CLOEXEC);
  ::syscall(SYS_close_range, 6U, ~0U, 0U);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  ::execve(plan.command[0], plan.command, plan.environment);
  const int error = errno;
  [[maybe_unused]] const auto written = ::write(5, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}
int Fd::release() { return std::exchange(fd_, -1); }
void Fd::reset() {
  if (fd_ >= 0) ::close(release());
}

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::spawn(const SpawnOptions& options) {
  const auto refused = [](const char* what) {
    return fail(ErrorCode::io, fmt::format("{} ({})", what, std::strerror(errno)));
  };
  std::array<int, 2> sockets{}, output{}, report{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets.data()) != 0) return refused("no socket pair");
  Fd ours(sockets[0]), theirs(sockets[1]);
  for (const int socket : sockets) {
    ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &socket_buffer_bytes, sizeof socket_buffer_bytes);
  }
  if (::pipe2(output.data(), O_CLOEXEC) != 0) return refused("no pipe");
  Fd output_read(output[0]), output_write(output[1]);
  if (::pipe2(report.data(), O_CLOEXEC) != 0) return refused("no pipe");
  Fd report_read(report[0]), report_write(report[1]);
  Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Fd page(::memfd_create("dc-claims", MFD_CLOEXEC));
  if (page.get() < 0 || ::ftruncate(page.get(), sizeof(wire::Claims)) != 0) return refused("no shared page");
  void* memory = ::mmap(nullptr, sizeof(wire::Claims), PROT_READ | PROT_WRITE, MAP_SHARED, page.get(), 0);
  if (memory == MAP_FAILED) return refused("no shared page");

  std::unique_ptr<WorkerProcess> process(new WorkerProcess);
  process->claims_ = static_cast<wire::Claims*>(memory);
  const auto environment = clean_environment(options);
  const auto command_pointers = pointers(options.command);
  const auto environment_pointers = pointers(environment);
  const ChildPlan plan{theirs.get(),
                       page.get(),
                       output_write.get(),
                       null.get(),
                       report_write.get(),
                       command_pointers.data(),
                       environment_pointers.data(),
                       ::getpid()};
  const pid_t pid = ::fork();
  if (pid < 0) return refused("no process can be started");
  if (pid == 0) become_worker(plan);
  process->pid_ = pid;
  ::setpgid(pid, pid);
  report_write.reset();
  int error = 0;
  const bool failed = ::read(report_read.get(), &error, sizeof error) == sizeof error;
  process->pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (failed) {
    process->reap();
    return fail(ErrorCode::io, fmt::format("{} cannot be executed ({})", options.command[0], std::strerror(error)));
  }
  process->socket_ = std::move(ours);
  process->output_ = std::move(output_read);
  return process;
}

void WorkerProcess::signal_group(int signal) const {
  if (reaped_) return;
  if (::killpg(pid_, signal) != 0) ::kill(pid_, signal);
}

WorkerProcess::End WorkerProcess::reap() {
  End end;
  int status = 0;
  if (!reaped_ && ::waitpid(pid_, &status, 0) == pid_) {
    if (WIFEXITED(status)) end.exit_status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  }
  ::killpg(pid_, SIGKILL);  // children that it left behind
  reaped_ = true;
  return end;
}

WorkerProcess::~WorkerProcess() {
  if (!reaped_ && pid_ > 0) {
    signal_group(SIGKILL);
    reap();
  }
  if (claims_) ::munmap(claims_, sizeof(wire::Claims));
}

}  // namespace dc::node

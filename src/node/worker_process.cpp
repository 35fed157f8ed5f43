// See worker_process.hpp.
#include "node/worker_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

#include "core/limits.hpp"
#include "core/signals_blocked.hpp"
#include "core/text.hpp"
#include "node/child.hpp"
#include "node/python_worker.hpp"
#include "node/warden.hpp"

extern char** environ;

namespace dc::node {
namespace {

constexpr int socket_buffer_bytes = 1 << 20;
constexpr int end_wait_ms = 2000;  ///< for a killed process; one that hangs in a driver is left to the system

std::string_view name_of(std::string_view variable) { return variable.substr(0, variable.find('=')); }

/// The node's environment without its secrets, plus what the worker needs.
std::vector<std::string> clean_environment(const SpawnOptions& options) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = name_of(text);
    const bool replaced = std::any_of(options.environment.begin(), options.environment.end(),
                                      [&](const std::string& added) { return name_of(added) == name; });
    if (replaced || holds_secret(text, options.secrets)) continue;
    if (std::string kept = without_relative_entries(text); !kept.empty()) result.push_back(std::move(kept));
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

Error refused(const char* what) { return fail(ErrorCode::io, fmt::format("{} ({})", what, errno_text(errno))); }

struct Channels {
  Fd socket, worker_socket, output, worker_output, errors, worker_errors, report, worker_report, warden_report, warden,
      null, page;
};

Result<Channels> open_channels() {
  Channels channels;
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return refused("no socket can be made for it");
  channels.socket = Fd(pair[0]);
  channels.worker_socket = Fd(pair[1]);
  for (const int socket : pair) {
    ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &socket_buffer_bytes, sizeof socket_buffer_bytes);
  }
  if (::pipe2(pair.data(), O_CLOEXEC) != 0) return refused("no pipe can be made for its output");
  channels.output = Fd(pair[0]);
  channels.worker_output = Fd(pair[1]);
  ::fcntl(pair[0], F_SETPIPE_SZ, limits::output_pipe_bytes);  // a user may have only so much of it
  if (::pipe2(pair.data(), O_CLOEXEC) != 0) return refused("no pipe can be made for its stderr");
  channels.errors = Fd(pair[0]);
  channels.worker_errors = Fd(pair[1]);
  if (::pipe2(pair.data(), O_CLOEXEC | O_NONBLOCK) != 0) return refused("no pipe can be made for it");
  channels.report = Fd(pair[0]);
  channels.worker_report = Fd(pair[1]);
  if (::pipe2(pair.data(), O_CLOEXEC) != 0) return refused("no pipe can be made for it");
  channels.warden_report = Fd(pair[0]);
  channels.warden = Fd(pair[1]);
  channels.null = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (channels.null.get() < 0) return refused("/dev/null cannot be opened");
  channels.page = Fd(::memfd_create("dc-claims", MFD_CLOEXEC));
  if (channels.page.get() < 0 || ::ftruncate(channels.page.get(), sizeof(wire::Claims)) != 0) {
    return refused("no shared memory can be made for it");
  }
  return channels;
}

/// With all signals blocked, so that none meant for the node is handled twice.
pid_t fork_warden(const ChildPlan& plan) {
  const SignalsBlocked blocked;
  const pid_t pid = ::fork();
  if (pid == 0) become_warden(plan);
  return pid;
}

}  // namespace

bool holds_secret(std::string_view variable, const std::vector<std::string>& secrets) {
  constexpr std::size_t telling_bytes = 6;
  const std::string_view name = name_of(variable);
  const std::string_view value = variable.substr(std::min(name.size() + 1, variable.size()));
  if (name == "DISTRIBUTED_COMPUTING_PASSWORD" || name == "DISTRIBUTED_COMPUTING_STORE") return true;
  return std::any_of(secrets.begin(), secrets.end(), [&](const std::string& secret) {
    if (secret.size() < telling_bytes) return !secret.empty() && value == secret;
    return value.find(secret) != value.npos;
  });
}

std::vector<std::string> withheld_variables(const std::vector<std::string>& secrets) {
  std::vector<std::string> names;
  for (char** entry = environ; *entry; ++entry) {
    if (holds_secret(*entry, secrets)) names.emplace_back(name_of(*entry));
  }
  return names;
}

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::spawn(const SpawnOptions& options) {
  auto opened = open_channels();
  if (!opened) return opened.error();
  Channels channels = std::move(opened.value());
  void* memory = ::mmap(nullptr, sizeof(wire::Claims), PROT_READ | PROT_WRITE, MAP_SHARED, channels.page.get(), 0);
  if (memory == MAP_FAILED) return refused("no shared memory can be made for it");
  std::unique_ptr<WorkerProcess> process(new WorkerProcess);
  process->claims_ = static_cast<wire::Claims*>(memory);
  process->claims_->output_token = options.output_token;

  const auto environment = clean_environment(options);
  const auto command_pointers = pointers(options.command);
  const auto environment_pointers = pointers(environment);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (const std::uint32_t cpu : options.cpus) CPU_SET(cpu, &cpus);
  const ChildPlan plan{channels.worker_socket.get(),
                       channels.page.get(),
                       channels.worker_output.get(),
                       channels.worker_errors.get(),
                       channels.null.get(),
                       channels.worker_report.get(),
                       command_pointers.data(),
                       environment_pointers.data(),
                       ::getpid(),
                       channels.warden.get(),
                       warden_program(),
                       options.open_files ? &*options.open_files : nullptr,
                       options.cpus.empty() ? nullptr : &cpus,
                       options.directory.empty() ? nullptr : options.directory.c_str()};
  process->warden_ = fork_warden(plan);
  if (process->warden_ < 0) return refused("no process can be made for it");
  channels.warden.reset();
  process->warden_report_ = std::move(channels.warden_report);
  if (!process->hear_of_worker()) return refused("no process can be made for it");
  process->page_ = std::move(channels.page);
  process->pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, process->warden_, 0)));
  if (process->pidfd_.get() < 0) return refused("the system does not let the node watch it");
  process->socket_ = std::move(channels.socket);
  process->output_ = std::move(channels.output);
  process->errors_ = std::move(channels.errors);
  process->report_ = std::move(channels.report);
  process->program_ = options.command[0];
  return process;
}

std::string WorkerProcess::exec_problem() const {
  int error = 0;
  if (::read(report_.get(), &error, sizeof error) != sizeof error) return {};
  return fmt::format("{} cannot be executed ({})", program_, errno_text(error));
}

/// The warden says it at once. False, and errno: there is none; then the warden has ended too.
bool WorkerProcess::hear_of_worker() {
  ssize_t size = 0;
  while ((size = ::read(warden_report_.get(), &pid_, sizeof pid_)) < 0 && errno == EINTR) {
  }
  if (size == sizeof pid_ && pid_ > 0) return ::fcntl(warden_report_.get(), F_SETFL, O_NONBLOCK) == 0;
  const int why = size == sizeof pid_ ? -pid_ : ECHILD;
  while (::waitpid(warden_, nullptr, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  errno = why;
  return false;
}

void WorkerProcess::signal_group(int signal) const {
  if (reaped_) return;
  if (::killpg(pid_, signal) != 0) ::kill(pid_, signal);
}

WorkerProcess::End WorkerProcess::reap() {
  End end;
  if (std::exchange(reaped_, true)) return end;
  while (::waitpid(warden_, nullptr, 0) < 0 && errno == EINTR) {
  }
  WardenReport told{};
  if (::read(warden_report_.get(), &told, sizeof told) != sizeof told) {
    // Somebody has killed the warden, which the worker does not survive.
    if (::killpg(pid_, SIGKILL) != 0) ::kill(pid_, SIGKILL);
    end.signal = SIGKILL;
  } else if (told.code == CLD_EXITED) {
    end.exit_status = told.status;
  } else {
    end.signal = told.status;
  }
  return end;
}

std::string WorkerProcess::crash_text() const {
  std::string text(limits::crash_text_bytes_max, '\0');
  const off_t end = ::lseek(page_.get(), 0, SEEK_END);
  const auto begin = std::max<off_t>(sizeof(wire::Claims), end - static_cast<off_t>(text.size()));
  const ssize_t size = ::pread(page_.get(), text.data(), text.size(), begin);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

WorkerProcess::~WorkerProcess() {
  if (!reaped_ && warden_ > 0) {
    signal_group(SIGKILL);
    pollfd gone{pidfd_.get(), POLLIN, 0};
    if (pidfd_.get() < 0 || ::poll(&gone, 1, end_wait_ms) == 1) reap();
  }
  if (claims_) ::munmap(claims_, sizeof(wire::Claims));
}

}  // namespace dc::node

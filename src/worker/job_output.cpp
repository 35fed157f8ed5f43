// See job_output.hpp.
#include "worker/job_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <stdio_ext.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "core/limits.hpp"
#include "core/signals_blocked.hpp"

namespace dc::worker {
namespace {

constexpr int first_copy = wire::worker_claims_fd + 1;
constexpr int mark_patience_ms = 100;  ///< when the user's code has made the pipe one that does not wait

bool flush_of_c(std::FILE* file) {
  if (::__fpending(file) == 0) return false;
  std::fflush(file);
  return true;
}

void write_mark(int fd, const wire::OutputMark& mark) {
  for (int tries = 0; tries < 2; ++tries) {
    const ssize_t written = ::write(fd, mark.data(), mark.size());
    if (written >= 0 || (errno != EAGAIN && errno != EINTR)) return;
    pollfd ready{fd, POLLOUT, 0};
    if (errno == EAGAIN) ::poll(&ready, 1, mark_patience_ms);
  }
}

}  // namespace

JobOutput::JobOutput(wire::Claims& claims)
    : claims_(claims),
      out_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, first_copy)),
      err_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, first_copy)) {}

JobOutput::~JobOutput() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_one();
  if (flusher_.joinable()) flusher_.join();
}

/// C's buffer of a pipe would wait for 4 KiB.
void JobOutput::flush_now_and_then() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, limits::output_shown_after, [this] { return over_; })) flush_of_c(stdout);
}

void JobOutput::begin(ForwardOutput forward, JobRunner* runner) {
  runner_ = runner;
  each_job_ = forward == ForwardOutput::errors;
  flush(runner == nullptr);
  if (!runner) return;
  const SignalsBlocked blocked;
  flusher_ = std::thread([this] { flush_now_and_then(); });
}

void JobOutput::ended(bool failed, Clock::time_point now) {
  waits_ = true;
  if (!each_job_ && now - flushed_at_ < limits::output_flush_interval) return;
  flushed_at_ = now;
  flush(failed);
}

void JobOutput::idle() {
  if (waits_) flush(false);
}

void JobOutput::flush(bool failed) {
  const bool by_c = flush_of_c(stdout), errors_by_c = flush_of_c(stderr);
  JobRunner::Flushed found = runner_ ? runner_->flush_output() : JobRunner::Flushed{};
  if (by_c || errors_by_c) found.printed = found.open_line = true;  // whether its last line is whole is not known
  if (found.printed) claims_.printed.store(1, std::memory_order_relaxed);
  if (each_job_ || found.open_line) mark(failed ? wire::JobEnd::failed : wire::JobEnd::well);
  waits_ = false;
}

void JobOutput::mark(wire::JobEnd end) const {
  if (claims_.output_token == 0) return;  // no node reads this
  const wire::OutputMark mark = wire::output_mark(claims_.output_token, end);
  write_mark(out_.get(), mark);
  write_mark(err_.get(), mark);
}

}  // namespace dc::worker

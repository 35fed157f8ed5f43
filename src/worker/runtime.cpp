// See runtime.hpp.
#include "worker/runtime.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <limits>
#include <optional>
#include <vector>

#include "core/limits.hpp"
#include "wire/claims.hpp"
#include "wire/packet.hpp"
#include "worker/dead_cuda.hpp"
#include "worker/forked.hpp"
#include "worker/job_output.hpp"
#include "worker/outbox.hpp"
#include "worker/record.hpp"
#include "worker/worker_machine.hpp"

namespace dc::worker {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t nanoseconds(Clock::time_point when) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count());
}

wire::Claims& map_claims() {
  void* memory = ::mmap(nullptr, sizeof(wire::Claims), PROT_READ | PROT_WRITE, MAP_SHARED, wire::worker_claims_fd, 0);
  if (memory == MAP_FAILED) {
    std::perror("distributed-computing worker: this program is started by a node, not by hand");
    ::_exit(2);
  }
  return *static_cast<wire::Claims*>(memory);
}

/// The node is gone: ends this process and what the user's code has started, which shares its group.
[[noreturn]] void end_with_group() {
  if (::getpgrp() == ::getpid()) ::kill(0, SIGKILL);
  ::_exit(1);
}

/// Until here the node's death was a SIGKILL for this process alone. `outbox_`'s thread, which runs before any of the
/// user's code, takes the signal when the user's threads block it.
void end_with_node() {
  const int node_gone = SIGRTMAX;
  const pid_t node = ::getppid();
  std::signal(node_gone, [](int) { end_with_group(); });
  ::prctl(PR_SET_PDEATHSIG, node_gone);
  if (::getppid() != node) end_with_group();  // it died in between
}

class Runtime {
 public:
  explicit Runtime(const Construct& construct)
      : construct_(construct), claims_(map_claims()), outbox_(wire::worker_socket_fd) {}

  int run() {
    using Step = WorkerMachine::Step;
    while (true) {
      switch (machine_.next(claims_.update_sent.load(std::memory_order_acquire))) {
        case Step::construct:
          if (!construct_object()) return 1;
          break;
        case Step::apply_update:
          apply_update();
          break;
        case Step::receive_update:
          outbox_.flush_soon();
          receive();
          break;
        case Step::tell_constructed:
          outbox_.append(wire::WorkerConstructed{});
          break;
        case Step::run_job:
          run_job();
          break;
        case Step::receive:
          if (runner_) output_.idle();
          outbox_.flush();
          receive();
          break;
        case Step::end:
          outbox_.flush();
          runner_->close(machine_.terminated());
          return machine_.exit_code();
      }
    }
  }

 private:
  bool construct_object() {
    const wire::Begin& begin = machine_.begin();
    try {
      runner_ = construct_(begin);
      if (forked()) end_copy({});
    } catch (const ConstructionError& error) {
      if (forked()) end_copy({{}, error.info});
      outbox_.append(wire::ConstructionFailed{error.info});
    } catch (const std::exception& error) {
      outbox_.append(wire::ConstructionFailed{ErrorInfo::of(ErrorKind::worker_init_error, error.what())});
    }
    output_.begin(begin.options->forward_output, runner_.get());
    machine_.constructed();
    outbox_.flush();
    return runner_ != nullptr;
  }

  void receive() {
    messages_.clear();
    const auto result = reader_.receive(!runner_, messages_);
    if (result == wire::SocketResult::closed) end_with_group();
    if (result == wire::SocketResult::would_block && runner_) wait_for_node();
    for (wire::ToWorker& message : messages_) machine_.take(std::move(message));
  }

  /// Until it has sent something, or a signal has come: one that came just before the wait ends it, too.
  void wait_for_node() {
    std::array<pollfd, 2> ready{{{wire::worker_socket_fd, POLLIN, 0}, {runner_->signal_fd(), POLLIN, 0}}};
    const bool interrupted = ::poll(ready.data(), ready.size(), -1) < 0;
    if (!interrupted && ready[1].revents == 0) return;
    if (const auto exit_code = runner_->signalled()) machine_.signalled(*exit_code);
  }

  void apply_update() {
    wire::WorkerUpdate update = machine_.next_update();
    definitions_ += update.payload.view().starts_with(definitions_mark) ? 1 : 0;
    outbox_.flush_soon();  // results must not wait for handle_update: the node would still count their jobs' time
    claims_.update_number.store(update.number, std::memory_order_relaxed);
    claims_.update_started_at_ns.store(nanoseconds(Clock::now()), std::memory_order_release);
    Outcome outcome = runner_->update(std::move(update.payload));
    if (forked()) end_copy(outcome);
    claims_.update_started_at_ns.store(0, std::memory_order_release);
    output_.ended(static_cast<bool>(outcome.error), Clock::now());
    if (outcome.error) look_at_cuda();
    outbox_.append(outcome.error ? update_failed(update.number, std::move(outcome)) : wire::UpdateDone{update.number});
  }

  wire::UpdateDone update_failed(UpdateNumber number, Outcome outcome) const {
    ErrorInfo error = *outcome.error;
    error.message = fmt::format("handle_update raised for update {} on {} slot {}: {}", number - definitions_,
                                error.host, error.slot, error.message);
    if (outcome.payload.size() > limits::inline_payload_max) {
      error.message += fmt::format(" (the exception itself, {} bytes pickled, was left out)", outcome.payload.size());
      outcome.payload = {};
    }
    return {number, true, std::move(error), std::move(outcome.payload)};
  }

  void run_job() {
    wire::WorkerJob job = machine_.next_job();
    const auto start = Clock::now();
    if (!claims_.start(job.index, nanoseconds(start))) return;  // the node took it back
    outbox_.flush_soon();
    if (job.label)
      job_note().begin(job.sequence, job.label->tries, job.label->key);
    else
      job_note().begin(job.sequence, 1, {});
    Outcome outcome = runner_->run(std::move(job.arguments));
    if (forked()) end_copy(outcome);
    job_note().end();
    const auto end = Clock::now();
    const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(end - start).count();
    const auto run_time =
        static_cast<std::uint32_t>(std::min<std::int64_t>(elapsed, std::numeric_limits<std::uint32_t>::max()));
    if (outcome.payload.size() > limits::payload_bytes_max_default) outcome = too_large(outcome.payload.size());
    output_.ended(static_cast<bool>(outcome.error), end);
    if (outcome.error) {
      look_at_cuda();
      outbox_.append(wire::WorkerError{job.index, run_time, std::move(*outcome.error), std::move(outcome.payload)});
    } else {
      outbox_.append(wire::WorkerValue{job.index, run_time, std::move(outcome.payload)});
    }
  }

  /// Once a kernel has failed every job would fail here, in no time: this worker would draw the pool's jobs and spoil
  /// them. Another process takes its place, and the jobs that wait here.
  void look_at_cuda() {
    const auto why = dead_cuda();
    if (!why) return;
    machine_.spoiled();
    std::fprintf(stderr,
                 "distributed-computing: CUDA can do nothing more in this worker (%s): another takes its place\n",
                 why->c_str());
  }

  static Outcome too_large(std::size_t bytes) {
    return {{},
            ErrorInfo::of(ErrorKind::too_large,
                          fmt::format("what run returned or raised has {} bytes, over the limit of {} bytes "
                                      "(payload_bytes_max)",
                                      bytes, limits::payload_bytes_max_default))};
  }

  const Construct& construct_;
  wire::Claims& claims_;
  JobOutput output_{claims_};
  Outbox outbox_;
  wire::PacketReader<wire::ToWorker> reader_{wire::worker_socket_fd};
  std::vector<wire::ToWorker> messages_;  ///< of the last packet; the room is used again
  WorkerMachine machine_;
  std::unique_ptr<JobRunner> runner_;
  UpdateNumber definitions_ = 0;  ///< updates so far that are none of the user's
};

}  // namespace

int run_worker(const Construct& construct) {
  // The user's subprocesses must not hold the channel open.
  ::fcntl(wire::worker_socket_fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(wire::worker_claims_fd, F_SETFD, FD_CLOEXEC);
  watch_forks();
  end_with_node();
  note_worker();
  try {
    return Runtime(construct).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "distributed-computing worker: %s\n", error.what());
    return 1;
  }
}

}  // namespace dc::worker

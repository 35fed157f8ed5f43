// See record.hpp.
#include "worker/record.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace dc::worker {
namespace {

/// A thread that writes is done within nanoseconds, unless it is stopped just then; or this is a child that was forked
/// just then, where it is never done: there no job runs.
constexpr int patience_turns = 10'000;

/// Never destroyed: threads of the user's may outlive the end of main.
std::optional<WorkerInfo>& noted_worker() {
  static auto* const info = new std::optional<WorkerInfo>;
  return *info;
}

/// As src/node/worker_environment.cpp says it.
std::optional<WorkerInfo> worker_of_environment() {
  const auto text = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  const std::string number = text("DISTRIBUTED_COMPUTING_WORKER"), slot = text("DISTRIBUTED_COMPUTING_SLOT");
  if (number.empty() || slot.empty()) return std::nullopt;
  WorkerInfo info;
  info.host = text("DISTRIBUTED_COMPUTING_HOST");
  info.node = text("DISTRIBUTED_COMPUTING_NODE");
  info.slot = static_cast<std::uint32_t>(std::strtoul(slot.c_str(), nullptr, 10));
  info.device = text("DISTRIBUTED_COMPUTING_DEVICE");
  info.pool = text("DISTRIBUTED_COMPUTING_POOL");
  info.worker_number = std::strtoull(number.c_str(), nullptr, 10);
  return info;
}

}  // namespace

// Each store is ordered behind the one before it, and each load before the next one: a reader that has seen something
// of a job sees its version too.
void JobNote::write(JobSequence sequence, std::uint32_t tries, std::string_view key) {
  const std::uint32_t version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_relaxed);
  sequence_.store(sequence, std::memory_order_release);
  tries_.store(tries, std::memory_order_release);
  const std::size_t bytes = std::min(key.size(), limits::job_key_bytes_max);
  key_bytes_.store(static_cast<std::uint32_t>(bytes), std::memory_order_release);
  for (std::size_t at = 0; at < bytes; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, key.data() + at, std::min<std::size_t>(8, bytes - at));
    key_[at / 8].store(word, std::memory_order_release);
  }
  version_.store(version + 2, std::memory_order_release);
}

JobNote::Job JobNote::read_now() const {
  Job job;
  job.sequence = sequence_.load(std::memory_order_acquire);
  job.tries = tries_.load(std::memory_order_acquire);
  job.key.resize(std::min<std::size_t>(key_bytes_.load(std::memory_order_acquire), limits::job_key_bytes_max));
  for (std::size_t at = 0; at < job.key.size(); at += 8) {
    const std::uint64_t word = key_[at / 8].load(std::memory_order_acquire);
    std::memcpy(job.key.data() + at, &word, std::min<std::size_t>(8, job.key.size() - at));
  }
  return job;
}

JobNote::Job JobNote::read() const {
  std::uint32_t before = 0;
  for (int stuck = 0; stuck < patience_turns;) {
    const std::uint32_t version = version_.load(std::memory_order_acquire);
    if (version % 2 == 0) {
      Job job = read_now();
      if (version_.load(std::memory_order_relaxed) == version) return job;
    }
    stuck = version == before ? stuck + 1 : 0;
    before = version;
    ::sched_yield();
  }
  return {};
}

JobNote& job_note() {
  static JobNote note;
  return note;
}

void note_worker() { noted_worker() = worker_of_environment(); }

std::optional<WorkerInfo> worker_info() {
  std::optional<WorkerInfo> info = noted_worker() ? noted_worker() : worker_of_environment();
  if (!info) return info;
  if (const JobNote::Job job = job_note().read(); job.sequence != 0) {
    info->job_number = job.sequence;
    info->attempt = job.tries;
    info->key = job.key;
  }
  return info;
}

}  // namespace dc::worker

namespace dc::detail {

WorkerInfo this_worker() {
  auto info = worker::worker_info();
  if (!info)
    throw std::logic_error(
        "dc::worker() tells a pool's worker about itself, and this process is none: call it in the constructor, run or "
        "handle_update of a worker class, or in what those start");
  return std::move(*info);
}

}  // namespace dc::detail

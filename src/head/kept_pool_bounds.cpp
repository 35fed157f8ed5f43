// How much a named pool keeps in the store, and what is beyond what it may. Each change is counted when it happens;
// outcomes are never refused, for they are what accepted jobs come to.
#include <fmt/format.h>

#include "core/check.hpp"
#include "head/kept_pool.hpp"

namespace dc::head {
namespace {

/// An outcome without its texts that all have in common.
std::uint64_t bytes_of(const StoredOutcome& outcome, const SharedError& of_all) {
  std::uint64_t bytes = outcome.payload.size();
  if (!outcome.error || outcome.error.same_as(of_all)) return bytes;
  const ErrorInfo& error = *outcome.error;
  bytes += error.message.size() + error.traceback.size() + error.type_name.size() + error.host.size();
  return bytes;
}

std::string in_units(std::uint64_t bytes) {
  const auto amount = static_cast<double>(bytes);
  if (bytes < 10'000) return fmt::format("{} bytes", bytes);
  if (bytes < (1U << 20)) return fmt::format("{:.1f} KiB", amount / (1U << 10));
  if (bytes < (1U << 30)) return fmt::format("{:.1f} MiB", amount / (1U << 20));
  return fmt::format("{:.1f} GiB", amount / (1U << 30));
}

}  // namespace

/// The pool would keep more than it may with this job, which is none of those that it has.
bool KeptPool::is_beyond(const SubmittedJob& job) const {
  if (bounds_.bytes_max == 0 || kept_bytes_ + job.arguments.size() <= bounds_.bytes_max) return false;
  return !taken_.contains(job.sequence);
}

/// Nothing of them is written, and their numbers are not taken.
void KeptPool::refuse_beyond(const std::vector<SubmittedJob>& jobs, PoolEffects& out) const {
  std::uint64_t bytes = 0;
  wire::JobsRefused refused{id, {}, {}};
  for (const SubmittedJob& job : jobs) {
    bytes += job.arguments.size();
    refused.sequences.push_back(job.sequence);
  }
  const std::string text = fmt::format(
      "a job of pool {0} was not accepted: the pool keeps {1} in the store (arguments of jobs without an outcome, "
      "outcomes that nobody has taken, values of keys), {2} more were to come, and --pool-bytes-max allows {3}: take "
      "its results, forget values of keys (`distributed-computing pools forget {0} --all`), or start the head with a "
      "larger --pool-bytes-max",
      quoted(), in_units(kept_bytes_), in_units(bytes), in_units(bounds_.bytes_max));
  refused.error = ErrorInfo::of(ErrorKind::not_stored, text);
  tell(std::move(refused), out);
}

/// Of a job that has no outcome.
void KeptPool::count_arguments(Record& record, std::size_t bytes) {
  record.bytes = bytes;
  kept_bytes_ += bytes;
}

/// The outcome counts from now on, in the place of the arguments.
void KeptPool::count_outcome(Record& record) {
  const std::uint64_t bytes = bytes_of(*record.outcome, broken_);
  kept_bytes_ += bytes - record.bytes;
  record.bytes = bytes;
}

/// Counts all anew, for tests and the simulator.
void KeptPool::check_bytes() const {
  std::uint64_t bytes = unaccepted_.argument_bytes;  // on their way to the journal
  for (const SubmittedJob& job : early_) bytes -= job.arguments.size();
  for (const auto [sequence, record] : records_) {
    DC_CHECK(!record.outcome || record.bytes == bytes_of(*record.outcome, broken_));
    bytes += record.bytes;
  }
  for (const auto& [key, value] : values_of_keys_) bytes += value.value.size();
  DC_CHECK(bytes == kept_bytes_);
}

}  // namespace dc::head

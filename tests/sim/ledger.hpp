// What really happened: every job, update and worker, seen from outside the machines, and the promises checked on it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/job.hpp"
#include "world.hpp"

namespace dc::sim {

/// What a job does when it runs.
enum class Conduct : std::uint8_t {
  value,        ///< returns
  raises,       ///< raises, every time
  poison,       ///< ends its worker, every time
  ends_worker,  ///< ends its worker the first time
  hangs,        ///< never returns (only where the pool has a job_timeout)
};

struct JobRecord {
  Conduct conduct{};
  Duration duration{};
  std::size_t result_bytes = 0;
  UpdateNumber after_update = 0;
  std::uint64_t stream = 0;
  int started = 0;        ///< executions
  int finished = 0;       ///< executions that came to their end
  int deaths = 0;         ///< executions during which the worker ended
  int excuses = 0;        ///< things that happened which are a reason to run it again
  std::string host;       ///< where the head sent it last
  int delivered = 0;      ///< outcomes that its caller got
  bool answered = false;  ///< one of them came from the head, not from the pool's end
  bool dropped = false;   ///< its caller does not want it any more
};

struct PoolRecord {
  PoolOptions options;
  std::vector<JobRecord> jobs;  ///< job n at n - 1
  UpdateNumber updates = 0;
  bool closed = false;          ///< by its client
  bool failed = false;          ///< its client was told so
  bool gone = false;            ///< its client process ended without a word
  int constructors_failed = 0;  ///< that the pool may fail with
  bool no_device = false;       ///< the head ended it when no device was there that suits it
};

class Ledger {
 public:
  explicit Ledger(World& world) : world_(world) {}

  PoolRecord& pool(PoolId id) { return pools_.at(id); }
  JobRecord& job(PoolId id, JobSequence sequence) { return pools_.at(id).jobs.at(sequence - 1); }
  void open(PoolId id, PoolOptions options) { pools_[id].options = std::move(options); }
  [[nodiscard]] std::map<PoolId, PoolRecord>& pools() { return pools_; }

  /// The value that the job's caller must get.
  static std::string value_of(PoolId pool, JobSequence sequence) {
    return fmt::format("{:x}/{}", pool.value, sequence);
  }
  void handed(PoolId pool, JobSequence sequence, const std::string& host) { job(pool, sequence).host = host; }
  /// The job begins to run there. It may only do so again for a reason.
  void started(PoolId pool, JobSequence sequence, const std::string& host);
  /// What ran or waits on this host is lost, or may be.
  void excuse_host(const std::string& host);
  void excuse_pool(PoolId pool);
  void outcome(PoolId pool, std::uint64_t stream, JobSequence sequence, const Outcome& outcome);
  /// At the end: every job of every pool that lived to see it has its outcome.
  void all_delivered() const;

  std::uint64_t jobs_run = 0, outcomes = 0;

 private:
  void check_error(const std::string& name, const PoolRecord& pool, const JobRecord& job, const ErrorInfo& error) const;

  World& world_;
  std::map<PoolId, PoolRecord> pools_;
};

}  // namespace dc::sim

// What really happened: every job, update and worker, seen from outside the machines, and the promises checked on it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
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

/// Number of a job in the ledger: in a named pool another one than that of the pool, which may be used again when the
/// job was never taken.
using JobId = std::size_t;

/// A named pool from its opening to its end for good.
struct Generation {
  std::map<JobSequence, JobId> numbers;       ///< as the head took them
  std::map<std::string, std::string> values;  ///< that were delivered for a key
};

struct JobRecord {
  Conduct conduct{};
  Duration duration{};
  std::size_t result_bytes = 0;
  UpdateNumber after_update = 0;
  std::uint64_t stream = 0;
  int started = 0;                   ///< executions
  int finished = 0;                  ///< executions that came to their end
  int deaths = 0;                    ///< executions during which the worker ended
  int excuses = 0;                   ///< things that happened which are a reason to run it again
  std::string host;                  ///< where the head sent it last
  std::vector<std::string> sent_to;  ///< all of these
  std::vector<std::string> copies;   ///< since a head began: where earlier ones sent it, of which it may take up any
  int delivered = 0;                 ///< outcomes that its caller got
  bool answered = false;             ///< one of them came from the head, not from the pool's end
  bool dropped = false;              ///< its caller does not want it any more

  // Of a named pool:
  std::string key;
  std::shared_ptr<Generation> generation;  ///< since the head took it
  bool accepted = false;                   ///< a client was told so
  bool refused = false;                    ///< the same
  bool stored = false;                     ///< its outcome is in the journal
  bool taken_for_good = false;             ///< who has acknowledged it has left its pool in order since
  bool closing = false;                    ///< somebody has asked to close the pool for good
  bool haunts = false;         ///< it was given up with a store that did not answer, and was written nevertheless
  std::uint64_t given_to = 0;  ///< the latest client that has its outcome
};

struct PoolRecord {
  PoolOptions options;
  std::vector<JobRecord> jobs;  ///< job n at n - 1
  UpdateNumber updates = 0;
  bool closed = false;          ///< by its client
  bool failed = false;          ///< its client was told so
  bool gone = false;            ///< its client process ended without a word
  bool had_worker = false;      ///< one was constructed, with all that was to come before that
  int constructors_failed = 0;  ///< that the pool may fail with
  bool no_device = false;       ///< the head ended it when no device was there that suits it

  // Of a named pool:
  bool named = false;
  std::shared_ptr<Generation> generation = std::make_shared<Generation>();
  int closing = 0;  ///< clients that are about to close it for good
};

class Ledger {
 public:
  explicit Ledger(World& world) : world_(world) {}

  PoolRecord& pool(PoolId id) { return pools_.at(id); }
  JobRecord& job(PoolId id, JobId job) { return pools_.at(id).jobs.at(job - 1); }
  /// The job that has this number at the head.
  JobRecord& numbered(PoolId id, JobSequence sequence);
  void open(PoolId id, PoolOptions options) { pools_[id].options = std::move(options); }
  [[nodiscard]] std::map<PoolId, PoolRecord>& pools() { return pools_; }

  /// The value that the job's caller must get.
  static std::string value_of(PoolId pool, JobId job) { return fmt::format("{:x}/{}", pool.value, job); }
  void handed(PoolId pool, JobSequence sequence, const std::string& host);
  /// The job begins to run there. It may only do so again for a reason.
  void started(PoolId pool, JobId job, const std::string& host);
  /// What ran or waits on this host is lost, or may be.
  void excuse_host(const std::string& host);
  void excuse_pool(PoolId pool);
  void outcome(PoolId pool, std::uint64_t stream, JobSequence sequence, const Outcome& outcome);

  // --- Named pools: named_ledger.cpp ---
  void open_named(PoolId pool, PoolOptions options);
  /// The head writes these to its journal.
  void born(PoolId pool);
  void taken(PoolId pool, JobSequence sequence, JobId id);
  /// It is written.
  void outcome_stored(PoolId pool, JobSequence sequence);
  /// The head sends the job's outcome.
  void sent_to_client(PoolId pool, JobSequence sequence) const;
  void broke(PoolId pool);
  /// A job that was given up was written nevertheless, before the head ended.
  void haunts(PoolId pool, JobId id) { job(pool, id).haunts = true; }
  /// The head has started again: jobs with a key wait for each other anew.
  void head_restarted();
  /// A client was told so.
  void accepted(PoolId pool, JobId id);
  void refused(PoolId pool, JobId id, const ErrorInfo& error);
  void kept(PoolId pool, JobId id);
  /// A client got this; each life of one has another number.
  void named_outcome(PoolId pool, std::uint64_t client, JobId id, const Outcome& outcome);
  /// A client asks to close it for good.
  void closing(PoolId pool);
  /// Everything was delivered to somebody: no accepted job is lost.
  void nothing_lost(PoolId pool) const;

  /// At the end: every job of every pool that lived to see it has its outcome.
  void all_delivered() const;

  std::uint64_t jobs_run = 0, outcomes = 0;

 private:
  void check_error(const std::string& name, const PoolRecord& pool, const JobRecord& job, const ErrorInfo& error) const;
  void check_named_value(const std::string& name, PoolId pool, JobId id, std::string_view value);

  World& world_;
  std::map<PoolId, PoolRecord> pools_;
};

}  // namespace dc::sim

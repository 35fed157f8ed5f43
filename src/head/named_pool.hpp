// What the head remembers of a named pool beside the scheduler: which jobs it has taken, which outcomes nobody has yet,
// what its client may be sent, and what still waits for the journal. See head_named.cpp for what happens when.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "core/job.hpp"
#include "head/journal.hpp"
#include "scheduler/scheduler.hpp"

namespace dc::head {

struct NamedPool {
  /// A job that was accepted and whose outcome nobody has so far.
  struct Record {
    std::unique_ptr<StoredOutcome> outcome;  ///< null: none so far
    bool durable = false;                    ///< the outcome is in the journal
    bool sent = false;                       ///< to the client that is there now
  };

  /// A client that waits for the one that is away.
  struct Waiting {
    SessionId session;
    PoolId asked;  ///< the id by which it asks for the pool
    std::string process;
  };

  std::string name;
  store::LogId log{};           ///< its journal
  JobNumbers taken;             ///< in the journal or on their way to it
  JobSequence restored_to = 0;  ///< jobs up to this one are from the journal, which may have lost what came after
  JobSequence highest = 0;      ///< number of a job so far, refused or not: none is used again
  std::map<JobSequence, Record> records;  ///< in the journal
  UpdateNumber updates = 0;               ///< so many are in the journal or on their way
  UpdateNumber updates_kept = 0;          ///< so many are in the journal
  std::vector<Payload> definitions;       ///< updates that are none of the user's, see definitions_mark
  std::uint64_t done = 0;                 ///< outcomes so far
  std::uint64_t to_take = 0;              ///< records whose outcome is durable
  SharedError broken;                     ///< it failed: the scheduler does not know it any more

  // Jobs with a key: the value of one is the value of all.
  std::unordered_map<std::string, Payload> values_of_keys;
  std::unordered_map<std::string, JobSequence> running_keys;
  std::unordered_map<JobSequence, std::string> key_of;                   ///< of the jobs in running_keys
  std::unordered_map<JobSequence, std::vector<SubmittedJob>> followers;  ///< that wait for the value of this one

  // The journal.
  std::vector<wire::ValueItem> values;  ///< outcomes for the next entry
  std::size_t values_bytes = 0;
  std::size_t unsettled = 0;                      ///< entries with jobs or updates on their way to the journal
  std::unordered_set<JobSequence> acknowledging;  ///< Delivered of these is on its way to the journal
  std::uint64_t delivered_since_compaction = 0;

  // The client that is there now.
  scheduler::Load unaccepted;          ///< jobs that it has sent, and that are neither accepted nor refused
  std::string process;                 ///< the name of its process
  bool left = false;                   ///< it has left: nobody waits for it
  TimePoint return_by{};               ///< it is away: others wait for it until then
  std::vector<Waiting> waiting;        ///< who wants the pool meanwhile, the first one first
  std::vector<JobSequence> confirmed;  ///< that a ResumeNamedPool in parts named so far, and that are acknowledged
  SessionId next;                      ///< it has the pool as soon as what its forerunner sent is in the journal
  std::vector<SubmittedJob> early;     ///< that came before an update that they must not run without
  JobSequence first_own = 1;           ///< its jobs begin here
  bool resuming = false;               ///< it is back, and says in several messages what it has
  std::uint64_t credit = 0;            ///< outcomes of earlier jobs that it may be sent
  bool in_order = false;               ///< it wants those in the order of submission
  JobSequence cursor = 0;              ///< in order: all before this were sent
  std::set<JobSequence> ready;         ///< earlier jobs whose outcome is durable and not sent

  /// The journal has the record's outcome.
  void made_durable(Record& record) {
    if (!std::exchange(record.durable, true)) ++to_take;
  }
  /// A client takes its place: nothing was sent to it, its jobs begin at `first`.
  void attach(JobSequence first);
  /// An update is in the journal.
  void kept(const Payload& update) {
    if (update.view().starts_with(definitions_mark)) definitions.push_back(update.compact());
  }
  void settled(const std::vector<SubmittedJob>& jobs) {
    unaccepted.jobs -= jobs.size();
    for (const SubmittedJob& job : jobs) unaccepted.argument_bytes -= job.arguments.size();
  }
  /// Why no client can have these outcomes, as the end of a sentence; empty: it can.
  [[nodiscard]] std::string cannot_be_received(const std::vector<JobSequence>& sequences) const;
  /// The next outcome of an earlier job that may be sent now; records.end() if none may.
  std::map<JobSequence, Record>::iterator next_earlier();
  /// Numbers of the earlier jobs whose outcome nobody has: first, last, first, last, ...
  [[nodiscard]] std::vector<JobSequence> earlier() const;
  [[nodiscard]] std::string quoted() const { return "'" + name + "'"; }
};

/// What an entry on its way to the journal was for.
struct Pending {
  enum class Kind : std::uint8_t { birth, client, jobs, outcomes, update, acks, failure, removal } kind{};
  PoolId pool;
  SessionId session = {};                   ///< removal: who asked
  std::vector<SubmittedJob> jobs = {};      ///< jobs
  std::vector<JobSequence> sequences = {};  ///< outcomes, acks
  UpdateNumber number = {};                 ///< update
  Payload payload = {};                     ///< update
};

}  // namespace dc::head

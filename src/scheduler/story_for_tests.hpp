// What the scheduler's tests have in common: the names of nodes and pools, and a scheduler that is told one thing after
// the other.
#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "scheduler/scheduler.hpp"

namespace dc::scheduler {

inline constexpr NodeId node{1}, other_node{2};
inline constexpr PoolId pool{10}, other_pool{11}, third_pool{12};
inline constexpr TimePoint t0{std::chrono::hours(1)};

/// A scheduler, its time, and the commands of the last call.
class Story : public testing::Test {
 protected:
  template <class Event>
  Commands after(Event event) {
    Commands out;
    scheduler.on(std::move(event), now, out);
    scheduler.flush(now, out);
    scheduler.check_invariants();
    return out;
  }
  Commands wait(Duration duration) {
    now += duration;
    Commands out;
    scheduler.flush(now, out);
    scheduler.check_invariants();
    return out;
  }
  template <class Kind>
  static std::vector<Kind> only(const Commands& commands) {
    std::vector<Kind> found;
    for (const Command& command : commands) {
      if (const auto* kind = std::get_if<Kind>(&command)) found.push_back(*kind);
    }
    return found;
  }
  static NodeJoined joining(NodeId id, std::uint32_t slots) {
    NodeJoined event{id, "host", {}, {}, {}};
    for (std::uint32_t i = 0; i < slots; ++i) event.slots.push_back({i, "cpu", 0});
    return event;
  }
  /// Opens a pool, makes every worker that is started ready, until nothing more is started.
  void open(PoolId id, PoolOptions options = {}) { make_ready(after(PoolOpened{id, options, false})); }
  void make_ready(const Commands& commands) {
    for (const auto& start : only<StartWorker>(commands)) {
      make_ready(after(WorkerReady{start.node, start.worker, 99}));
      started.push_back(start);
    }
  }
  static JobsSubmitted jobs(PoolId id, JobSequence first, JobSequence last, UpdateNumber after_update = 0) {
    JobsSubmitted event{id, {}};
    for (JobSequence i = first; i <= last; ++i) event.jobs.push_back({i, after_update, {}});
    return event;
  }
  Commands submit(PoolId id, JobSequence first, JobSequence last, UpdateNumber after_update = 0) {
    return after(jobs(id, first, last, after_update));
  }
  static Attempt attempt(const RunJob& job) { return {job.sequence, job.token}; }
  static std::vector<JobSequence> sequences(const std::vector<RunJob>& jobs) {
    std::vector<JobSequence> result;
    for (const RunJob& job : jobs) result.push_back(job.sequence);
    return result;
  }

  TimePoint now = t0;
  Scheduler scheduler{77, t0};
  std::vector<StartWorker> started;
};

}  // namespace dc::scheduler

// What a node says and cannot be so changes nothing and is told in one line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/scheduler.hpp"
#include "scheduler/story_for_tests.hpp"

namespace dc::scheduler {
namespace {

/// Two nodes with a worker each, and some jobs, of which each worker has some.
class Liars : public Story {
 protected:
  Liars() {
    for (const NodeId id : {node, other_node}) tell(joining(id, 1));
    tell(PoolOpened{pool, {}, false});
    for (const StartWorker& start : only<StartWorker>()) workers[start.node] = start.worker;
    for (const auto& [id, worker] : workers) tell(WorkerReady{id, worker, 1});
    tell(jobs(pool, 1, 10));
    for (const RunJob& job : only<RunJob>()) given[job.node].push_back({job.sequence, job.token});
  }
  template <class Event>
  void tell(Event event) {
    out = after(std::move(event));
  }
  template <class Kind>
  std::vector<Kind> only() const {
    return Story::only<Kind>(out);
  }
  /// The contradiction that this event is, and nothing else comes of it.
  template <class Event>
  std::string wrong(Event event) {
    tell(std::move(event));
    const auto* found = out.size() == 1 ? std::get_if<Contradiction>(&out.front()) : nullptr;
    return found ? found->what : fmt_count();
  }
  std::string fmt_count() const { return std::to_string(out.size()) + " commands"; }
  std::string wrong_report(std::vector<NodeJoined::HeldPool> pools, std::vector<WorkerReport> reports) {
    return scheduler.contradiction(NodeJoined{node, "host", {{0, "cpu", 0}}, std::move(pools), std::move(reports)});
  }

  Commands out;
  std::map<NodeId, WorkerId> workers;
  std::map<NodeId, std::vector<Attempt>> given;
};

TEST_F(Liars, AWorkerIsSpokenForByItsNodeAlone) {
  const WorkerId own = workers[node], foreign = workers[other_node], never{(std::uint64_t{77} << 32) | 99};
  const Attempt theirs = given[other_node][0];
  EXPECT_EQ(wrong(WorkerReady{node, foreign, 1}), "WorkerReady of another node's worker");
  EXPECT_EQ(wrong(WorkerReady{node, never, 1}), "WorkerReady of a worker that never was");
  EXPECT_EQ(wrong(WorkerReady{node, WorkerId{0}, 1}), "WorkerReady of a worker that never was");
  EXPECT_EQ(wrong(WorkerReady{node, own, 1}), "WorkerReady for the second time");
  EXPECT_EQ(wrong(WorkerExited{node, foreign, ExitCause::died, {}, {}, {}}), "WorkerExited of another node's worker");
  EXPECT_EQ(wrong(UpdatesApplied{node, foreign, 0, {}}), "UpdatesApplied of another node's worker");
  EXPECT_EQ(wrong(UpdatesApplied{node, own, 5, {}}), "UpdatesApplied of update 5, which is not there");
  EXPECT_EQ(wrong(JobsRecalled{node, foreign, {}}), "JobsRecalled of another node's worker");
  EXPECT_EQ(wrong(JobFinished{node, foreign, pool, theirs, 1s, {}}), "a result of another node's worker");
  EXPECT_EQ(wrong(JobFinished{node, own, other_pool, given[node][0], 1s, {}}),
            "a result of another pool than its worker's");
  EXPECT_EQ(wrong(JobFinished{node, own, pool, theirs, 1s, {}}),
            "a result of job " + std::to_string(theirs.sequence) + ", which it was not given");
}

TEST_F(Liars, AWorkerGivesBackWhatItHasAndEachOnce) {
  const WorkerId own = workers[node];
  const Attempt mine = given[node][0], theirs = given[other_node][0];
  const auto exits = [&](std::vector<Attempt> running, std::vector<Attempt> unstarted) {
    return wrong(WorkerExited{node, own, ExitCause::died, {}, std::move(running), std::move(unstarted)});
  };
  const std::string number = std::to_string(mine.sequence);
  EXPECT_EQ(exits({mine, theirs}, {}), "WorkerExited with more than one job that ran");
  EXPECT_EQ(exits({mine}, {mine}), "WorkerExited with job " + number + " twice");
  EXPECT_EQ(exits({}, {theirs}),
            "WorkerExited with job " + std::to_string(theirs.sequence) + ", which the worker does not have");
  EXPECT_EQ(wrong(JobsRecalled{node, own, {mine, mine}}), "JobsRecalled, which nobody asked for");
}

TEST_F(Liars, AnOutcomeIsAcknowledgedWhenItIsThere) {
  EXPECT_EQ(wrong(OutcomesAcknowledged{pool, {1}}), "AckOutcomes of job 1, which has not ended");
  EXPECT_EQ(wrong(OutcomesAcknowledged{pool, {9}}), "AckOutcomes of job 9, which has not ended");
  tell(OutcomesAcknowledged{pool, {4711}});
  EXPECT_TRUE(only<Contradiction>().empty()) << "acknowledged long ago, for all that is known";
}

TEST_F(Liars, ANodeReportsWhatItCanHave) {
  const WorkerId own = workers[node];
  const Attempt mine = given[node][0], theirs = given[other_node][0], never{mine.sequence, {77, 9}};
  const auto holding = [&](std::vector<Attempt> held, PoolId of = pool) {
    return WorkerReport{own, of, 0, true, 1, 0, std::move(held)};
  };
  const std::string number = std::to_string(mine.sequence);
  EXPECT_EQ(wrong_report({{pool, 0, {}}}, {holding({mine})}), "");
  EXPECT_EQ(wrong_report({{pool, 0, {}}, {pool, 0, {}}}, {}), "with one pool twice");
  EXPECT_EQ(wrong_report({{pool, 0, {}}}, {holding({mine, mine})}), "with job " + number + " twice");
  EXPECT_EQ(wrong_report({{pool, 0, {mine}}}, {holding({mine})}), "with job " + number + " twice");
  EXPECT_EQ(wrong_report({{pool, 0, {theirs}}}, {}),
            "with job " + std::to_string(theirs.sequence) + " of another node");
  EXPECT_EQ(wrong_report({{pool, 0, {}}}, {holding({never})}), "with job " + number + ", which was never given to it");
  EXPECT_EQ(wrong_report({{pool, 0, {}}}, {holding({}, other_pool)}),
            "with a worker of another pool than it was started for");
  EXPECT_EQ(wrong_report({{pool, ~0ULL, {}}}, {}), "with 18446744073709551615 updates");
  EXPECT_EQ(wrong_report({{other_pool, 0, {{~0ULL, {66, 1}}}}}, {}), "with the number 18446744073709551615 of a job");
}

TEST_F(Liars, PoolsThatWereClosedAreNotRememberedForEver) {
  for (std::uint64_t i = 0; i < limits::closed_pools_kept + 10; ++i) {
    tell(PoolOpened{PoolId{1000 + i}, {}, false});
    tell(PoolClosed{PoolId{1000 + i}});
  }
  const auto told = [&](std::uint64_t id) {
    tell(NodeJoined{NodeId{3}, "host", {{0, "cpu", 0}}, {{PoolId{id}, 0, {}}}, {}});
    return only<ClosePoolOnNode>().size();
  };
  EXPECT_EQ(told(1000 + limits::closed_pools_kept), 1U) << "at once";
  EXPECT_EQ(told(1000), 0U) << "after a grace, as any other that nobody knows";
}

}  // namespace
}  // namespace dc::scheduler

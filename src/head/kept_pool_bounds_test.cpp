// How much a named pool may keep, and how many of them there may be.
#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class BoundedStory : public NamedStory {
 protected:
  void start(const PoolBounds& wanted) {
    bounds = wanted;
    restart();
  }
  void submit_sizes(JobSequence first, const std::vector<std::size_t>& sizes, UpdateNumber after = 0) {
    wire::SubmitJobs message{pool, {}};
    for (const std::size_t size : sizes) message.jobs.push_back({first++, after, bytes(size), {}});
    hear(client, std::move(message));
  }
  std::vector<JobSequence> refused() {
    std::vector<JobSequence> all;
    for (const auto& message : told<wire::JobsRefused>(client))
      all.insert(all.end(), message.sequences.begin(), message.sequences.end());
    return all;
  }
  std::uint64_t kept() {
    machine.check_invariants();  // counts anew
    return nlohmann::json::parse(machine.status_json(now))["pools"][0]["kept_bytes"].get<std::uint64_t>();
  }
  void open_other(SessionId session, const std::string& name, bool attach = false) {
    hear(session, wire::OpenPool{PoolId{20}, {}, false, bytes("spec"), name, attach, false});
    keep();
  }
};

TEST_F(BoundedStory, WhatIsBeyondIsRefusedBeforeAnythingIsWritten) {
  start({.bytes_max = 100});
  open_named();
  submit_sizes(1, {40, 80, 60});
  EXPECT_THAT(refused(), ElementsAre(2)) << "each is judged by itself";
  const ErrorInfo error = told<wire::JobsRefused>(client).at(0).error;
  EXPECT_EQ(error.kind, ErrorKind::not_stored);
  EXPECT_EQ(error.message,
            "a job of pool 'sweep' was not accepted: the pool keeps 100 bytes in the store (arguments of jobs without "
            "an outcome, outcomes that nobody has taken, values of keys), 80 bytes more were to come, and "
            "--pool-bytes-max allows 100 bytes: take its results, forget values of keys (`distributed-computing pools "
            "forget 'sweep' --all`), or start the head with a larger --pool-bytes-max");
  EXPECT_EQ(kept(), 100U) << "also what is on its way";
  keep();
  EXPECT_THAT(told<wire::JobsAccepted>(client).at(0).sequences, ElementsAre(1, 3));
  submit_sizes(4, {1, 0});
  EXPECT_THAT(refused(), ElementsAre(4));
  keep();
  EXPECT_THAT(told<wire::JobsAccepted>(client).at(0).sequences, ElementsAre(5));
  hear(client, wire::ResumePool{pool, {}, "sweep", 1, {}, false});
  restart();
  EXPECT_EQ(kept(), 100U);
  hear(client, wire::ResumePool{pool, {2, 4}, "sweep", 1, {}, false});
  EXPECT_THAT(told<wire::PoolKnown>(client).at(0).missing, ElementsAre(2, 4)) << "their numbers do not count as taken";
}

TEST_F(BoundedStory, OutcomesAreNeverRefusedAndCountUntilTheyAreTaken) {
  start({.bytes_max = 100});
  const WorkerId worker = open_named();
  submit_sizes(1, {40});
  keep();
  EXPECT_EQ(kept(), 40U);
  finish(worker, 1, std::string(300, 'v'));
  keep();
  EXPECT_THAT(values(client), SizeIs(1));
  EXPECT_EQ(kept(), 300U) << "in the place of the arguments";
  submit_sizes(2, {0});
  EXPECT_THAT(refused(), ElementsAre(2)) << "there is more than may be";
  restart();
  EXPECT_EQ(kept(), 300U);
  hear(client, wire::ResumePool{pool, {}, "sweep", 1, {1}, false});
  hear(client, wire::AckOutcomes{pool, {1}});
  EXPECT_EQ(kept(), 0U);
  submit_sizes(3, {100});
  EXPECT_THAT(refused(), IsEmpty());
}

TEST_F(BoundedStory, ErrorsCountWithTheirTexts) {
  start({.bytes_max = 1000});
  const WorkerId worker = open_named();
  submit_sizes(1, {5});
  keep();
  ErrorInfo error = ErrorInfo::of(ErrorKind::job_error, "four");
  error.traceback = "trace";
  hear(node, wire::JobFailed{worker, pool, {1, {77, 1}}, 1000, error, bytes("exception")});
  keep();
  EXPECT_EQ(kept(), 4U + 5U + 9U);
}

TEST_F(BoundedStory, WhatTheStoreRefusesGivesItsRoomBack) {
  start({.bytes_max = 100});
  open_named();
  submit_sizes(1, {90});
  keep("the disk is full");
  EXPECT_EQ(kept(), 0U);
  submit_sizes(2, {100});
  EXPECT_THAT(refused(), IsEmpty());
}

TEST_F(BoundedStory, JobsThatWaitForAnUpdateAreJudgedWhenItIsThere) {
  start({.bytes_max = 100});
  open_named();
  submit_sizes(1, {60, 60}, 1);
  EXPECT_EQ(kept(), 0U);
  hear(client, wire::AddUpdate{pool, 1, bytes("u")});
  EXPECT_THAT(refused(), ElementsAre(2));
  keep();
  EXPECT_EQ(kept(), 60U);
}

TEST_F(BoundedStory, ValuesOfKeysCountUntilTheyAreForgotten) {
  start({.bytes_max = 100});
  const WorkerId worker = open_named();
  submit_and_keep(1, 1, "alike");
  finish(worker, 1, std::string(60, 'v'));
  keep();
  EXPECT_EQ(kept(), 120U);
  hear(client, wire::AckOutcomes{pool, {1}});
  EXPECT_EQ(kept(), 60U);
  submit_sizes(2, {41});
  EXPECT_THAT(refused(), ElementsAre(2));
  hear(client, wire::ForgetKeys{PoolId{9}, "sweep", {}, true});
  keep();
  EXPECT_EQ(kept(), 0U);
  submit_sizes(3, {41});
  EXPECT_THAT(refused(), IsEmpty());
}

TEST_F(BoundedStory, ABrokenPoolKeepsOneErrorForAll) {
  start({.bytes_max = 1000});
  node_says();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  keep();
  const auto started = told<wire::StartWorker>(node);
  ASSERT_THAT(started, SizeIs(1));
  submit_sizes(1, {40, 50});
  keep();
  EXPECT_EQ(kept(), 90U);
  const ErrorInfo error = ErrorInfo::of(ErrorKind::worker_init_error, "cannot be built");
  hear(node, wire::WorkerExited{started[0].worker, ExitCause::init_failed, error, {}, {}});
  keep_all();
  EXPECT_NE(machine.status_json(now).find("cannot be built"), std::string::npos);
  EXPECT_EQ(kept(), 0U) << "it is beside them";
}

TEST_F(BoundedStory, ThereAreNoMorePoolsThanMayBe) {
  start({.pools_max = 1});
  open_named();
  const SessionId other{7};
  join(other, wire::Role::client, 101);
  open_other(other, "another");
  hear(other, wire::OpenPool{PoolId{20}, {}, false, bytes("spec"), "another", false, false});
  const auto failed = told<wire::PoolFailed>(other);
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].error.kind, ErrorKind::not_stored);
  EXPECT_EQ(failed[0].error.message,
            "pool 'another' was not opened: the head keeps 1 named pools, and --pools-max allows 1: end one that "
            "nobody needs (`distributed-computing pools list` shows them, `distributed-computing pools remove NAME` "
            "ends one), or start the head with a larger --pools-max");
  lose(client);
  wait(120s);
  hear(other, wire::OpenPool{PoolId{21}, {}, false, {}, "sweep", true, false});
  EXPECT_THAT(told<wire::PoolOpened>(other), SizeIs(1)) << "one that there is can be had";
  hear(other, wire::ClosePool{pool, false, "sweep"});
  keep();
  open_other(other, "another");
  hear(other, wire::OpenPool{PoolId{22}, {}, false, bytes("spec"), "a third", false, false});
  EXPECT_THAT(told<wire::PoolFailed>(other), SizeIs(1));
  machine.check_invariants();
}

TEST_F(BoundedStory, ThoseOfAnEarlierHeadAreAllRestored) {
  start({.pools_max = 1});
  for (const auto& [name, id] : {std::pair{"one", 31U}, {"another", 32U}}) {
    JournalState state;
    state.add(1, encode(PoolBorn{1, name, {}, bytes("spec"), {}, 0, PoolId{id}}));
    machine.restore(std::move(state), now, effects);
  }
  machine.flush(now, effects);
  machine.check_invariants();
  EXPECT_THAT(nlohmann::json::parse(machine.status_json(now))["pools"], SizeIs(2));
  hear(client, wire::OpenPool{PoolId{33}, {}, false, bytes("spec"), "a third", false, false});
  EXPECT_THAT(told<wire::PoolFailed>(client).at(0).error.message, HasSubstr("keeps 2 named pools"));
}

}  // namespace
}  // namespace dc::head

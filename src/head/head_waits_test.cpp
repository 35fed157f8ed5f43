// Clients that run in jobs: the head hears for what they wait, and ends the youngest of those that wait in a circle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "head/named_story_for_tests.hpp"
#include "head/story_for_tests.hpp"

namespace dc::head {
namespace {

using ::testing::HasSubstr;

constexpr SessionId inner{3};
constexpr PoolId inner_pool{11};
constexpr std::uint32_t worker_pid = 4711;  // as all peers of the story have

class Waits : public Story {
 protected:
  /// The only slot runs a job, in which another client is.
  WorkerId busy() {
    const WorkerId worker = open_with_pid();
    submit(1, 1);
    join(inner, wire::Role::client, 101);
    return worker;
  }
  WorkerId open_with_pid() {
    hear(client, wire::OpenPool{pool, {}, false, bytes("spec")});
    const WorkerId worker = told<wire::StartWorker>(node).at(0).worker;
    hear(node, wire::WorkerReady{worker, worker_pid});
    return worker;
  }
};

TEST_F(Waits, APoolThatCannotBeServedFailsWithWhatToDo) {
  const WorkerId worker = busy();
  hear(inner, wire::OpenPool{inner_pool, {}, false, bytes("spec")});
  hear(inner, wire::PoolWaits{inner_pool, worker});
  hear(inner, wire::SubmitJobs{inner_pool, {{1, 0, bytes("x")}}});
  hear(inner, wire::PoolWaits{inner_pool, worker, true});
  wait(limits::nested_patience / 2);
  EXPECT_TRUE(told<wire::PoolFailed>(inner).empty());
  wait(limits::nested_patience);
  const auto failed = told<wire::PoolFailed>(inner);
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(failed[0].error.kind, ErrorKind::pool_deadlock);
  EXPECT_THAT(failed[0].error.message, HasSubstr("the one slot that could run it is held by jobs"));
  machine.check_invariants();
}

TEST_F(Waits, OfAPoolThatIsNotItsOwnNobodySaysAnything) {
  const WorkerId worker = busy();
  hear(inner, wire::PoolWaits{pool, worker, true});
  wait(2 * limits::nested_patience);
  EXPECT_TRUE(told<wire::PoolFailed>(client).empty());
}

TEST_F(NamedStory, ANamedPoolThatCannotBeServedInAJobGoesOnWithoutItsClient) {
  node_says();
  join(inner, wire::Role::client, 101);
  hear(inner, wire::OpenPool{inner_pool, {}, false, bytes("spec")});
  const WorkerId worker = told<wire::StartWorker>(node).at(0).worker;
  hear(node, wire::WorkerReady{worker, worker_pid});
  hear(inner, wire::SubmitJobs{inner_pool, {{1, 0, bytes("x")}}});  // in which `client` is
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  keep();
  submit_and_keep(1, 1);
  hear(client, wire::PoolWaits{pool, worker, true});
  wait(2 * limits::nested_patience);
  const auto failed = told<wire::PoolFailed>(client);
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(failed[0].error.kind, ErrorKind::pool_deadlock);
  keep_all();
  EXPECT_TRUE(machine.scheduler().has_pool(pool));
  join(SessionId{4}, wire::Role::client, 102);
  hear(SessionId{4}, wire::OpenPool{pool, {}, false, {}, "sweep", true, false});
  EXPECT_EQ(told<wire::PoolOpened>(SessionId{4}).size(), 1U) << "it is nobody's";
  machine.check_invariants();
}

}  // namespace
}  // namespace dc::head

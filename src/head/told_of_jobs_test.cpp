// What the head tells a node of a job beside its arguments, and of a pool beside its class.
#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

JobLabel label(const wire::RunItem& item) { return item.label ? *item.label : JobLabel{}; }

TEST_F(NamedStory, ANodeHearsThePoolsNameAndTheKeysOfItsJobs) {
  const WorkerId worker = open_named();
  EXPECT_EQ(told<wire::OpenPoolHere>(node).size(), 0U) << "of the turn before";
  submit_and_keep(1, 1, "key");
  auto runs = told<wire::RunJobs>(node);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(label(runs[0].items.at(0)), (JobLabel{1, "key"}));
  finish(worker, 1, "value");
  keep_all();
  submit_and_keep(2, 2);
  runs = told<wire::RunJobs>(node);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_FALSE(runs[0].items.at(0).label) << "most jobs have none, and it costs them nothing";
}

TEST_F(NamedStory, TheNodeIsToldThePoolsName) {
  node_says();
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
  keep();
  ASSERT_EQ(told<wire::OpenPoolHere>(node).size(), 1U);
  EXPECT_EQ(told<wire::OpenPoolHere>(node)[0].pool_name, "sweep");
}

TEST_F(Story, AJobWhoseWorkerDiedIsToldToBeTheSecondTry) {
  const WorkerId worker = open();
  submit(1, 1);
  hear(node, wire::WorkerExited{worker, ExitCause::died, {}, {first_attempt}, {}});
  const auto started = told<wire::StartWorker>(node);
  ASSERT_EQ(started.size(), 1U);
  hear(node, wire::WorkerReady{started[0].worker, 100});
  const auto runs = told<wire::RunJobs>(node);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(label(runs[0].items.at(0)), (JobLabel{2, ""}));
}

TEST_F(Story, APoolThatSetsWhatIsNotItsToSetIsNotOpened) {
  PoolOptions options;
  options.environment = {"CUDA_VISIBLE_DEVICES=0"};
  hear(client, wire::OpenPool{pool, options, false, bytes("spec")});
  ASSERT_EQ(told<wire::PoolFailed>(client).size(), 1U);
  EXPECT_THAT(told<wire::PoolFailed>(client)[0].error.message, testing::HasSubstr("cannot set CUDA_VISIBLE_DEVICES"));
}

}  // namespace
}  // namespace dc::head

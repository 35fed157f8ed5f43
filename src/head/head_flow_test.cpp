// Nobody who is slow or greedy makes the head grow: windows and turns of results, one answer at a time for who looks,
// and clients that do not keep their own window.
#include "head/story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class FlowStory : public Story {
 protected:
  Lines park(WorkerId worker, JobSequence job, std::uint64_t bytes) {
    return hear(node, wire::JobsParked{worker, pool, {{{job, {77, 1}}, bytes}}});
  }
  static constexpr std::uint64_t large = 100 << 20;
};

TEST_F(FlowStory, ANodeIsToldItsWindowBehindThePool) {
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec")});
  const Lines all = text_of(effects);
  const auto opened =
      std::find_if(all.begin(), all.end(), [](const auto& l) { return l.starts_with("2: OpenPoolHere"); });
  ASSERT_NE(opened, all.end());
  EXPECT_EQ(*(opened + 1), "2: ResultWindow [10 67108864 []] in lane a");
  constexpr SessionId second{5};
  join(second, wire::Role::node, 201);
  hear(second, wire::NodeState{{{0, "cpu", 0}}, {}, {}, {}});
  EXPECT_THAT(told<wire::ResultWindow>(node), SizeIs(1)) << "it has half of it now";
  EXPECT_EQ(told<wire::ResultWindow>(second).at(0).bytes, 32U << 20);
  lose(second);
  EXPECT_EQ(told<wire::ResultWindow>(node).at(0).bytes, 64U << 20);
}

TEST_F(FlowStory, LargeResultsAreLetInOneAfterTheOther) {
  const WorkerId worker = open();
  submit(1, 4);
  EXPECT_EQ(park(worker, 1, large).front(), "2: ResultWindow [10 67108864 [[1 [77 1]]]] in lane a");
  EXPECT_THAT(told<wire::RunJobs>(node), SizeIs(1)) << "the worker goes on";
  park(worker, 2, large);
  EXPECT_THAT(told<wire::ResultWindow>(node), SizeIs(1)) << "one comes in while one goes out";
  park(worker, 3, large);
  EXPECT_THAT(told<wire::ResultWindow>(node), IsEmpty());
  hear(node, wire::JobsDone{worker, pool, {{{1, {77, 1}}, 5, bytes("v")}}});
  EXPECT_THAT(told<wire::ResultWindow>(node), IsEmpty()) << "the client does not have it";
  hear(client, wire::AckOutcomes{pool, {1}});
  EXPECT_EQ(told<wire::ResultWindow>(node).at(0).turn.at(0).sequence, 3U);
  EXPECT_THAT(told<wire::AckResults>(node), SizeIs(1));
}

TEST_F(FlowStory, ANodeThatLeavesItsResultsBehindMakesNoRoomForAnother) {
  const WorkerId worker = open();
  submit(1, 1);
  hear(node, wire::JobsDone{worker, pool, {{{1, {77, 1}}, 5, bytes(48U << 20)}}});
  constexpr SessionId second{5};
  join(second, wire::Role::node, 201);
  hear(node, wire::Goodbye{"bye"});
  hear(second, wire::NodeState{{{0, "cpu", 0}}, {}, {}, {}});
  ASSERT_FALSE(told<wire::ResultWindow>(second).empty());
  EXPECT_EQ(told<wire::ResultWindow>(second).back().bytes, 16U << 20) << "the client does not have the 48 MiB yet";
  hear(client, wire::AckOutcomes{pool, {1}});
  EXPECT_EQ(told<wire::ResultWindow>(second).back().bytes, 64U << 20);
}

TEST_F(FlowStory, WhatHasComeIsNotLetInAgain) {
  const WorkerId worker = open();
  submit(1, 5);
  hear(node, wire::JobsDone{worker, pool, {{{1, {77, 1}}, 5'000'000, bytes("v")}}});
  EXPECT_THAT(park(worker, 1, large), Not(Contains(HasSubstr("ResultWindow")))) << "its client is about to take it";
  EXPECT_THAT(told<wire::AckResults>(node), IsEmpty());
  hear(client, wire::AckOutcomes{pool, {1}});
  EXPECT_THAT(told<wire::AckResults>(node), SizeIs(1));
  park(worker, 1, large);  // said before it heard that
  EXPECT_THAT(told<wire::ResultWindow>(node), IsEmpty());
  for (JobSequence job = 2; job <= 3; ++job) {
    park(worker, job, large);
    EXPECT_THAT(told<wire::ResultWindow>(node), SizeIs(1)) << "no turn is lost";
  }
}

TEST_F(FlowStory, WhoLooksHasOneAnswerUnderWay) {
  constexpr SessionId viewer{3};
  join(viewer, wire::Role::viewer, 0);
  hear(viewer, wire::StatusRequest{});
  EXPECT_THAT(told<wire::StatusReply>(viewer), SizeIs(1));
  hear(viewer, wire::StatusRequest{});
  EXPECT_THAT(told<wire::StatusReply>(viewer), IsEmpty());
  effects.clear();
  machine.answered(viewer, now, effects);
  EXPECT_THAT(told<wire::StatusReply>(viewer), SizeIs(1));
  machine.answered(viewer, now, effects);
  hear(viewer, wire::StatusRequest{});
  EXPECT_THAT(told<wire::StatusReply>(viewer), SizeIs(1));
  Lines last;
  for (std::uint32_t i = 0; i <= limits::status_requests_max; ++i) last = hear(viewer, wire::StatusRequest{});
  EXPECT_EQ(last.back(),
            "3: closed (you broke the protocol (StatusRequest again and again, without reading the answers))");
  effects.clear();
  machine.answered(viewer, now, effects);
  EXPECT_THAT(effects, IsEmpty());
}

TEST_F(FlowStory, AClientThatDoesNotKeepItsWindowIsCutOff) {
  open();
  const auto at_once = [&](JobSequence first, std::size_t jobs, std::size_t size) {
    wire::SubmitJobs message{pool, {}};
    const Payload arguments = bytes(size);
    for (JobSequence i = 0; i < jobs; ++i) message.jobs.push_back({first + i, 0, arguments});
    const Lines lines = hear(client, std::move(message));
    return std::any_of(lines.begin(), lines.end(), [](const auto& line) { return line.starts_with("1: closed"); });
  };
  EXPECT_FALSE(at_once(1, 200, 1 << 20));
  EXPECT_FALSE(at_once(1000, limits::submit_window_jobs - 200, 1));
  EXPECT_TRUE(at_once(20'000, 1, 1));
}

TEST_F(FlowStory, AClientThatSubmitsTooManyBytesIsCutOff) {
  open();
  wire::SubmitJobs message{pool, {}};
  const Payload arguments = bytes(200 << 20);
  for (JobSequence i = 1; i <= 2; ++i) message.jobs.push_back({i, 0, arguments});
  const Lines lines = hear(client, std::move(message));
  EXPECT_EQ(lines.back(),
            "1: closed (you broke the protocol (SubmitJobs beyond the window of a client: 2 jobs with 419430400 bytes "
            "are open))");
}

TEST_F(FlowStory, OneJobForEachWorkerMayHaveAnySizeAndWhatWasOpenBeforeToo) {
  open();
  wire::SubmitJobs message{pool, {{1, 0, bytes(300 << 20)}}};
  hear(client, std::move(message));
  EXPECT_THAT(told<wire::RunJobs>(node), SizeIs(1));
  constexpr SessionId again{9};
  lose(client);
  join(again, wire::Role::client, client_id);
  hear(again, wire::ResumePool{pool, {1, 2, 3}});
  wire::SubmitJobs missing{pool, {}};
  const Payload arguments = bytes(200 << 20);
  for (JobSequence i = 2; i <= 3; ++i) missing.jobs.push_back({i, 0, arguments});
  hear(again, std::move(missing));
  hear(again, wire::PoolResumed{pool});
  EXPECT_EQ(machine.scheduler().find_job(pool, 3)->state, scheduler::JobView::State::queued);
  EXPECT_EQ(hear(again, wire::ResumePool{pool, {1, 2, 3}}).back(),
            "9: closed (you broke the protocol (ResumePool of a pool that the session has))");
}

}  // namespace
}  // namespace dc::head

// What the store cannot give back costs its job, which says so, and nothing else.
#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class UnreadableStory : public NamedStory {
 protected:
  static Payload lost() { return Payload::elsewhere(std::make_shared<const int>(0), 100'000); }
  void cannot_read(SessionId session, wire::Message message) {
    effects.clear();
    machine.unreadable({session, std::move(message)}, "it is damaged", now, effects);
    machine.flush(now, effects);
  }
};

TEST_F(UnreadableStory, AJobWhoseArgumentsAreDamagedEndsAndTheOthersRun) {
  open_named();
  submit_and_keep(1, 2);
  const auto run = told<wire::RunJobs>(node);
  ASSERT_FALSE(run.empty());
  wire::RunJobs bad{run[0].worker, {run[0].items[0], run[0].items[0]}};
  bad.items[0].arguments = lost();
  bad.items[1].attempt.sequence = 2;
  cannot_read(node, bad);
  const auto left = told<wire::RunJobs>(node);
  ASSERT_FALSE(left.empty());
  ASSERT_THAT(left.front().items, SizeIs(1));
  EXPECT_EQ(left.front().items[0].attempt.sequence, 2U);
  keep_all();
  ASSERT_THAT(told<wire::JobError>(client), SizeIs(1));
  const wire::JobError error = told<wire::JobError>(client)[0];
  EXPECT_EQ(error.error.kind, ErrorKind::not_stored);
  EXPECT_EQ(error.error.message, "the arguments of job 1 of pool 'sweep' cannot be read: it is damaged");
}

TEST_F(UnreadableStory, AResultThatIsDamagedIsAnErrorAndTheOthersComeWithIt) {
  open_named();
  wire::JobValues values{pool, {}};
  values.items.push_back({1, bytes("good")});
  values.items.push_back({2, lost()});
  cannot_read(client, values);
  ASSERT_THAT(told<wire::JobError>(client), SizeIs(1));
  EXPECT_EQ(told<wire::JobError>(client)[0].sequence, 2U);
  EXPECT_THAT(told<wire::JobError>(client)[0].error.message, HasSubstr("the result of job 2 of pool 'sweep'"));
  ASSERT_THAT(told<wire::JobValues>(client), SizeIs(1));
  EXPECT_THAT(told<wire::JobValues>(client)[0].items, SizeIs(1));
  cannot_read(client, wire::JobError{pool, 3, ErrorInfo::of(ErrorKind::job_error, "boom"), lost()});
  ASSERT_THAT(told<wire::JobError>(client), SizeIs(1));
  EXPECT_EQ(told<wire::JobError>(client)[0].error.message, "boom") << "without the exception itself";
}

TEST_F(UnreadableStory, WhoLooksSeesWhichAreDamaged) {
  constexpr SessionId viewer{7};
  join(viewer, wire::Role::viewer, 0);
  cannot_read(viewer, wire::OutcomesSeen{true, {{1, false, {}, bytes("good")}, {2, false, {}, lost()}}, 2});
  ASSERT_THAT(told<wire::OutcomesSeen>(viewer), SizeIs(1));
  const auto items = told<wire::OutcomesSeen>(viewer)[0].items;
  EXPECT_FALSE(items[0].failed);
  EXPECT_TRUE(items[1].failed);
  EXPECT_EQ(items[1].error.kind, ErrorKind::not_stored);
}

TEST_F(UnreadableStory, NobodyIsToldWhoHasGone) {
  open_named();
  lose(client);
  cannot_read(client, wire::JobError{pool, 3, ErrorInfo::of(ErrorKind::job_error, "boom"), lost()});
  EXPECT_THAT(told<wire::JobError>(client), IsEmpty());
}

}  // namespace
}  // namespace dc::head

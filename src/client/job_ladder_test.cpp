// The steps of a job at its client, with a head that keeps what it accepts and with one that does not.
#include "client/job_ladder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dc::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

JobLadder with_jobs(bool head_keeps, JobSequence last, StreamId stream = 7) {
  JobLadder jobs(head_keeps);
  for (JobSequence i = 1; i <= last; ++i) jobs.add({stream, {i, 0, Payload(std::string("four"))}});
  return jobs;
}

void send_all(JobLadder& jobs) {
  while (jobs.has_waiting()) {
    jobs.first_is_sent();
    jobs.drop_first();
  }
}

TEST(JobLadder, WithoutAKeepingHeadAJobIsSentUntilItsOutcomeIsHere) {
  JobLadder jobs = with_jobs(false, 2);
  EXPECT_EQ(jobs.unsettled(), 2U);
  send_all(jobs);
  EXPECT_THAT(jobs.outstanding(), ElementsAre(1, 2));
  EXPECT_EQ(jobs.sent_bytes(), 8U);
  const auto first = jobs.arrived(1);
  EXPECT_TRUE(first.is_new && first.acknowledge);
  EXPECT_EQ(first.stream, 7U);
  const auto again = jobs.arrived(1);
  EXPECT_TRUE(!again.is_new && again.acknowledge) << "the head has not heard that it is here";
  EXPECT_THAT(jobs.outstanding(), ElementsAre(2));
  EXPECT_EQ(jobs.sent_bytes(), 4U);
}

TEST(JobLadder, AtAKeepingHeadOneStepComesAfterTheOther) {
  JobLadder jobs = with_jobs(true, 1);
  send_all(jobs);
  jobs.accepted(1);
  EXPECT_THAT(jobs.outstanding(), IsEmpty());
  EXPECT_EQ(jobs.sent_bytes(), 0U);
  EXPECT_EQ(jobs.unfinished(), 1U);

  const auto first = jobs.arrived(1);
  EXPECT_TRUE(first.is_new && !first.acknowledge) << "not before the user has done with it";
  EXPECT_EQ(first.stream, 7U);
  EXPECT_FALSE(jobs.arrived(1).acknowledge);
  EXPECT_THAT(jobs.received(), ElementsAre(1));
  EXPECT_THAT(jobs.unconfirmed(), IsEmpty());

  EXPECT_TRUE(jobs.consumed(1));
  EXPECT_FALSE(jobs.consumed(1));
  EXPECT_THAT(jobs.unconfirmed(), ElementsAre(1));
  const auto again = jobs.arrived(1);
  EXPECT_TRUE(!again.is_new && again.acknowledge && !again.revived) << "the acknowledgement was lost";

  jobs.confirmed(1);
  EXPECT_THAT(jobs.received(), IsEmpty());
  const auto late = jobs.arrived(1);
  EXPECT_TRUE(!late.is_new && late.acknowledge && late.revived) << "the head has lost what it confirmed";
}

TEST(JobLadder, AnOutcomeMayComeBeforeItsAcceptance) {
  JobLadder jobs = with_jobs(true, 1);
  send_all(jobs);
  EXPECT_EQ(jobs.arrived(1).stream, 7U);
  jobs.accepted(1);
  EXPECT_EQ(jobs.unfinished(), 0U);
}

TEST(JobLadder, ADroppedStreamEndsWhatWasNotSentUnlessTheHeadKeepsIt) {
  JobLadder jobs = with_jobs(false, 2);
  jobs.first_is_sent();
  jobs.drop_first();
  jobs.drop(7);
  EXPECT_FALSE(jobs.has_waiting());
  EXPECT_THAT(jobs.outstanding(), ElementsAre(1));
  jobs.forget_unwanted();
  EXPECT_THAT(jobs.outstanding(), IsEmpty());
  EXPECT_EQ(jobs.sent_bytes(), 0U);

  JobLadder kept = with_jobs(true, 2);
  kept.drop(7);
  EXPECT_EQ(kept.unsettled(), 2U) << "whoever comes next gets their outcomes";
  EXPECT_EQ(kept.first_waiting().stream, nobody);
}

TEST(JobLadder, WhatTheHeadHasLostEndsAndAllEndInOrder) {
  JobLadder jobs = with_jobs(true, 5);
  for (int i = 0; i < 4; ++i) {
    jobs.first_is_sent();
    jobs.drop_first();
  }
  for (const JobSequence accepted : {3, 1, 2}) jobs.accepted(accepted);
  EXPECT_THAT(jobs.lost_after(1), ElementsAre(Pair(2, 7), Pair(3, 7)));
  EXPECT_THAT(jobs.end(), ElementsAre(Pair(1, 7), Pair(4, 7), Pair(5, 7)));
  EXPECT_EQ(jobs.unfinished(), 0U);
}

TEST(JobLadder, OneThatIsRefusedWasSentAndIsNotAnyMore) {
  JobLadder jobs = with_jobs(true, 1);
  send_all(jobs);
  EXPECT_THAT(jobs.refused(1), Pair(true, 7));
  EXPECT_THAT(jobs.refused(1), Pair(false, nobody));
}

}  // namespace
}  // namespace dc::client

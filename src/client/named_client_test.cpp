// Named pools with real threads and sockets, against a stand-in for the head: the client's calls and the C++ interface.
#include <algorithm>

#include "client/fake_head_for_tests.hpp"
#include "distributed_computing/distributed_computing.hpp"

/// The stand-in answers with a job's arguments, which are an array: so run must return them as a tuple.
class Echo : public dc::WorkerInterface {
 public:
  std::tuple<int> run(int x) { return {x}; }
};
DISTRIBUTED_COMPUTING_WORKER(Echo);

namespace dc::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using One = std::tuple<int>;

std::string packed(int value) { return detail::pack_tuple(One{value}); }

class NamedClientTest : public ::testing::Test {
 protected:
  std::shared_ptr<PoolClient> start() {
    ClientOptions options = head.client_options();
    options.name = "sweep";
    options.on_notice = [this](const std::string& text) { notices.add(text); };
    return PoolClient::start(std::move(options));
  }
  std::shared_ptr<PoolClient> open() {
    auto client = start();
    EXPECT_TRUE(client->wait_open(long_enough).value());
    return client;
  }
  static std::unique_ptr<Stream> stream_of(PoolClient& client) { return std::move(client.open_stream()).value(); }
  PoolSettings settings() {
    const ClientOptions options = head.client_options();
    return {.password = options.password, .address = options.address, .port = options.port, .name = "sweep"};
  }
  template <class Counter>
  static void wait_for(Counter& counter, std::size_t count) {
    while (counter < count) std::this_thread::yield();
  }

  Notices notices;
  FakeHead head;
};

TEST_F(NamedClientTest, NumbersGoOnWhereThePoolIsOnceItIsOpen) {
  head.last_sequence = 40;
  head.stop();
  const auto client = start();
  const auto early = client->open_stream();
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().message, "pool 'sweep' is not open so far: wait for it first");
  head.start();
  EXPECT_TRUE(client->wait_open(long_enough).value());
  EXPECT_EQ(client->opened().last_sequence, 40U);
  const auto stream = stream_of(*client);
  EXPECT_EQ(stream->submit(number(1)).value(), 41U);
  EXPECT_EQ(stream->take(1, long_enough).value().at(0).outcome.payload, number(1));
}

TEST_F(NamedClientTest, OnlyWhatTheUserHasDoneWithIsAcknowledged) {
  const auto client = open();
  const auto stream = stream_of(*client);
  stream->submit({number(1), number(2)}).value();
  std::size_t taken = 0;
  while (taken < 2) taken += stream->take(2, long_enough).value().size();
  stream->hand_over({1});
  EXPECT_THAT(stream->take(1, Duration::zero()).value(), IsEmpty());
  wait_for(head.acknowledged, 1);
  client->end();
  EXPECT_EQ(head.acknowledged, 1U) << "the second one was never in the user's hands";
  EXPECT_EQ(head.left, 1U);
  EXPECT_EQ(head.closed, 0U);
}

TEST_F(NamedClientTest, WhatIsInTheUsersHandsIsAcknowledgedWhenThePoolIsLeft) {
  const auto client = open();
  const auto stream = stream_of(*client);
  stream->submit(number(1)).value();
  stream->take(1, long_enough).value();
  stream->hand_over({1});
  client->end();
  EXPECT_EQ(head.acknowledged, 1U);
  EXPECT_THAT(stream->take(1, long_enough).error().message, HasSubstr("has left pool 'sweep'"));
}

TEST_F(NamedClientTest, LeavingWaitsUntilTheJobsAreAccepted) {
  head.accepts = false;
  const auto client = open();
  const auto stream = stream_of(*client);
  stream->submit(number(1)).value();
  wait_for(head.submitted, 1);
  client->begin_detach();
  EXPECT_FALSE(client->wait_detached(50ms));
  EXPECT_EQ(stream->submit(number(2)).error().message, "this program has left pool 'sweep': attach to it again");
  head.accepts = true;
  head.break_connection();  // it comes back, and the job is sent again
  EXPECT_TRUE(client->wait_detached(long_enough));
  EXPECT_EQ(head.left, 1U);
}

/// One that comes back again and again, and takes nothing.
TEST_F(NamedClientTest, LeavingEndsThoughTheHeadComesAndGoes) {
  head.accepts = false;
  ClientOptions options = head.client_options();
  options.name = "sweep";
  options.leave_patience = 10s;
  options.leave_progress_patience = 500ms;
  options.on_notice = [this](const std::string& text) { notices.add(text); };
  const auto client = PoolClient::start(std::move(options));
  EXPECT_TRUE(client->wait_open(long_enough).value());
  const auto stream = stream_of(*client);
  stream->submit(number(1)).value();
  wait_for(head.submitted, 1);
  client->begin_detach();
  const auto deadline = std::chrono::steady_clock::now() + long_enough;
  while (!client->wait_detached(50ms) && std::chrono::steady_clock::now() < deadline) head.break_connection();
  EXPECT_TRUE(client->wait_detached(0ms));
  EXPECT_EQ(head.left, 0U);
}

TEST_F(NamedClientTest, ClosingCutsTheWaitingShortAndTellsWhatMayBeMissing) {
  head.accepts = false;
  const auto client = open();
  const auto stream = stream_of(*client);
  stream->submit(number(1)).value();
  wait_for(head.submitted, 1);
  client->begin_detach();
  client->close();
  EXPECT_THAT(notices.wait_for(1), ElementsAre(HasSubstr("it is not known whether pool 'sweep' has the last 1 job: ")));
  EXPECT_EQ(head.closed, 0U);
  EXPECT_EQ(head.left, 0U);
}

TEST_F(NamedClientTest, ABreakLosesAndDoublesNothing) {
  const auto client = open();
  const auto stream = stream_of(*client);
  constexpr std::uint64_t jobs = 2000;
  std::thread submitter([&] {
    for (std::uint64_t job = 0; job < jobs; ++job) {
      stream->submit(number(job)).value();
      if (job % 700 == 500) head.break_connection();
    }
  });
  std::set<JobSequence> seen;
  while (seen.size() < jobs) {
    const auto some = stream->take(64, long_enough).value();
    ASSERT_FALSE(some.empty());
    for (const Completed& one : some) {
      EXPECT_EQ(one.outcome.payload, number(one.sequence - 1));
      EXPECT_TRUE(seen.insert(one.sequence).second) << one.sequence << " came twice";
      stream->hand_over({one.sequence});
    }
  }
  submitter.join();
}

TEST_F(NamedClientTest, BusyAndMissingPoolsAreNamedErrors) {
  head.refuses_to_open = ErrorInfo::of(ErrorKind::pool_busy, "pool 'sweep' is in the hands of desk (pid 7)");
  const auto client = start();
  const auto opened = client->wait_open(long_enough);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().info, *head.refuses_to_open);
  EXPECT_THROW(Pool<Echo>{settings()}, PoolBusy);
  head.refuses_to_open = ErrorInfo::of(ErrorKind::pool_not_found, "no pool 'sweep'");
  EXPECT_THROW(Pool<Echo>::attach(settings()), PoolNotFound);
}

TEST_F(NamedClientTest, DestroyingACppPoolLeavesItAndClosingEndsIt) {
  {
    Pool<Echo> pool(settings());
    EXPECT_THAT(pool.map(std::vector{1, 2}), ElementsAre(One{1}, One{2}));
  }
  EXPECT_EQ(head.left, 1U);
  EXPECT_EQ(head.closed, 0U);
  EXPECT_EQ(head.acknowledged, 2U);
  Pool<Echo> again(settings());
  again.close();
  EXPECT_EQ(head.closed, 1U);
}

TEST_F(NamedClientTest, AMapThatFailedCountsAsNotDelivered) {
  head.fails = [](const Payload& arguments) { return arguments.view() == packed(2); };
  {
    Pool<Echo> pool(settings());
    EXPECT_THROW(pool.map(std::vector{1, 2, 3}), JobError);
  }
  EXPECT_EQ(head.acknowledged, 0U);
}

TEST_F(NamedClientTest, ResultsOfEarlierProgramsAreIteratedAndAcknowledged) {
  head.last_sequence = 5;
  head.earlier = {{1, packed(10)}, {3, packed(30)}, {5, packed(50)}};
  Pool<Echo> pool = Pool<Echo>::attach(settings());
  std::vector<One> values;
  for (const One& value : pool.earlier_results()) {
    values.push_back(value);
    if (values.size() == 2) break;
  }
  auto rest = pool.earlier_results_in_order();
  EXPECT_EQ(rest.size(), 1U);
  for (const One& value : rest) values.push_back(value);
  EXPECT_THAT(values, ElementsAre(One{10}, One{30}, One{50}));
  EXPECT_TRUE(pool.earlier_results().begin() == rest.end());
  wait_for(head.acknowledged, 3);
}

TEST_F(NamedClientTest, KeysTravelWithTheirJobs) {
  Pool<Echo> pool(settings());
  EXPECT_EQ(pool.submit_keyed("seven", 7).get(), One{7});
  EXPECT_THAT(head.keys(), ElementsAre("seven"));
  EXPECT_THROW(pool.submit_keyed("", 7), std::invalid_argument);
  PoolSettings unnamed = settings();
  unnamed.name.clear();
  Pool<Echo> other(unnamed);
  EXPECT_THROW(other.submit_keyed("seven", 7), std::invalid_argument);
  EXPECT_THROW(other.detach(), std::invalid_argument);
  EXPECT_THROW(other.earlier_results(), std::invalid_argument);
  EXPECT_THROW(Pool<Echo>::attach(unnamed), std::invalid_argument);
}

TEST_F(NamedClientTest, AJobThatIsNotStoredFailsAlone) {
  head.refuses_jobs = ErrorInfo::of(ErrorKind::not_stored, "the disk is full");
  Pool<Echo> pool(settings());
  EXPECT_THROW(pool.submit(1).get(), NotStored);
  EXPECT_THROW(pool.map(std::vector{1}), NotStored);
}

}  // namespace
}  // namespace dc::client

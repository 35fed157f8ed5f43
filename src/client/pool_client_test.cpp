// PoolClient with real threads and sockets, against a stand-in for the head.
#include "client/pool_client.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <numeric>

#include "client/fake_head_for_tests.hpp"

namespace dc::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Takes until `count` outcomes are here.
std::vector<Completed> take_all(Stream& stream, std::size_t count) {
  std::vector<Completed> all;
  while (all.size() < count) {
    auto some = stream.take(count - all.size(), long_enough);
    if (!some || some.value().empty()) {
      ADD_FAILURE() << (some ? "nothing came" : some.error().message);
      break;
    }
    std::move(some.value().begin(), some.value().end(), std::back_inserter(all));
  }
  return all;
}

class PoolClientTest : public ::testing::Test {
 protected:
  std::shared_ptr<PoolClient> start() { return start(head.client_options()); }
  std::shared_ptr<PoolClient> start(ClientOptions options) {
    options.on_notice = [this](const std::string& text) { notices.add(text); };
    return PoolClient::start(std::move(options));
  }
  std::shared_ptr<PoolClient> open() {
    auto client = start();
    EXPECT_TRUE(client->wait_open(long_enough).value());
    return client;
  }
  static std::unique_ptr<Stream> stream_of(PoolClient& client) { return std::move(client.open_stream()).value(); }

  Notices notices;
  FakeHead head;
};

TEST_F(PoolClientTest, JobsGoOutAndComeBack) {
  const auto client = start();
  const auto stream = stream_of(*client);
  EXPECT_EQ(stream->submit(Payload::copy("a")).value(), 1U);
  EXPECT_EQ(stream->submit({Payload::copy("b"), Payload::copy("c")}).value(), 2U);
  EXPECT_EQ(stream->in_flight(), 3U);
  const std::vector<Completed> expected = {
      {1, {Payload::copy("a"), {}}}, {2, {Payload::copy("b"), {}}}, {3, {Payload::copy("c"), {}}}};
  EXPECT_EQ(take_all(*stream, 3), expected);
  EXPECT_EQ(stream->in_flight(), 0U);
  EXPECT_THAT(stream->take(1, Duration::zero()).value(), IsEmpty());
}

TEST_F(PoolClientTest, TakeReturnsNoMoreThanAskedForAndKeepsTheRest) {
  const auto client = open();
  const auto stream = stream_of(*client);
  head.withhold = true;
  stream->submit({number(1), number(2), number(3)}).value();
  while (head.submitted < 3) std::this_thread::yield();
  head.release();
  std::vector<JobSequence> order;
  for (int i = 0; i < 3; ++i) order.push_back(take_all(*stream, 1).at(0).sequence);
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST_F(PoolClientTest, SeveralThreadsAndStreamsAtOnce) {
  const auto client = start();
  constexpr std::uint64_t jobs = 5000;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&client] {
      const auto stream = stream_of(*client);
      std::map<JobSequence, std::string> expected;
      for (std::uint64_t job = 0; job < jobs; ++job) {
        expected[stream->submit(number(job)).value()] = std::to_string(job);
      }
      for (const Completed& one : take_all(*stream, jobs)) {
        EXPECT_EQ(one.outcome.payload.view(), expected[one.sequence]);
        expected.erase(one.sequence);
      }
      EXPECT_THAT(expected, IsEmpty());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(PoolClientTest, LargePayloadsComeBackWhole) {
  const auto client = open();
  const auto stream = stream_of(*client);
  std::string large(8 << 20, '\0');
  std::iota(large.begin(), large.end(), 0);
  stream->submit(Payload(large)).value();
  EXPECT_EQ(take_all(*stream, 1).at(0).outcome.payload.view(), large);
}

TEST_F(PoolClientTest, AWrongPasswordIsFinal) {
  ClientOptions options = head.client_options();
  options.password = "wrong";
  const auto client = start(options);
  const auto opened = client->wait_open(long_enough);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, FailureKind::authentication);
  EXPECT_THAT(opened.error().message, HasSubstr("password"));
  EXPECT_EQ(client->open_stream().error().kind, FailureKind::authentication);
}

TEST_F(PoolClientTest, NoHeadFailsAfterTheConnectTimeout) {
  head.stop();
  ClientOptions options = head.client_options();
  options.connect_timeout = 200ms;
  const auto client = start(options);
  EXPECT_FALSE(client->wait_open(Duration::zero()).value());
  const auto stream = stream_of(*client);
  stream->submit(number(1)).value();
  const auto opened = client->wait_open(long_enough);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, FailureKind::unreachable);
  EXPECT_THAT(opened.error().message, HasSubstr("cannot reach the head at 127.0.0.1:"));
  EXPECT_EQ(take_all(*stream, 1).at(0).outcome.error->message, opened.error().message);
  EXPECT_EQ(stream->take(1, long_enough).error().kind, FailureKind::unreachable);
}

TEST_F(PoolClientTest, AHeadThatComesWithinTheConnectTimeoutIsFound) {
  head.stop();
  const auto client = start();
  EXPECT_FALSE(client->wait_open(100ms).value());
  head.start();
  EXPECT_TRUE(client->wait_open(long_enough).value());
}

TEST_F(PoolClientTest, ARestartedHeadGetsTheJobsAgain) {
  const auto client = open();
  const auto stream = stream_of(*client);
  head.withhold = true;
  for (std::uint64_t job = 0; job < 100; ++job) stream->submit(number(job)).value();
  while (head.submitted < 100) std::this_thread::yield();
  head.stop();
  for (std::uint64_t job = 100; job < 200; ++job) stream->submit(number(job)).value();
  head.withhold = false;
  head.start();
  std::set<JobSequence> seen;
  for (const Completed& one : take_all(*stream, 200)) {
    EXPECT_EQ(one.outcome.payload, number(one.sequence - 1));
    seen.insert(one.sequence);
  }
  EXPECT_EQ(seen.size(), 200U);
  EXPECT_EQ(head.opened, 2U);
  EXPECT_THAT(notices.wait_for(2),
              ElementsAre(HasSubstr("trying again"), HasSubstr("connected to the head at 127.0.0.1:")));
}

TEST_F(PoolClientTest, ABrokenConnectionLosesAndDoublesNothing) {
  const auto client = open();
  const auto stream = stream_of(*client);
  constexpr std::uint64_t jobs = 3000;
  std::thread submitter([&] {
    for (std::uint64_t job = 0; job < jobs; ++job) {
      stream->submit(number(job)).value();
      if (job % 1000 == 500) head.break_connection();
    }
  });
  std::set<JobSequence> seen;
  for (const Completed& one : take_all(*stream, jobs)) {
    EXPECT_EQ(one.outcome.payload, number(one.sequence - 1));
    seen.insert(one.sequence);
  }
  submitter.join();
  EXPECT_EQ(seen.size(), jobs);
  EXPECT_THAT(stream->take(1, Duration::zero()).value(), IsEmpty());
}

TEST_F(PoolClientTest, UpdatesAreAcceptedAndApplied) {
  const auto client = open();
  EXPECT_EQ(client->update(Payload::copy("u")).value(), 1U);
  EXPECT_TRUE(client->wait_applied(1, long_enough).value());
  EXPECT_EQ(client->update_failure(1), std::nullopt);
  EXPECT_FALSE(client->wait_applied(2, Duration::zero()).value());
}

TEST_F(PoolClientTest, WhatHandleUpdateRaisedIsToldAndKept) {
  head.update_error = "host slot 0: KeyError";
  const auto client = open();
  const UpdateNumber update = client->update(Payload::copy("u")).value();
  EXPECT_TRUE(client->wait_applied(update, long_enough).value());
  EXPECT_EQ(client->update_failure(update)->error->message, "host slot 0: KeyError");
  EXPECT_THAT(notices.wait_for(1), ElementsAre("an update failed: host slot 0: KeyError"));
  EXPECT_TRUE(client->wait_applied(client->update(Payload::copy("u")).value(), long_enough).value());
  EXPECT_EQ(notices.wait_for(2).size(), 2U) << "each is told once, though the head may say it again";
}

TEST_F(PoolClientTest, FailedUpdatesAreToldWithoutCommandsAndNotAllOfThem) {
  head.update_error = "host slot 0: \x1b[2J\ndistributed-computing: forged" + std::string(1 << 16, 'x');
  const auto client = open();
  UpdateNumber last = 0;
  for (int i = 0; i < 200; ++i) last = client->update(Payload::copy("u")).value();
  EXPECT_TRUE(client->wait_applied(last, long_enough).value());
  const auto told = notices.wait_for(1);
  EXPECT_THAT(told.front(),
              ::testing::StartsWith("an update failed: host slot 0: ?[2J\n  distributed-computing: forged"));
  EXPECT_THAT(told, ::testing::Contains("updates fail so often that not all are shown"));
  EXPECT_LT(told.size(), 100U);
  for (const std::string& one : told) EXPECT_LE(one.size(), limits::notice_bytes_max + 100);
}

TEST_F(PoolClientTest, CountsChangeAndWorkersCanBeWaitedFor) {
  const auto client = open();
  while (client->counts().value().state.nodes == 0) client->wait_counts(0, long_enough).value();
  const auto before = client->counts().value();
  EXPECT_FALSE(client->wait_counts(before.version, Duration::zero()).value());
  EXPECT_TRUE(client->wait_workers(2, long_enough).value());
  EXPECT_TRUE(client->wait_counts(before.version, long_enough).value());
  EXPECT_EQ(client->counts().value().state.workers, 2U);
}

TEST_F(PoolClientTest, WaitingForWorkersIsTold) {
  const auto client = open();
  const auto stream = stream_of(*client);
  head.withhold = true;
  stream->submit(number(1)).value();
  EXPECT_THAT(notices.wait_for(1), ElementsAre(HasSubstr("has 1 node with 2 slots, 1 worker starting")));
}

TEST_F(PoolClientTest, APayloadOverTheLimitIsRefusedBeforeItIsSent) {
  head.stop();
  head.payload_bytes_max = 100;
  head.start();
  const auto client = open();
  const auto stream = stream_of(*client);
  const auto refused = stream->submit(Payload(std::string(101, 'x')));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, FailureKind::too_large);
  EXPECT_EQ(refused.error().message,
            "a job's argument of 101 bytes is over the head's limit of 100 bytes (payload_bytes_max)");
  EXPECT_EQ(client->update(Payload(std::string(101, 'x'))).error().kind, FailureKind::too_large);
  stream->submit(number(1)).value();
  EXPECT_EQ(take_all(*stream, 1).size(), 1U);
}

TEST_F(PoolClientTest, AFailedPoolSaysWhyEverywhere) {
  const auto client = open();
  const auto stream = stream_of(*client);
  head.withhold = true;
  stream->submit(number(1)).value();
  while (head.submitted < 1) std::this_thread::yield();
  const ErrorInfo error = ErrorInfo::of(ErrorKind::worker_init_error, "no data set");
  head.send([&](PoolId pool) { return wire::PoolFailed{pool, error}; });
  EXPECT_EQ(take_all(*stream, 1).at(0).outcome.error, error);
  const auto after = stream->take(1, long_enough);
  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().kind, FailureKind::pool_failed);
  EXPECT_EQ(after.error().info, error);
  EXPECT_EQ(client->update(number(1)).error().message, "no data set");
}

TEST_F(PoolClientTest, ClosingWakesWhoeverWaitsAndIsRepeatable) {
  const auto client = open();
  const auto stream = stream_of(*client);
  head.withhold = true;
  stream->submit(number(1)).value();
  std::thread consumer([&] {
    EXPECT_EQ(take_all(*stream, 1).at(0).outcome.error->kind, ErrorKind::pool_closed);
    EXPECT_EQ(stream->take(1, long_enough).error().kind, FailureKind::pool_closed);
  });
  std::thread waiter([&] {
    const auto applied = client->wait_applied(7, long_enough);
    EXPECT_FALSE(applied);
  });
  std::vector<std::thread> closers;
  for (int i = 0; i < 3; ++i) closers.emplace_back([&] { client->close(); });
  for (std::thread& closer : closers) closer.join();
  consumer.join();
  waiter.join();
  client->close();
  EXPECT_EQ(head.closed, 1U);
  EXPECT_EQ(stream->submit(number(2)).error().kind, FailureKind::pool_closed);
  EXPECT_EQ(client->open_stream().error().kind, FailureKind::pool_closed);
  EXPECT_EQ(client->counts().error().kind, FailureKind::pool_closed);
}

TEST_F(PoolClientTest, ClosingWhileTheHeadIsAwayDoesNotWait) {
  const auto client = open();
  head.stop();
  EXPECT_THAT(notices.wait_for(1), ElementsAre(HasSubstr("trying again")));
  const auto start = std::chrono::steady_clock::now();
  client->close();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
}

TEST_F(PoolClientTest, AClosedStreamDiscardsWhatComesLater) {
  const auto client = open();
  head.withhold = true;
  auto first = stream_of(*client);
  first->submit({number(1), number(2)}).value();
  while (head.submitted < 2) std::this_thread::yield();
  first.reset();
  const auto second = stream_of(*client);
  second->submit(number(3)).value();
  while (head.submitted < 3) std::this_thread::yield();
  head.release();
  EXPECT_EQ(take_all(*second, 1).at(0).sequence, 3U);
  while (head.acknowledged < 3) std::this_thread::yield();
}

TEST_F(PoolClientTest, AStreamMayOutliveThePoolsOwner) {
  auto client = open();
  const auto stream = stream_of(*client);
  stream->submit(number(1)).value();
  client.reset();
  EXPECT_EQ(take_all(*stream, 1).size(), 1U);
}

TEST_F(PoolClientTest, ACallbackMayCloseThePool) {
  ClientOptions options = head.client_options();
  std::shared_ptr<PoolClient> client;
  std::promise<void> called;
  options.on_notice = [&](const std::string&) {
    client->close();
    called.set_value();
  };
  client = PoolClient::start(options);
  EXPECT_TRUE(client->wait_open(long_enough).value());
  head.send([](PoolId pool) { return wire::Notice{pool, "hello"}; });
  called.get_future().wait();
  client->close();
  EXPECT_FALSE(client->counts());
}

TEST_F(PoolClientTest, OutputOfWorkersArrives) {
  ClientOptions options = head.client_options();
  std::promise<void> seen;
  std::vector<std::string> said;
  options.on_output = [&](const wire::OutputLines& printed) {
    said.push_back(printed.host + "/" + std::to_string(printed.slot) + " " + printed.lines.at(0));
    if (said.size() == 1) seen.set_value();
  };
  const auto client = PoolClient::start(options);
  EXPECT_TRUE(client->wait_open(long_enough).value());
  head.send([](PoolId pool) { return wire::OutputLines{pool, "host", 3, {}, OutputStream::out, 1000}; });
  head.send([](PoolId pool) { return wire::OutputLines{pool, "host", 3, {"line"}, OutputStream::out, 34}; });
  seen.get_future().wait();
  client->close();
  EXPECT_EQ(said,
            (std::vector<std::string>{"host/3 line", "host/3 … 1,034 lines were not shown (more than 200 a second)"}))
      << "the count is told when the pool is closed, at the latest";
}

TEST_F(PoolClientTest, AForkedChildLeavesThePoolAlone) {
  auto client = open();
  auto stream = stream_of(*client);
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = !stream->submit(number(1)) && !client->counts() && !stream->take(1, Duration::zero());
    client->close();
    stream.reset();
    client.reset();
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  stream->submit(number(1)).value();
  EXPECT_EQ(take_all(*stream, 1).size(), 1U);
}

TEST_F(PoolClientTest, AViewerGetsTheState) {
  const ClientOptions to = head.client_options();
  net::HeadAccess access{to.address, to.port, to.password, {}, to.unix_path};
  const auto state = head_status(access);
  ASSERT_TRUE(state);
  EXPECT_EQ(state.value(), "{\"pid\": 1}");
  access.password = "wrong";
  const auto refused = head_status(access);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::rejected);
  head.stop();
  const auto unreachable = head_status(access);
  ASSERT_FALSE(unreachable);
  EXPECT_EQ(unreachable.error().code, ErrorCode::unreachable);
}

}  // namespace
}  // namespace dc::client

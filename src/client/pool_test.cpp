// The C++ interface against a stand-in for the head: what is checked, how far ranges are read, where errors come out.
#include "distributed_computing/distributed_computing.hpp"

#include <algorithm>
#include <limits>
#include <list>

#include "client/fake_head_for_tests.hpp"

/// The stand-in answers with a job's arguments, which are an array: so run must return them as a tuple.
class EchoOne : public dc::WorkerInterface {
 public:
  EchoOne() = default;
  EchoOne(std::string, int) {}
  std::tuple<int> run(int x) { return {x}; }
  void handle_update(const std::string&, double) {}
};
DISTRIBUTED_COMPUTING_WORKER(EchoOne);

class EchoTwo : public dc::WorkerInterface {
 public:
  std::tuple<int, std::string> run(int x, const std::string& y) { return {x, y}; }
};
DISTRIBUTED_COMPUTING_WORKER(EchoTwo);

namespace dc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using One = std::tuple<int>;
using Two = std::tuple<int, std::string>;

static_assert(std::is_constructible_v<Pool<EchoOne>, PoolSettings, const char*, int>);
static_assert(detail::item_fits<std::tuple<int, std::string>, std::tuple<short, const char*>>);
static_assert(!detail::item_fits<std::tuple<int, std::string>, std::tuple<std::string, int>>);
static_assert(!detail::item_fits<std::tuple<int>, std::string>);
static_assert(std::input_iterator<decltype(std::declval<Pool<EchoOne>&>().imap(std::views::iota(0)).begin())>);

class PoolTest : public ::testing::Test {
 protected:
  PoolSettings settings() {
    const client::ClientOptions options = head.client_options();
    return {.password = options.password, .address = options.address, .port = options.port};
  }
  client::FakeHead head;
};

/// 0, 1, 2, ... without end; counts how many were read.
auto endless(std::atomic<int>& read) {
  return std::views::iota(0) | std::views::transform([&read](int x) { return ++read, x; });
}

TEST_F(PoolTest, MapKeepsTheOrderOfTheItems) {
  Pool<EchoOne> pool(settings(), "data", 7);
  const auto values = pool.map(std::views::iota(0, 20'000));
  ASSERT_EQ(values.size(), 20'000U);
  for (int i = 0; i < 20'000; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], One{i});
  EXPECT_THAT(pool.map(std::vector<int>{}), IsEmpty());
}

TEST_F(PoolTest, ItemsMayBeConvertibleOrTuples) {
  Pool<EchoOne> one(settings());
  EXPECT_THAT(one.map(std::vector<short>{1, 2}), ElementsAre(One{1}, One{2}));
  EXPECT_THAT(one.map(std::list<std::tuple<int>>{{3}}), ElementsAre(One{3}));
  Pool<EchoTwo> two(settings());
  EXPECT_THAT(two.map(std::vector<std::pair<int, const char*>>{{1, "a"}, {2, "b"}}),
              ElementsAre(Two{1, "a"}, Two{2, "b"}));
}

TEST_F(PoolTest, UnorderedYieldsEveryResultOnce) {
  Pool<EchoOne> pool(settings());
  std::vector<int> seen;
  for (const One& value : pool.imap_unordered(std::views::iota(0, 5000))) seen.push_back(std::get<0>(value));
  std::sort(seen.begin(), seen.end());
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(seen[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(seen.size(), 5000U);
}

TEST_F(PoolTest, AnEndlessRangeIsReadOnlyAsResultsAreConsumed) {
  Pool<EchoOne> pool(settings());
  std::atomic<int> read = 0;
  int taken = 0;
  for (const One& value : pool.imap(endless(read))) {
    EXPECT_EQ(value, One{taken});
    EXPECT_LE(read - taken, static_cast<int>(detail::window_jobs) + 1);
    if (++taken == 10'000) break;
  }
}

TEST_F(PoolTest, AnOrderedIterationDoesNotReadOnWhileItsFirstJobRuns) {
  head.never_ends = [](const Payload& arguments) { return arguments == Payload(detail::pack_tuple(One{0})); };
  Pool<EchoOne> pool(settings());
  std::atomic<int> read = 0;
  pool.wait_for_workers(2);
  auto results = pool.imap(endless(read));
  std::thread consumer([&] { EXPECT_THROW(*results.begin(), PoolClosed); });
  while (head.submitted < detail::window_jobs) std::this_thread::yield();
  while (head.acknowledged < detail::window_jobs - 1) std::this_thread::yield();
  EXPECT_EQ(read, static_cast<int>(detail::window_jobs));
  pool.close();
  consumer.join();
}

TEST_F(PoolTest, ASlowRangeDoesNotHoldBackResults) {
  Pool<EchoOne> pool(settings());
  std::promise<void> first_consumed;
  auto consumed = first_consumed.get_future();
  bool first_was_consumed = false;
  auto slow = std::views::iota(0, 3) | std::views::transform([&](int x) {
                // The third item is there only once the first result was consumed.
                if (x == 2) first_was_consumed = consumed.wait_for(20s) == std::future_status::ready;
                consumed.wait_for(std::chrono::milliseconds(5));
                return x;
              });
  std::vector<One> values;
  auto results = pool.imap(slow);
  auto position = results.begin();
  values.push_back(*position);
  first_consumed.set_value();
  for (++position; position != results.end(); ++position) values.push_back(*position);
  EXPECT_TRUE(first_was_consumed);
  EXPECT_THAT(values, ElementsAre(One{0}, One{1}, One{2}));
}

TEST_F(PoolTest, AFailedJobThrowsAtItsPlaceAndIterationGoesOn) {
  head.fails = [](const Payload& arguments) { return arguments == Payload(detail::pack_tuple(One{1})); };
  Pool<EchoOne> pool(settings());
  auto results = pool.imap(std::vector{0, 1, 2});
  auto position = results.begin();
  EXPECT_EQ(*position, One{0});
  ++position;
  try {
    *position;
    ADD_FAILURE();
  } catch (const JobError& error) {
    EXPECT_STREQ(error.what(), "run raised");
    EXPECT_EQ(error.details().host, "host");
    EXPECT_EQ(error.details().slot, 3U);
  }
  ++position;
  EXPECT_EQ(*position, One{2});
  ++position;
  EXPECT_TRUE(position == results.end());
  EXPECT_THROW(pool.map(std::vector{0, 1, 2}), JobError);
  EXPECT_THAT(pool.map(std::vector{5}), ElementsAre(One{5}));
}

TEST_F(PoolTest, WhatTheRangeThrowsComesAfterTheResultsBeforeIt) {
  Pool<EchoOne> pool(settings());
  auto broken = std::views::iota(0, 5) | std::views::transform([](int x) {
                  if (x == 2) throw std::domain_error("broken range");
                  return x;
                });
  std::vector<One> values;
  EXPECT_THROW(
      {
        for (const One& value : pool.imap(broken)) values.push_back(value);
      },
      std::domain_error);
  EXPECT_THAT(values, ElementsAre(One{0}, One{1}));
}

TEST_F(PoolTest, FuturesHoldValuesAndErrors) {
  head.fails = [](const Payload& arguments) { return arguments == Payload(detail::pack_tuple(One{1})); };
  Pool<EchoOne> pool(settings());
  auto good = pool.submit(7);
  auto bad = pool.submit(1);
  EXPECT_EQ(good.get(), One{7});
  EXPECT_THROW(bad.get(), JobError);
  head.withhold = true;
  auto late = pool.submit(8);
  pool.close();
  EXPECT_THROW(late.get(), PoolClosed);
  EXPECT_THROW(pool.submit(9), PoolClosed);
}

TEST_F(PoolTest, UpdatesAndCounts) {
  Pool<EchoOne> pool(settings());
  pool.update_workers("key", 1);
  pool.wait_for_updates();
  pool.wait_for_workers(2);
  EXPECT_EQ(pool.get_workers_count(), 2U);
  EXPECT_EQ(pool.get_nodes_count(), 1U);
  EXPECT_THROW(pool.wait_for_workers(99, std::chrono::nanoseconds::zero()), TimeoutError);
  head.update_error = "KeyError";
  pool.update_workers("key", 2);
  EXPECT_THROW(pool.wait_for_updates(), JobError);
}

TEST_F(PoolTest, OpeningSaysWhatIsWrong) {
  PoolSettings wrong = settings();
  wrong.password = "wrong";
  EXPECT_THROW(Pool<EchoOne>{wrong}, AuthenticationError);
  head.stop();
  PoolSettings nobody = settings();
  nobody.connect_timeout = std::chrono::milliseconds(100);
  EXPECT_THROW(Pool<EchoOne>{nobody}, HeadUnreachable);
}

TEST_F(PoolTest, WhatIsAskedOfDevicesIsCheckedBeforeAnythingIsSent) {
  PoolSettings wrong = settings();
  wrong.device = Device::cpu;
  wrong.min_gpu_memory_required = "12GB";
  try {
    Pool<EchoOne> pool(wrong);
    ADD_FAILURE();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "device is cpu, and min_gpu_memory_required asks for GPU memory: leave one of them out");
  }
  wrong = settings();
  wrong.gpus_per_worker = 0;
  EXPECT_THROW(Pool<EchoOne>{wrong}, std::invalid_argument);
  wrong = settings();
  wrong.address = "head1,head2:70000";
  EXPECT_THROW(Pool<EchoOne>{wrong}, std::invalid_argument);
  for (const double weight : {0.0, 1e9, std::numeric_limits<double>::quiet_NaN()}) {
    wrong = settings();
    wrong.weight = weight;
    EXPECT_THROW(Pool<EchoOne>{wrong}, std::invalid_argument) << weight;
  }
  EXPECT_EQ(head.opened, 0U);
}

TEST_F(PoolTest, APoolForWhichThereIsNoDeviceSaysSo) {
  head.withhold = true;
  Pool<EchoOne> pool(settings());
  auto waiting = pool.submit(1);
  while (head.submitted < 1) std::this_thread::yield();
  const ErrorInfo error = ErrorInfo::of(ErrorKind::no_device, "no device of the cluster can be used: …");
  head.send([&](PoolId id) { return wire::PoolFailed{id, error}; });
  EXPECT_THROW(waiting.get(), NoSuitableDevice);
  EXPECT_THROW(pool.map(std::vector{2}), NoSuitableDevice);
  EXPECT_THROW(pool.wait_for_workers(1), NoSuitableDevice);
}

TEST_F(PoolTest, TheConstructorWaitsForTheFirstWorkers) {
  PoolSettings two = settings();
  two.min_workers = 2;
  EXPECT_EQ(Pool<EchoOne>(two, "data", 7).get_workers_count(), 2U);
  PoolSettings three = settings();
  three.min_workers = 3;
  three.workers_timeout = std::chrono::milliseconds(50);
  try {
    Pool<EchoOne> pool(three, "data", 7);
    FAIL() << "there are but two slots";
  } catch (const TimeoutError& error) {
    EXPECT_EQ(std::string(error.what()).substr(0, 68),
              "only 0 of the 3 workers of min_workers were ready after 50 ms: add s");
  }
}

TEST_F(PoolTest, AnAddressThatIsNoNameIsRefusedAtOnce) {
  PoolSettings wrong = settings();
  wrong.address = "http://127.0.0.1:8899";
  EXPECT_THROW(Pool<EchoTwo>{wrong}, std::invalid_argument);
}

static_assert(!std::is_constructible_v<ShowOutput, const char*>, "it would be true");

TEST_F(PoolTest, LinesOfWorkersGoToTheFunctionAndWhatItThrowsHurtsNobody) {
  PoolSettings given = settings();
  EXPECT_EQ(given.show_output.which(), Output::all);
  given.show_output = Output::errors;
  std::vector<std::string> got;
  given.on_output = [&](const OutputLine& line) {
    got.push_back(line.host + "/" + std::to_string(line.slot) + (line.on_stderr ? "! " : " ") + line.text);
    throw std::runtime_error("as asked");
  };
  Pool<EchoOne> pool(given, "data", 7);
  head.send([](PoolId id) { return wire::OutputLines{id, "a host", 3, {"one", "two"}, OutputStream::out, 2}; });
  head.send([](PoolId id) { return wire::OutputLines{id, "a host", 3, {""}, OutputStream::err}; });
  EXPECT_THAT(pool.map(std::vector{1}), ElementsAre(One{1}));
  pool.close();
  EXPECT_THAT(got, ElementsAre("a host/3 one", "a host/3 two", "a host/3! ",
                               "a host/3 … 2 lines were not shown (more than 200 a second)"));
}

}  // namespace
}  // namespace dc

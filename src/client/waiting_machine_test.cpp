// For what who waits is told that it waits, and when; and what the head hears of it from a job.
#include "client/machine_story_for_tests.hpp"

namespace dc::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr WorkerId opener{(std::uint64_t{77} << 32) | 5};

UserWaits waiting(WaitFor what, TimePoint since, Patience patience = Patience::forever) {
  UserWaits waits;
  waits[static_cast<std::size_t>(what)] = {since, patience};
  return waits;
}

/// A client with a pool of so many workers on two slots.
struct Waiting : Client {
  explicit Waiting(std::uint32_t workers = 1, WorkerId in_worker = {}) : Client(config(in_worker)) {
    open();
    state(workers);
    look();
  }
  static ClientMachine::Config config(WorkerId in_worker) {
    ClientMachine::Config config;
    config.in_worker = in_worker;
    return config;
  }
  void state(std::uint32_t workers, std::uint32_t starting = 0, std::uint32_t slots = 2) {
    machine.receive(wire::PoolState{pool, workers, starting, 1, slots, slots});
  }
  /// What is told meanwhile.
  std::vector<std::string> told_until(TimePoint end, WaitFor what, TimePoint since) {
    std::vector<std::string> all;
    for (TimePoint now = since; now <= end; now += 250ms) {
      machine.users_wait(waiting(what, since));
      look(now);
      all.insert(all.end(), reports.begin(), reports.end());
    }
    return all;
  }
};

TEST(ClientWaiting, ResultsThatDoNotComeAreToldOnce) {
  Waiting client;
  client.submit(1, "a"), client.submit(1, "b");
  EXPECT_THAT(client.told_until(t0 + 9s, WaitFor::results, t0), IsEmpty());
  EXPECT_THAT(client.told_until(t0 + 40s, WaitFor::results, t0),
              ElementsAre("waiting for results: 2 jobs under way or in the queue, 1 worker of the pool at work"));
}

TEST(ClientWaiting, WhoWaitsAllTheTimeWaitsForNothingWhileThereAreNoJobs) {
  Waiting client;
  EXPECT_THAT(client.told_until(t0 + 60s, WaitFor::results, t0), IsEmpty());
  client.submit(1, "a");
  EXPECT_THAT(client.told_until(t0 + 69s, WaitFor::results, t0 + 60s), IsEmpty());
}

TEST(ClientWaiting, MoreWorkersThanThereAreSlotsIsToldAtOnce) {
  Client client;
  client.open();
  client.machine.want_workers(3);
  client.look();
  EXPECT_THAT(client.reports, IsEmpty()) << "nobody knows so far what there is";
  client.machine.receive(wire::PoolState{pool, 0, 2, 1, 2, 2});
  client.look();
  EXPECT_THAT(
      client.reports,
      ElementsAre("workers 0",
                  "waiting for 3 workers: 0 are ready and 2 starting, and the head at head:8899 has 1 node with "
                  "2 slots; start_node on another machine adds more"));
  client.machine.receive(wire::PoolState{pool, 2, 0, 1, 2, 2});
  client.look(t0 + 60s);
  EXPECT_THAT(client.reports, ElementsAre("workers 2")) << "once";
}

TEST(ClientWaiting, WorkersThatComeSlowlyAreToldLaterAndOnce) {
  Waiting client;
  client.machine.want_workers(2);
  client.look(t0);
  client.look(t0 + 9s);
  EXPECT_THAT(client.reports, IsEmpty());
  client.state(1, 1);
  client.look(t0 + 10s);
  EXPECT_THAT(client.reports, ElementsAre("workers 1",
                                          "waiting for 2 workers: 1 is ready and 1 starting, and the head at head:8899 "
                                          "has 1 node with 2 slots"));
  client.look(t0 + 60s);
  EXPECT_THAT(client.reports, IsEmpty());
  client.state(2);
  client.look(t0 + 61s);
  EXPECT_EQ(client.machine.next_deadline(), never);
}

TEST(ClientWaiting, AnythingElseIsToldAsWell) {
  Waiting client(2);
  client.machine.update(1, Payload::copy("u"));
  EXPECT_THAT(client.told_until(t0 + 20s, WaitFor::update_sent, t0),
              ElementsAre("waiting for the head at head:8899 to take update 1"));
  EXPECT_THAT(client.told_until(t0 + 20s, WaitFor::updates, t0),
              ElementsAre(HasSubstr("waiting until 2 workers of the pool have applied update 1: handle_update")));
  Client opening;
  opening.machine.session_opened(no_limit, t0);
  opening.machine.users_wait(waiting(WaitFor::opening, t0));
  opening.look(t0 + 10s);
  EXPECT_THAT(opening.reports, ElementsAre("waiting for the head at head:8899 to open the pool"));
}

TEST(ClientWaiting, AJobsClientTellsTheHeadForWhatItWaitsWithoutALimit) {
  Waiting client(0, opener);
  EXPECT_THAT(client.sent, IsEmpty()) << "told when the pool was opened";
  client.submit(1, "a");
  client.machine.users_wait(waiting(WaitFor::results, t0, Patience::limited));
  client.look(t0 + 5s);
  EXPECT_THAT(client.sent, ElementsAre("SubmitJobs 1"));
  client.machine.users_wait(waiting(WaitFor::results, t0 + 5s));
  client.look(t0 + 5s);
  EXPECT_THAT(client.sent, IsEmpty());
  client.look(t0 + 6s);
  EXPECT_THAT(client.sent, ElementsAre("PoolWaits"));
  client.machine.users_wait({});
  client.look(t0 + 7s);
  EXPECT_THAT(client.sent, ElementsAre("PoolWaits"));
  client.look(t0 + 8s);
  EXPECT_THAT(client.sent, IsEmpty());
}

TEST(ClientWaiting, ANewHeadHearsItAgain) {
  Waiting client(0, opener);
  client.lose_and_find_head();
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}});
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("ResumePool []", "PoolResumed @pool", "PoolWaits"));
}

// --- The book of waits ------------------------------------------------------------------------------------------

TEST(WaitBook, CallsThatFollowUponEachOtherAreOneWaitUntilThereIsSomething) {
  WaitBook book;
  EXPECT_TRUE(book.begin(WaitFor::results, Patience::limited, t0));
  book.end(WaitFor::results, false, t0 + 50ms);
  EXPECT_FALSE(book.begin(WaitFor::results, Patience::forever, t0 + 60ms)) << "it is looked at";
  EXPECT_EQ(book.look(t0 + 2s)[1], (UserWait{t0, Patience::forever}));
  book.end(WaitFor::results, true, t0 + 3s);
  EXPECT_EQ(book.look(t0 + 3s), UserWaits{});
  EXPECT_FALSE(book.looked_at());
  EXPECT_TRUE(book.begin(WaitFor::results, Patience::limited, t0 + 3s));
  EXPECT_EQ(book.look(t0 + 4s)[1], (UserWait{t0 + 3s, Patience::limited}));
}

TEST(WaitBook, WhoDoesNotComeBackDoesNotWait) {
  WaitBook book;
  book.begin(WaitFor::workers, Patience::forever, t0);
  book.end(WaitFor::workers, false, t0 + 50ms);
  EXPECT_EQ(book.look(t0 + 1s)[2], (UserWait{t0, Patience::forever}));
  EXPECT_EQ(book.look(t0 + 2s), UserWaits{});
  book.begin(WaitFor::workers, Patience::forever, t0 + 9s);
  EXPECT_EQ(book.look(t0 + 9s)[2], (UserWait{t0 + 9s, Patience::forever}));
}

TEST(WaitBook, WhatOneThreadGetsIsNewsForTheOthers) {
  WaitBook book;
  book.begin(WaitFor::results, Patience::forever, t0);
  book.begin(WaitFor::results, Patience::forever, t0 + 1s);
  book.end(WaitFor::results, true, t0 + 5s);
  EXPECT_EQ(book.look(t0 + 9s)[1], (UserWait{t0 + 5s, Patience::forever}));
}

}  // namespace
}  // namespace dc::client

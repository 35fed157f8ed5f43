// Who has a Redis, and from when on: terms, leases that run out, and servers that take no writes.
#include <signal.h>
#include <sys/wait.h>

#include "store/redis_fixture.hpp"

namespace dc::store {
namespace {

using testing::HasSubstr;

using RedisLeases = RedisFixture;

TEST_F(RedisLeases, AStaleHeadCanNeverWrite) {
  const auto first = open();
  ASSERT_EQ(problem(append(*first, {{1, entry("a")}})), "");
  server_->ask({"DEL", key("lease")});  // as if it had run out
  const auto second = open(second_owner);
  const Result<void> refused = append(*first, {{1, entry("late", {"payload"})}});
  EXPECT_EQ(code_of(refused), ErrorCode::fenced);
  EXPECT_THAT(problem(refused), HasSubstr("on south"));
  EXPECT_EQ(code_of(replace(*first, 1, {})), ErrorCode::fenced);
  EXPECT_EQ(code_of(first->renew()), ErrorCode::fenced);
  first->release();
  EXPECT_EQ(problem(second->renew()), "");
  EXPECT_EQ(read_all(*second), (Logs{{1, {entry("a")}}}));
}

TEST_F(RedisLeases, ALeaseThatRanOutAndWasNotTakenIsRenewed) {
  const auto store = open();
  EXPECT_GT(server_->ask({"PTTL", key("lease")}).integer(), 5000);
  server_->ask({"DEL", key("lease")});
  EXPECT_EQ(problem(store->renew()), "");
  EXPECT_GT(server_->ask({"PTTL", key("lease")}).integer(), 5000);
  EXPECT_EQ(code_of(acquired()), ErrorCode::fenced);
}

TEST_F(RedisLeases, AServerWithoutRoomSaysThatTheStoreIsStillOursAndWhoTakesItLaterPauses) {
  const auto first = open();
  EXPECT_EQ(first->still_held(), Duration::zero()) << "nothing was refused";
  server_->ask({"CONFIG", "SET", "maxmemory", "1"});
  server_->ask({"DEL", key("lease")});  // it ran out meanwhile
  ASSERT_EQ(code_of(first->renew()), ErrorCode::full);
  EXPECT_EQ(first->still_held(), limits::store_takeover_pause);
  EXPECT_EQ(code_of(unopened()->acquire(second_owner)), ErrorCode::full);

  server_->ask({"CONFIG", "SET", "maxmemory", "0"});
  const TimePoint start = std::chrono::steady_clock::now();
  const auto second = open(second_owner);
  EXPECT_GE(std::chrono::steady_clock::now() - start, limits::store_takeover_pause);
  server_->ask({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_FALSE(first->renew());
  EXPECT_EQ(first->still_held(), Duration::zero()) << "the term is another's";
}

TEST_F(RedisLeases, OneThatBecameAReplicaIsNotBelieved) {
  const auto store = open();
  server_->ask({"CONFIG", "SET", "replica-ignore-maxmemory", "no"});
  server_->ask({"CONFIG", "SET", "maxmemory", "1"});
  server_->ask({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_EQ(code_of(store->renew()), ErrorCode::full);
  EXPECT_EQ(store->still_held(), Duration::zero());
}

TEST_F(RedisLeases, WhatWasGivenUpIsTakenWithoutAPause) {
  open()->release();
  const TimePoint start = std::chrono::steady_clock::now();
  const auto store = open(second_owner);
  EXPECT_LT(std::chrono::steady_clock::now() - start, limits::store_takeover_pause);
}

TEST_F(RedisLeases, WhoFollowsOneThatEndedDuringItsPausePauses) {
  open()->release();
  server_->ask({"DEL", key("lease")});  // as if it had run out
  const pid_t child = ::fork();
  if (child == 0) ::_exit(unopened()->acquire({"north", static_cast<std::uint32_t>(::getpid())}) ? 0 : 1);
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!std::string(server_->ask({"GET", key("lease")}).text()).ends_with(" pausing")) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
  }
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const TimePoint start = std::chrono::steady_clock::now();
  const auto store = open();
  EXPECT_GE(std::chrono::steady_clock::now() - start, limits::store_takeover_pause);
  EXPECT_FALSE(std::string(server_->ask({"GET", key("lease")}).text()).ends_with(" pausing"));
}

TEST_F(RedisLeases, TheLeaseOfADeadHeadOfThisMachineDoesNotCount) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto store = unopened();
    ::_exit(store->acquire({"north", static_cast<std::uint32_t>(::getpid())}) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_GT(server_->ask({"PTTL", key("lease")}).integer(), 0);
  const std::int64_t term = server_->ask({"GET", key("term")}).integer();
  EXPECT_EQ(acquired().value(), static_cast<std::uint64_t>(term) + 1);
}

TEST_F(RedisLeases, AfterItWasEmptiedTermsDoNotBeginAgain) {
  const std::uint64_t before = acquired().value();
  server_->ask({"FLUSHALL"});
  EXPECT_GE(acquired().value(), before) << "or no peer would believe the head";
}

TEST_F(RedisLeases, TheLeaseOfAnotherMachineCountsUntilItRunsOut) {
  server_->ask({"SET", key("lease"), "7 1 elsewhere other-machine", "PX", "300"});
  EXPECT_THAT(problem(acquired()), HasSubstr("process id 1 on elsewhere"));
  const auto end = std::chrono::steady_clock::now() + 10s;
  Result<std::uint64_t> taken = acquired();
  while (!taken && std::chrono::steady_clock::now() < end) taken = acquired();
  EXPECT_EQ(problem(taken), "");
}

}  // namespace
}  // namespace dc::store

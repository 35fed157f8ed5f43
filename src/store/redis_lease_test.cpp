// Who has a Redis, and from when on: terms, leases that nobody renews, and servers that take no writes or fell back.
#include <signal.h>
#include <sys/wait.h>

#include "store/faulty_stream_for_tests.hpp"
#include "store/redis_fixture_for_tests.hpp"
#include "store/redis_term.hpp"

namespace dc::store {
namespace {

using testing::HasSubstr;

class RedisLeases : public RedisFixture {
 protected:
  Lease lease() { return Lease::parse(server_->ask({"GET", key("lease")}).text()); }
  std::uint64_t term() { return std::stoull(std::string(server_->ask({"GET", key("term")}).text())); }
  /// Of a head on another machine that is gone, or of nobody.
  void leave_lease(const std::string& text) {
    server_->ask({"SET", key("term"), "7340032"});
    server_->ask({"SET", key("format"), "2"});
    server_->ask({"SET", key("lease"), text});
  }
};

TEST_F(RedisLeases, TheHolderCountsBeatsAndNothingHasATimeToLive) {
  const auto store = open();
  const std::uint64_t beat = lease().beat;
  EXPECT_TRUE(until([&] { return lease().beat >= beat + 2; }));
  EXPECT_EQ(lease().owner.host, "north");
  for (const std::string& name : keys()) EXPECT_EQ(server_->ask({"TTL", name}).integer(), -1) << name;
  EXPECT_EQ(store->hold(), Hold::ours);
}

TEST_F(RedisLeases, AStaleHeadCanNeverWrite) {
  const auto first = open();
  ASSERT_EQ(problem(append(*first, {{1, entry("a")}})), "");
  take_from_outside(std::to_string(make_term(5, 1)));
  const Result<void> refused = append(*first, {{1, entry("late", {"payload"})}});
  EXPECT_EQ(code_of(refused), ErrorCode::fenced);
  EXPECT_THAT(problem(refused), HasSubstr("on south"));
  EXPECT_EQ(code_of(replace(*first, 1, {})), ErrorCode::fenced);
  EXPECT_TRUE(until([&] { return first->hold() == Hold::lost; }));
  EXPECT_THAT(problem(first->check_hold()), HasSubstr("on south"));
  first->release();
  EXPECT_EQ(lease().owner.host, "south") << "another's lease is left alone";
  server_->ask({"SET", key("lease"), ""});
  EXPECT_EQ(read_all(*open(second_owner)), (Logs{{1, {entry("a")}}}));
}

TEST_F(RedisLeases, TwoHeadsWithTheSameCounterAreTwo) {
  // The server fell back by its last writes, and gave the same counter again.
  const auto first = open();
  const std::uint64_t term = this->term();
  ASSERT_EQ(problem(append(*first, {{1, entry("a")}})), "");
  take_from_outside(std::to_string(make_term(counter_of(term), term + 1)));
  EXPECT_EQ(code_of(append(*first, {{1, entry("b")}})), ErrorCode::fenced);
  EXPECT_TRUE(until([&] { return first->hold() == Hold::lost; }));
  EXPECT_EQ(lease().owner.host, "south") << "its lease is not overwritten";
}

TEST_F(RedisLeases, TermsGoOnFromThoseOfTheEarlierVersion) {
  server_->ask({"SET", key("term"), "1760000000123"});
  server_->ask({"SET", key("format"), "1"});
  server_->ask({"SET", key("lease"), ""});
  const std::uint64_t term = acquired().value();
  EXPECT_EQ(counter_of(term), 1760000000124U);
  EXPECT_EQ(server_->ask({"GET", key("format")}).text(), "3");
  EXPECT_EQ(counter_of(acquired().value()), 1760000000125U);
}

TEST_F(RedisLeases, AHeadOfTheEarlierVersionIsSeenToLiveByTheTimeThatItGivesItsLease) {
  server_->ask({"SET", key("term"), "1760000000123"});
  server_->ask({"SET", key("format"), "1"});
  const auto renew = [&] {
    server_->ask({"SET", key("lease"), "1760000000123 1 elsewhere other-machine", "PX", "10000"});
  };
  renew();
  const auto store = unopened();
  EXPECT_EQ(code_of(store->acquire(second_owner)), ErrorCode::fenced);
  EXPECT_TRUE(store->may_be_gone());
  pass(300ms);
  EXPECT_EQ(code_of(store->acquire(second_owner)), ErrorCode::fenced);
  EXPECT_TRUE(store->may_be_gone());
  renew();
  EXPECT_THAT(problem(store->acquire(second_owner)), HasSubstr("process id 1 on elsewhere"));
  EXPECT_FALSE(store->may_be_gone());
}

TEST_F(RedisLeases, AnEmptiedStoreBeginsWithoutAClockAndIsRaisedAboveWhatPeersKnow) {
  const auto store = open();
  const std::uint64_t first = term();
  EXPECT_LT(counter_of(first), 3U);
  const std::uint64_t known = make_term(1760000000123, 17);
  const std::uint64_t raised = store->raise_term(known).value();
  EXPECT_GT(counter_of(raised), counter_of(known));
  EXPECT_EQ(store->raise_term(known).value(), raised) << "once is enough";
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  const std::uint64_t beat = lease().beat;
  EXPECT_TRUE(until([&] { return lease().beat > beat; }));
  EXPECT_EQ(store->hold(), Hold::ours);
  EXPECT_EQ(code_of(store->raise_term(UINT64_MAX)), ErrorCode::invalid);
  store->release();
  EXPECT_GT(acquired().value(), raised);
}

TEST_F(RedisLeases, NoClaimOfAPeerBringsTheTermsToTheirEnd) {
  auto store = open();
  const std::uint64_t before = term();
  for (const std::uint64_t claim : {make_term(term_counter_max - 1, 0), limits::claimed_term_max + 1}) {
    EXPECT_EQ(code_of(store->raise_term(claim)), ErrorCode::invalid);
    EXPECT_EQ(term(), before);
  }
  EXPECT_GT(store->raise_term(limits::claimed_term_max).value(), limits::claimed_term_max);
  for (int takeover = 0; takeover < 3; ++takeover) {
    store->release();
    store = open();
  }
  EXPECT_LT(counter_of(term()), term_counter_max / 2 + 10) << "as many takeovers remain as anybody needs";
}

TEST_F(RedisLeases, ALeaseThatIsMissingIsTheHoldersAgain) {
  const auto store = open();
  server_->ask({"DEL", key("lease")});
  EXPECT_TRUE(until([&] { return lease().owner.host == "north"; }));
  EXPECT_EQ(store->hold(), Hold::ours);
}

TEST_F(RedisLeases, ACopyOfTheHolderIsNoticed) {
  const auto store = open();
  Lease ahead = lease();
  ahead.beat += 1000;  // of the same term: a machine was cloned
  server_->ask({"SET", key("lease"), ahead.text()});
  EXPECT_TRUE(until([&] { return store->hold() == Hold::lost; }));
}

TEST_F(RedisLeases, AServerWithoutRoomSaysThatTheStoreIsStillOurs) {
  const auto first = open();
  server_->ask({"CONFIG", "SET", "maxmemory", "1"});
  const std::string stands(server_->ask({"GET", key("lease")}).text());
  ASSERT_TRUE(until([&] { return !first->check_hold(); }));
  EXPECT_EQ(code_of(first->check_hold()), ErrorCode::full);
  pass(2s);
  EXPECT_EQ(first->hold(), Hold::ours);
  EXPECT_EQ(server_->ask({"GET", key("lease")}).text(), stands);
  server_->ask({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_TRUE(until([&] { return first->check_hold().has_value(); }));
}

TEST_F(RedisLeases, WhatWasGivenUpIsTakenWithoutAPause) {
  open()->release();
  const auto store = open(second_owner);
  EXPECT_EQ(store->silence_left(), Duration::zero());
  EXPECT_EQ(store->hold(), Hold::ours);
}

TEST_F(RedisLeases, WhoFollowsOneThatEndedDuringItsPausePauses) {
  Lease left{"7340032", {"north", 1u << 30}, this_machine(), 5, "999999", true};
  leave_lease(left.text());
  const auto store = open();
  EXPECT_GT(store->silence_left(), Duration::zero());
  EXPECT_EQ(store->hold(), Hold::unsure);
  EXPECT_TRUE(lease().pausing);
  EXPECT_TRUE(until([&] { return store->hold() == Hold::ours && !lease().pausing; }));
}

TEST_F(RedisLeases, TheLeaseOfADeadHeadOfThisMachineDoesNotCount) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto store = unopened();
    const bool taken = store->acquire({"north", static_cast<std::uint32_t>(::getpid())}).has_value();
    while (taken && lease().connection.empty()) pass(5ms);
    ::_exit(taken ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const std::uint64_t counter = counter_of(term());
  EXPECT_EQ(counter_of(acquired().value()), counter + 1);
}

TEST_F(RedisLeases, AProcessThatIsGoneHereButConnectedLivesInACopyOfThisMachine) {
  const auto other = RedisConnection::open(server_->address(), {});
  const std::vector<RedisCommand> id{{"CLIENT", "ID"}};
  const std::string connection = std::to_string(other.value()->ask(id).value()[0].integer());
  leave_lease(Lease{"7340032", {"north", 1u << 30}, this_machine(), 5, connection, false}.text());
  const auto store = unopened();
  EXPECT_EQ(code_of(store->acquire(second_owner)), ErrorCode::fenced);
  EXPECT_TRUE(store->may_be_gone());
}

TEST_F(RedisLeases, TheLeaseOfAnotherMachineIsTakenWhenNobodyRenewsIt) {
  leave_lease("7340032 1 elsewhere other-machine 5 0");
  const auto store = unopened();
  const TimePoint start = std::chrono::steady_clock::now();
  EXPECT_THAT(problem(store->acquire(second_owner)), HasSubstr("process id 1 on elsewhere"));
  EXPECT_EQ(problem(acquire_patiently(*store)), "");
  const Duration taken = std::chrono::steady_clock::now() - start;
  EXPECT_GE(taken, limits::store_lease);
  EXPECT_LE(taken, limits::store_lease + 2s);
  EXPECT_GT(store->silence_left(), Duration::zero()) << "its holder may be without room, and act";
}

TEST_F(RedisLeases, AHolderThatLivesIsNotTakenFrom) {
  const auto holder = open();
  const auto store = unopened();
  EXPECT_EQ(code_of(acquire_patiently(*store)), ErrorCode::fenced);
  EXPECT_FALSE(store->may_be_gone());
  EXPECT_EQ(holder->hold(), Hold::ours);
}

TEST_F(RedisLeases, AServerThatThrowsKeysAwayIsRefusedAtTheStartAndLater) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  server_->ask({"CONFIG", "SET", "maxmemory", "100mb"});
  for (const char* policy : {"allkeys-lru", "volatile-lru", "volatile-ttl"}) {
    server_->ask({"CONFIG", "SET", "maxmemory-policy", policy});
    const Result<std::uint64_t> refused = acquired();
    EXPECT_EQ(code_of(refused), ErrorCode::full) << "a standby waits";
    EXPECT_THAT(problem(refused), testing::AllOf(HasSubstr("noeviction"), HasSubstr(policy)));
  }
  ASSERT_TRUE(until([&] { return !store->check_hold(); })) << "it changed while the head ran";
  EXPECT_THAT(problem(store->check_hold()), HasSubstr("noeviction"));
  EXPECT_EQ(code_of(append(*store, {{1, entry("b")}})), ErrorCode::full);
  EXPECT_EQ(store->hold(), Hold::ours);
  server_->ask({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  ASSERT_TRUE(until([&] { return store->check_hold().has_value(); }));
  EXPECT_EQ(problem(append(*store, {{1, entry("b")}})), "");
}

TEST_F(RedisLeases, AServerThatFellBackIsNotWrittenOn) {
  Faults faults;
  RedisStore store(faulty_options(server_->address().unix_path, faults));
  ASSERT_EQ(problem(store.acquire(first_owner)), "");
  ASSERT_EQ(problem(append(store, {{1, entry("a")}})), "");
  ASSERT_EQ(problem(append(store, {{1, entry("b")}})), "");
  server_->ask({"LPOP", key("last")});
  faults.breaks = [](std::string_view step) { return step == "read"; };
  EXPECT_EQ(code_of(append(store, {{1, entry("c")}})), ErrorCode::unreachable);
  faults.breaks = [](std::string_view) { return false; };
  const Result<void> refused = append(store, {{1, entry("c")}});
  EXPECT_EQ(code_of(refused), ErrorCode::fenced);
  EXPECT_THAT(problem(refused), HasSubstr("fell back"));
}

TEST_F(RedisLeases, AServerThatFellBackUnderTheConnectionIsNotWrittenOn) {
  const auto store = open();
  ASSERT_EQ(problem(append(*store, {{1, entry("a")}})), "");
  ASSERT_EQ(problem(append(*store, {{1, entry("b")}})), "");
  server_->ask({"LPOP", key("last")});
  server_->ask({"SET", key("term"), std::to_string(term())});  // an earlier state has the same
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Result<void> refused = append(*store, {{1, entry("c")}});
    EXPECT_EQ(code_of(refused), ErrorCode::fenced);
    EXPECT_THAT(problem(refused), HasSubstr("fell back"));
  }
  EXPECT_EQ(server_->ask({"HLEN", key("log:1:entries")}).integer(), 2);
}

}  // namespace
}  // namespace dc::store

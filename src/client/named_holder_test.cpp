// The client machine waits for the program that has the named pool and is away; and what the head has lost comes again.
#include "client/machine_story_for_tests.hpp"

namespace dc::client {
namespace {

using ::testing::ElementsAre;

ClientMachine::Config named() {
  ClientMachine::Config config;
  config.name = "sweep";
  return config;
}

TEST(NamedHolder, WaitsForAProgramThatIsAwayUntilItIsKnownToBeGone) {
  Client client(named());
  client.machine.session_opened(no_limit, t0);
  client.look();
  EXPECT_EQ(client.machine.holder(), nullptr);
  client.machine.receive(wire::PoolHeld{pool, ClientId{5}, "desk", 7, "process", 27'400});
  ASSERT_NE(client.machine.holder(), nullptr);
  EXPECT_EQ(*client.machine.holder(),
            (Holder{ClientId{5}, "process",
                    "pool 'sweep' is in the hands of desk (pid 7), which has lost its connection to the head: waiting "
                    "up to 28 s for it to come back, then this program takes the pool (steal takes it at once)"}));
  client.lose_and_find_head();
  client.look();
  EXPECT_EQ(client.machine.holder(), nullptr) << "the head will say it again";
  client.machine.receive(wire::PoolHeld{pool, ClientId{5}, "desk", 7, "process", 20'000});
  client.machine.holder_is_gone();
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("HolderGone"));
  client.machine.receive(wire::PoolOpened{pool, pool, {}, 0, 0, 0});
  EXPECT_EQ(client.machine.holder(), nullptr);
}

TEST(NamedHolder, AResultThatTheHeadHasLostIsAcknowledgedAgain) {
  Client client(named());
  client.open_named();
  client.submit(1, "a");
  client.look();
  client.machine.receive(wire::JobsAccepted{pool, {1}});
  client.look();
  client.value(1, "A");
  client.machine.consumed({1});
  client.look();
  client.lose_and_find_head();
  client.look();
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}, 1});
  client.look();
  client.value(1, "A");
  client.look();
  EXPECT_THAT(client.sent, ElementsAre("AckOutcomes [1]"));
}

}  // namespace
}  // namespace dc::client

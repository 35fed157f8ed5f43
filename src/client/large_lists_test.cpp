// Lists of jobs of any length are cut into messages that every receiver takes.
#include <algorithm>
#include <numeric>

#include "client/machine_story_for_tests.hpp"
#include "wire/framing.hpp"

namespace dc::client {
namespace {

constexpr JobSequence two_million = 2'000'000;

ClientMachine::Config named_config() {
  ClientMachine::Config config;
  config.name = "sweep";
  return config;
}

/// A client that has received that many outcomes.
struct ManyOutcomes : Client {
  ManyOutcomes() : Client(named_config()) {
    open_named();
    std::iota(all.begin(), all.end(), JobSequence{1});
    for (JobSequence first = 1; first <= two_million; first += 10'000) {
      wire::JobValues values{pool, {}};
      for (JobSequence i = first; i < first + 10'000; ++i) values.items.push_back({i, {}});
      machine.receive(std::move(values));
    }
    static_cast<void>(machine.take_effects(t0));
  }
  /// The messages of this kind that go out now; each can be sent.
  template <class Body>
  std::vector<Body> sends() {
    std::vector<Body> found;
    wire::FrameWriter writer;
    for (const wire::Outgoing& out : machine.take_effects(t0).sends) {
      if (const auto* body = std::get_if<Body>(&out.message)) found.push_back(*body);
      writer.push(out.message, out.lane);
    }
    return found;
  }
  std::vector<JobSequence> all = std::vector<JobSequence>(two_million);
};

TEST(LargeLists, TwoMillionOutcomesAreAcknowledgedAndToldAgainAfterABreak) {
  ManyOutcomes client;
  client.machine.consumed(client.all);
  std::vector<JobSequence> acknowledged;
  for (const auto& message : client.sends<wire::AckOutcomes>()) {
    EXPECT_LE(message.sequences.size(), limits::sequences_per_message);
    acknowledged.insert(acknowledged.end(), message.sequences.begin(), message.sequences.end());
  }
  std::sort(acknowledged.begin(), acknowledged.end());
  EXPECT_TRUE(acknowledged == client.all);

  client.lose_and_find_head();
  const auto resumed = client.sends<wire::ResumePool>();
  std::vector<JobSequence> received;
  for (std::size_t i = 0; i < resumed.size(); ++i) {
    EXPECT_LE(resumed[i].received.size(), limits::sequences_per_message);
    EXPECT_EQ(resumed[i].more, i + 1 < resumed.size());
    received.insert(received.end(), resumed[i].received.begin(), resumed[i].received.end());
  }
  EXPECT_TRUE(received == client.all);
  // The head confirms some, piece by piece, and says the rest is to come.
  client.machine.receive(wire::AcksKept{pool, {1, 2, 3}});
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}, two_million, {}, false});
  std::size_t again = 0;
  for (const auto& message : client.sends<wire::AckOutcomes>()) again += message.sequences.size();
  EXPECT_EQ(again, two_million - 3);
}

TEST(LargeLists, TheHeadTellsWhatIsToComeInSeveralMessages) {
  Client client(named_config());
  client.open_named(100, 0, 6);
  client.machine.read_earlier(false);
  client.look();
  EXPECT_THAT(client.sent, testing::ElementsAre("WantOutcomes 6"));
  client.lose_and_find_head();
  client.look();
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}, 0, {1, 2, 5, 5}, true});
  client.look();
  EXPECT_THAT(client.sent, testing::IsEmpty()) << "another one follows";
  client.machine.receive(wire::PoolKnown{pool, true, 0, {}, 100, {7, 8, 90, 90}, false});
  client.look();
  EXPECT_THAT(client.sent, testing::ElementsAre("PoolResumed @pool", "WantOutcomes 6"));
  EXPECT_THAT(client.delivered, testing::IsEmpty()) << "nothing is lost";
}

}  // namespace
}  // namespace dc::client

// When a head speaks, holds back, goes on and steps down.
#include "head/headship_machine.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "core/limits.hpp"

namespace dc::head {
namespace {

using store::Hold;

class HeadshipTest : public testing::Test {
 protected:
  /// Whether it is the head, and what is to be done, as a text.
  std::string look(Hold hold) {
    const bool is = machine.look(hold, now, todo);
    return (is ? "head: " : "not: ") + done();
  }
  std::string open(std::uint64_t session, std::uint64_t peer_term = 0) {
    machine.session_opened(SessionId{session}, peer_term, todo);
    return done();
  }
  std::string close(std::uint64_t session, Hold hold) {
    machine.session_closed(SessionId{session}, hold, now, todo);
    return done();
  }
  std::string done() {
    std::string text;
    for (const HeadshipEffect& effect : std::exchange(todo, {}))
      text += std::visit([this](const auto& body) { return text_of(body); }, effect) + ". ";
    return text;
  }
  std::string text_of(const BreakOff& body) { return body.begins ? "break off, as the first time" : "break off"; }
  std::string text_of(const GoOn& body) { return fmt::format("go on, look in {} ms", (body.look_at - now) / 1ms); }
  std::string text_of(const LoseSession& body) { return fmt::format("session {} is lost", body.session.value); }
  std::string text_of(const RaiseTerm& body) { return fmt::format("raise above {}", body.above); }
  std::string text_of(const StepDown&) { return "step down"; }

  TimePoint now{std::chrono::hours(1)};
  HeadshipMachine machine{7};
  HeadshipEffects todo;
};

TEST_F(HeadshipTest, OneThatHasItsStoreIsTheHead) {
  EXPECT_EQ(look(Hold::ours), "head: ");
  EXPECT_EQ(open(1), "");
  EXPECT_TRUE(machine.has(SessionId{1}));
  EXPECT_EQ(close(1, Hold::ours), "session 1 is lost. ");
  EXPECT_FALSE(machine.has(SessionId{1}));
  EXPECT_EQ(close(1, Hold::ours), "") << "that is known already";
}

TEST_F(HeadshipTest, OneThatIsNotCertainBreaksAllOffAndHearsNothing) {
  open(1);
  open(2);
  EXPECT_EQ(look(Hold::unsure), "not: break off, as the first time. ");
  EXPECT_FALSE(machine.has(SessionId{1}));
  EXPECT_EQ(look(Hold::unsure), "not: break off. ") << "who came meanwhile";
  EXPECT_EQ(close(2, Hold::unsure), "") << "it is broken off";
  EXPECT_FALSE(machine.over());
}

TEST_F(HeadshipTest, ItGoesOnAndPeersHaveTimeToComeBackBeforeTheirSessionsAreLost) {
  open(1);
  open(2);
  (void)look(Hold::unsure);
  now += 30s;
  EXPECT_EQ(look(Hold::ours), "head: go on, look in 3500 ms. ");
  open(3);
  now += limits::recovery_hold - 1ns;
  EXPECT_EQ(look(Hold::ours), "head: ");
  now += 1ns;
  EXPECT_EQ(look(Hold::ours), "head: session 1 is lost. session 2 is lost. ");
  EXPECT_EQ(look(Hold::ours), "head: ");
  EXPECT_TRUE(machine.has(SessionId{3}));
}

TEST_F(HeadshipTest, WhenItHoldsBackAgainTheLostOnesWaitWithTheOthers) {
  open(1);
  (void)look(Hold::unsure);
  (void)look(Hold::ours);
  open(2);
  now += limits::recovery_hold;
  EXPECT_EQ(look(Hold::unsure), "not: break off, as the first time. ");
  EXPECT_EQ(look(Hold::ours), "head: go on, look in 3500 ms. ");
  now += limits::recovery_hold;
  EXPECT_EQ(look(Hold::ours), "head: session 1 is lost. session 2 is lost. ");
}

TEST_F(HeadshipTest, ASessionThatEndsWhileNobodyKnowsIsLostLater) {
  open(1);
  EXPECT_EQ(close(1, Hold::unsure), "break off, as the first time. ");
  (void)look(Hold::ours);
  now += limits::recovery_hold;
  EXPECT_EQ(look(Hold::ours), "head: session 1 is lost. ");
}

TEST_F(HeadshipTest, OneWhoseStoreIsTakenStepsDownForGood) {
  open(1);
  EXPECT_EQ(look(Hold::lost), "not: step down. ");
  EXPECT_TRUE(machine.over());
  EXPECT_EQ(look(Hold::lost), "not: ");
  EXPECT_FALSE(machine.end()) << "it ends already";
}

TEST_F(HeadshipTest, OneThatEndsInOrderBreaksNothingOff) {
  open(1);
  EXPECT_TRUE(machine.end());
  EXPECT_EQ(look(Hold::ours), "head: ") << "what is on its way is still heard";
  EXPECT_EQ(look(Hold::unsure), "not: ");
  EXPECT_EQ(look(Hold::lost), "not: ");
}

TEST_F(HeadshipTest, APeerThatKnowsAHigherTermHasItRaised) {
  EXPECT_EQ(open(1, 7), "");
  EXPECT_EQ(open(2, 9), "raise above 9. ");
  machine.term_raised(10);
  EXPECT_EQ(machine.term(), 10U);
  EXPECT_EQ(open(3, 9), "");
}

TEST_F(HeadshipTest, WhoCannotBeReplacedRaisesNothing) {
  machine = HeadshipMachine(0);
  EXPECT_EQ(open(1, 9), "");
}

}  // namespace
}  // namespace dc::head

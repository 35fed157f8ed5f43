// Names to addresses without holding up anybody.
#include "net/lookup.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

namespace dc::net {
namespace {

struct Asking {
  EventLoop loop;
  int answers = 0;
  Found last;
  std::shared_ptr<Lookup> ask(const std::string& name, int until) {
    return look_up(loop, name, [this, until](const Found& found) {
      last = found;
      if (++answers == until) loop.stop();
    });
  }
};

TEST(Lookup, EachWhoAsksIsAnswered) {
  Asking asking;
  const auto one = asking.ask("localhost", 3), other = asking.ask("localhost", 3), third = asking.ask("127.0.0.1", 3);
  asking.loop.run();
  EXPECT_EQ(asking.answers, 3);
  EXPECT_EQ(asking.last.problem, "");
  EXPECT_FALSE(asking.last.addresses.empty());
}

TEST(Lookup, ANameThatNobodyHasIsSaid) {
  Asking asking;
  const auto one = asking.ask("no such name!", 1);
  asking.loop.run();
  EXPECT_TRUE(asking.last.addresses.empty());
  EXPECT_NE(asking.last.problem, "");
}

TEST(Lookup, WhoHasGoneIsNotAnswered) {
  {
    Asking gone;
    (void)gone.ask("127.0.0.1", 1);
  }  // before its answer, with its loop
  Asking asking;
  asking.ask("127.0.0.2", 1).reset();
  const auto end = asking.loop.call_at(EventLoop::now() + 50ms, [&] { asking.loop.stop(); });
  asking.loop.run();
  EXPECT_EQ(asking.answers, 0);
}

}  // namespace
}  // namespace dc::net

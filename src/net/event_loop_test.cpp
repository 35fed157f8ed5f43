// Turns, timers, posts, watched descriptors and signals of the event loop.
#include "net/event_loop.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

namespace dc::net {
namespace {

TEST(EventLoop, TurnEndsComeAfterAllThatIsReady) {
  EventLoop loop;
  std::string order;
  loop.post([&] {
    loop.at_turn_end([&] {
      order += "C";
      loop.at_turn_end([&] {
        order += "D";
        loop.stop();
      });
    });
    order += "a";
  });
  loop.post([&] { order += "b"; });
  loop.run();
  EXPECT_EQ(order, "abCD");
}

TEST(EventLoop, StopBeforeRunIsNotForgotten) {
  EventLoop loop;
  loop.stop();
  loop.run();
}

TEST(EventLoop, TimersFireInOrderAndNotOnceDestroyed) {
  EventLoop loop;
  std::string order;
  const TimePoint start = EventLoop::now();
  auto second = loop.call_at(start + 4ms, [&] {
    order += "2";
    loop.stop();
  });
  auto first = loop.call_at(start + 2ms, [&] { order += "1"; });
  auto cancelled = loop.call_at(start + 1ms, [&] { order += "x"; });
  auto endless = loop.call_at(never, [&] { order += "y"; });
  auto past = loop.call_at(start - 1s, [&] { order += "0"; });
  cancelled.reset();
  loop.run();
  EXPECT_EQ(order, "012");
}

TEST(EventLoop, ATimerMayDestroyItselfAndItsNeighbour) {
  EventLoop loop;
  int calls = 0;
  std::unique_ptr<Timer> one;
  std::unique_ptr<Timer> two;
  const TimePoint when = EventLoop::now() - 1s;  // both are ready in the same turn
  const auto call = [&] {
    ++calls;
    one.reset();
    two.reset();
    loop.stop();
  };
  one = loop.call_at(when, call);
  two = loop.call_at(when, call);
  loop.run();
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, PostsFromManyThreadsAllRun) {
  EventLoop loop;
  int calls = 0;
  constexpr int threads = 4;
  constexpr int each = 10'000;
  std::vector<std::jthread> posters;
  for (int i = 0; i < threads; ++i) {
    posters.emplace_back([&] {
      for (int k = 0; k < each; ++k) {
        loop.post([&] {
          if (++calls == threads * each) loop.stop();
        });
      }
    });
  }
  loop.run();
  EXPECT_EQ(calls, threads * each);
}

TEST(EventLoop, AWatchIsLevelTriggeredAndLeavesTheDescriptorOpen) {
  EventLoop loop;
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  ASSERT_EQ(write(ends[1], "abc", 3), 3);
  std::string read_back;
  auto watch = loop.watch(ends[0], [&] {
    char c = 0;
    if (read(ends[0], &c, 1) == 1) read_back += c;
    if (read_back.size() == 3) loop.stop();
  });
  loop.run();
  EXPECT_EQ(read_back, "abc");
  watch.reset();
  EXPECT_EQ(write(ends[1], "d", 1), 1);
  char c = 0;
  EXPECT_EQ(read(ends[0], &c, 1), 1);
  close(ends[0]);
  close(ends[1]);
}

TEST(EventLoop, AWatchSeesTheEndAndWaitsWhileItIsNotWanted) {
  EventLoop loop;
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  int calls = 0;
  std::unique_ptr<FdWatch> watch;
  watch = loop.watch(ends[0], [&] {
    char c = 0;
    ++calls;
    EXPECT_EQ(read(ends[0], &c, 1), 0);
    watch.reset();  // from inside its own callback
    loop.stop();
  });
  watch->want_read(false);
  close(ends[1]);
  auto later = loop.call_at(EventLoop::now() + 5ms, [&] {
    EXPECT_LE(calls, 0);
    watch->want_read(true);
  });
  loop.run();
  EXPECT_EQ(calls, 1);
  close(ends[0]);
}

TEST(EventLoop, WritingIsWantedOnlyWhenAskedFor) {
  EventLoop loop;
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  int writable = 0;
  std::unique_ptr<FdWatch> watch;
  watch = loop.watch(
      ends[1], [] {},
      [&] {
        if (++writable == 3) watch->want_write(false);
      });
  auto first = loop.call_at(EventLoop::now() + 5ms, [&] {
    EXPECT_EQ(writable, 0);
    watch->want_write(true);
  });
  auto last = loop.call_at(EventLoop::now() + 20ms, [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(writable, 3);
  watch.reset();
  close(ends[0]);
  close(ends[1]);
}

TEST(EventLoop, SignalsArriveOnTheLoop) {
  EventLoop loop;
  std::vector<int> seen;
  auto watch = loop.on_signals({SIGUSR1, SIGUSR2}, [&](int signal) {
    seen.push_back(signal);
    if (seen.size() == 2) loop.stop();
    raise(SIGUSR2);
  });
  raise(SIGUSR1);
  loop.run();
  EXPECT_EQ(seen, (std::vector{SIGUSR1, SIGUSR2}));
}

}  // namespace
}  // namespace dc::net

// Tasks beside a loop: one after the other, and one that hangs holds nobody up.
#include "core/side_thread.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <vector>

namespace dc {
namespace {

TEST(SideThread, TasksRunOneAfterTheOther) {
  auto order = std::make_shared<std::vector<int>>();
  auto done = std::make_shared<std::promise<void>>();
  SideThread side;
  for (int i = 0; i < 100; ++i) side.run([order, i] { order->push_back(i); });
  side.run([done] { done->set_value(); });
  ASSERT_EQ(done->get_future().wait_for(10s), std::future_status::ready);
  ASSERT_EQ(order->size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ((*order)[static_cast<std::size_t>(i)], i);
}

TEST(SideThread, ItsEndWaitsForATaskThatEnds) {
  auto ended = std::make_shared<std::atomic<bool>>(false);
  std::promise<void> begun, go_on;
  std::thread other;
  {
    SideThread side;
    side.run([&, ended] {
      begun.set_value();
      go_on.get_future().wait();
      *ended = true;
    });
    begun.get_future().wait();
    other = std::thread([&] { go_on.set_value(); });
  }
  EXPECT_TRUE(*ended);
  other.join();
}

TEST(SideThread, ATaskThatHangsIsLeftBehind) {
  auto go_on = std::make_shared<std::promise<void>>();
  auto begun = std::make_shared<std::promise<void>>();
  auto ended = std::make_shared<std::promise<void>>();
  auto dropped = std::make_shared<int>(0);
  const auto start = std::chrono::steady_clock::now();
  {
    SideThread side;
    side.run([=, wait = go_on->get_future().share()] {
      begun->set_value();
      wait.wait();
      ended->set_value();
    });
    side.run([dropped] { ++*dropped; });
    begun->get_future().wait();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  EXPECT_EQ(dropped.use_count(), 1) << "what was to come is let go of";
  go_on->set_value();
  ended->get_future().wait();
  EXPECT_EQ(*dropped, 0);
}

}  // namespace
}  // namespace dc

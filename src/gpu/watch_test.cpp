// The thread that asks, with drivers that answer, change and hang.
#include "gpu/watch.hpp"

#include <gtest/gtest.h>

#include <future>

#include "gpu/fixture_for_tests.hpp"

namespace dc::gpu {
namespace {

using namespace std::chrono_literals;

class WatchTest : public Machine {};

TEST_F(WatchTest, LooksAtOnceAndWhenAsked) {
  nvml("gpu GPU-a memory=100 used=1\n");
  Watch watch;
  const auto first = watch.first(30s);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->devices.at(0).memory_free_mib, 99U);
  nvml("gpu GPU-a memory=100 used=2\n");
  std::promise<Inventory> seen;
  watch.tell([&, told = false](const Inventory& inventory) mutable {
    if (inventory.devices.at(0).memory_free_mib == 98 && !std::exchange(told, true)) seen.set_value(inventory);
  });
  watch.look();
  auto answer = seen.get_future();
  ASSERT_EQ(answer.wait_for(1500ms), std::future_status::ready) << "sooner than the next look by itself";
  EXPECT_GT(answer.get().taken_at, first->taken_at);
}

TEST_F(WatchTest, AFaultIsSeenAtOnce) {
  nvml("gpu GPU-a memory=100\n");
  Watch watch;
  ASSERT_TRUE(watch.first(30s));
  std::promise<void> seen;
  watch.tell([&, told = false](const Inventory& inventory) mutable {
    if (inventory.devices.at(0).faults == "Xid 31" && !std::exchange(told, true)) seen.set_value();
  });
  nvml("gpu GPU-a memory=100\nxid GPU-a 31\n");
  EXPECT_EQ(seen.get_future().wait_for(30s), std::future_status::ready);
}

TEST_F(WatchTest, ADriverThatHangsHoldsNobodyUp) {
  nvml("gpu GPU-a memory=100\nhang nvmlDeviceGetMemoryInfo\n");
  const auto start = std::chrono::steady_clock::now();
  {
    Watch watch;
    EXPECT_FALSE(watch.first(100ms));
    EXPECT_TRUE(watch.asked_at());
    watch.look();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  nvml("");  // lets the thread end before its library's file goes
}

TEST(Watch, NothingIsToldAfterItsEnd) {
  std::atomic<int> told = 0;
  std::promise<void> go_on;
  auto may_go_on = go_on.get_future().share();
  std::atomic<bool> reading = false;
  auto watch = std::make_unique<Watch>(Watch::Eyes{[&reading, may_go_on] {
                                                     reading = true;
                                                     may_go_on.wait();
                                                     return Inventory{};
                                                   },
                                                   [](auto) { return false; }, 1ms});
  watch->tell([&](const Inventory&) { ++told; });
  EXPECT_FALSE(watch->first(1ms));
  watch.reset();
  go_on.set_value();
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace dc::gpu

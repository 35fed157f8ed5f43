// Names that mean something, nothing, or whose server hangs.
#include "core/name_lookup.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>

namespace dc {
namespace {

Found loopback() {
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.bytes);
  v4->sin_family = AF_INET;
  v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.size = sizeof *v4;
  return {{address}, ""};
}

Found no_answer(const std::string&) { return {{}, "no answer"}; }

TEST(NameLookup, AnAddressNeedsNoServer) {
  const auto found = look_up("127.0.0.1", 80, 1s, no_answer);
  ASSERT_TRUE(found);
  EXPECT_EQ(found.value()[0].family(), AF_INET);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in*>(found.value()[0].get())->sin_port, htons(80));
}

TEST(NameLookup, AServerThatHangsCostsNoMoreThanTheLimit) {
  std::promise<void> end;
  const std::shared_future<void> ended = end.get_future().share();
  const auto start = std::chrono::steady_clock::now();
  const auto found = look_up("hangs.example", 80, 50ms, [ended](const std::string&) {
    ended.wait();
    return loopback();
  });
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("name server"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  EXPECT_TRUE(look_up("answers.example", 80, 5s, [](const std::string&) { return loopback(); })) << "another name";
  end.set_value();
}

TEST(NameLookup, WhoAsksForANameThatHangsWaitsWithTheOthers) {
  std::promise<void> end;
  const std::shared_future<void> ended = end.get_future().share();
  std::atomic<int> asked = 0;
  std::latch told(100);
  std::vector<NameQuestion> questions;
  for (int i = 0; i < 100; ++i) {
    questions.push_back(ask_for_name(
        "one.example", [&](const Found& found) { told.count_down(found.problem.empty() ? 1 : 0); },
        [&, ended](const std::string&) {
          ++asked;
          ended.wait();
          return loopback();
        }));
  }
  end.set_value();
  told.wait();
  EXPECT_EQ(asked, 1);
}

TEST(NameLookup, WhatANameMeantServesWhileItsServerIsAway) {
  EXPECT_FALSE(look_up("store.example", 80, 5s, no_answer));
  ASSERT_TRUE(look_up("store.example", 80, 5s, [](const std::string&) { return loopback(); }));
  EXPECT_TRUE(look_up("store.example", 81, 5s, no_answer));
  EXPECT_FALSE(look_up("other.example", 80, 5s, no_answer));
}

}  // namespace
}  // namespace dc

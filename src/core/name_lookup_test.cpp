// Names that mean something, nothing, or whose server hangs.
#include "core/name_lookup.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <future>

namespace dc {
namespace {

std::vector<SocketAddress> loopback() {
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.bytes);
  v4->sin_family = AF_INET;
  v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.size = sizeof *v4;
  return {address};
}

TEST(NameLookup, AnAddressNeedsNoServer) {
  const auto found = look_up("127.0.0.1", 80, 1s,
                             [](const std::string&, std::uint16_t) { return fail(ErrorCode::unreachable, "asked"); });
  ASSERT_TRUE(found);
  EXPECT_EQ(found.value()[0].family(), AF_INET);
}

TEST(NameLookup, AServerThatHangsCostsNoMoreThanTheLimit) {
  std::promise<void> end;
  const std::shared_future<void> ended = end.get_future().share();
  const auto start = std::chrono::steady_clock::now();
  const auto found = look_up("hangs.example", 80, 50ms,
                             [ended](const std::string&, std::uint16_t) -> Result<std::vector<SocketAddress>> {
                               ended.wait();
                               return loopback();
                             });
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("name server"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  end.set_value();
}

TEST(NameLookup, WhatANameMeantServesWhileItsServerIsAway) {
  const auto answers = [](const std::string&, std::uint16_t) -> Result<std::vector<SocketAddress>> {
    return loopback();
  };
  const auto fails = [](const std::string&, std::uint16_t) -> Result<std::vector<SocketAddress>> {
    return fail(ErrorCode::unreachable, "no answer");
  };
  EXPECT_FALSE(look_up("store.example", 80, 5s, fails));
  ASSERT_TRUE(look_up("store.example", 80, 5s, answers));
  EXPECT_TRUE(look_up("store.example", 80, 5s, fails));
  EXPECT_FALSE(look_up("store.example", 81, 5s, fails)) << "that was another port";
}

}  // namespace
}  // namespace dc

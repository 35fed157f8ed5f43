// What a head of another version answers, from its bytes alone. (strangers_test.cpp has the other direction.)
#include "net/handshake.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>

namespace dc::net {
namespace {

TEST(PeerHandshake, ShowsWhatAHeadOfTheProtocolBeforeSays) {
  const std::string sentence =
      "the head has distributed computing 0.1.0 (protocol 2), this side has 0.1.0 (protocol 3): install the same "
      "version on both";
  std::string answer(
      "\0\x92\x04\x92\xa7"
      "version"
      "\xd9",
      13);
  answer += static_cast<char>(sentence.size());
  answer += sentence;
  for (const wire::Role role : {wire::Role::node, wire::Role::client, wire::Role::viewer}) {
    SaltedPasswords cache;
    PeerHandshake handshake({.password = "secret"}, {.role = role, .id = 7}, cache);
    ASSERT_TRUE(handshake.begin().send);
    const auto owner = std::make_shared<const std::string>(answer);
    const HandshakeStep step = handshake.on_frame(std::as_bytes(std::span(*owner)), owner);
    EXPECT_EQ(step.then, HandshakeStep::Then::fail);
    EXPECT_EQ(step.error.code, ErrorCode::rejected);
    EXPECT_EQ(step.error.message, sentence);
  }
}

}  // namespace
}  // namespace dc::net

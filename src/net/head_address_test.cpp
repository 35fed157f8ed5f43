// The addresses that a user names.
#include "net/head_address.hpp"

#include <gtest/gtest.h>

namespace dc::net {
namespace {

std::string names(const std::string& text) {
  const auto addresses = head_addresses(text, 8899);
  if (!addresses) return addresses.error().message;
  std::string all;
  for (const HeadAddress& address : addresses.value()) {
    all += address.host + " " + std::to_string(address.port) + (address.own_port ? " own" : "") + "; ";
  }
  return all;
}

TEST(HeadAddress, OneOrSeveralWithAndWithoutPorts) {
  EXPECT_EQ(names("localhost"), "localhost 8899; ");
  EXPECT_EQ(names("a, b:8900 ,10.0.0.7"), "a 8899; b 8900 own; 10.0.0.7 8899; ");
  EXPECT_EQ(names("::1,[::1]:8900,[fe80::2]"), "::1 8899; ::1 8900 own; fe80::2 8899; ");
  EXPECT_EQ(head_names("a,[::1]:8900", 8899), "a:8899, [::1]:8900");
}

TEST(HeadAddress, WhatIsWrongIsNamed) {
  const std::string empty =
      "an address of the head is empty: give host, host:port, or several with commas between them";
  for (const char* text : {"", "a,", ",a", " ", ":8899", "[]:1"}) EXPECT_EQ(names(text), empty) << text;
  for (const char* port : {"0", "65536", "", "8899x", "-1"}) {
    EXPECT_EQ(names(std::string("a,b:") + port), "'" + std::string(port) + "' is no port of an address (b:" + port +
                                                     "): a number from 1 to 65535 stands behind the colon");
  }
}

TEST(HeadAddress, BracketsAreInPairs) {
  for (const std::string wrong : {"[::1", "[::1]8899", "[::1 ]x"}) {
    const auto addresses = head_addresses(wrong, 8899);
    ASSERT_FALSE(addresses) << wrong;
    EXPECT_EQ(addresses.error().message, "the address " + wrong + " is not one in brackets: write [::1] or [::1]:8899");
  }
}

TEST(HeadAddress, WhatIsNoNameIsToldWithTheNameInIt) {
  EXPECT_EQ(names("http://10.0.0.5:8899/status"),
            "the address is a URL, not the name of a machine: give host or host:port, here 10.0.0.5:8899");
  EXPECT_EQ(names("a,redis://:secret@b"),
            "the address is a URL, not the name of a machine: give host or host:port, here b");
  EXPECT_EQ(names("me@host"),
            "the address is a path or has a user's name, not the name of a machine: give host or host:port, here host");
  EXPECT_EQ(names("/tmp/head.sock"),
            "the address is a path or has a user's name, not the name of a machine: give host or host:port");
}

TEST(HeadAddress, FingerprintsWithCommas) {
  const std::string one = "sha256:" + std::string(43, 'A');
  EXPECT_TRUE(are_fingerprints(one));
  EXPECT_TRUE(are_fingerprints(one + "," + one));
  for (const std::string& text : {std::string(), one + ",", "," + one, one + ", " + one, one + ",short"}) {
    EXPECT_FALSE(are_fingerprints(text)) << text;
  }
}

}  // namespace
}  // namespace dc::net

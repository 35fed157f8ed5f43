// Crowds before the door, of all kinds, and one who has a right to enter.
#include "net/waiting_room.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace dc::net {
namespace {

using Id = WaitingRoom::Id;

TEST(AddressGroup, IsTheAddressOrTheNetworkOfIpv6) {
  EXPECT_EQ(address_group("10.0.0.5:40312"), "10.0.0.5");
  EXPECT_EQ(address_group("10.0.0.5"), "10.0.0.5");
  EXPECT_EQ(address_group("[2001:db8:1:2:3:4:5:6]:40312"), "2001:db8:1:2::/64");
  EXPECT_EQ(address_group("[2001:db8:1:2:ffff::1]:1"), address_group("2001:db8:1:2::7"));
  EXPECT_NE(address_group("[2001:db8:1:3::1]:1"), address_group("[2001:db8:1:2::1]:1"));
  EXPECT_EQ(address_group("[::ffff:10.0.0.5]:1"), "10.0.0.5");
  EXPECT_EQ(address_group("[fe80::1%eth0]:1"), "fe80::/64");
}

class Crowd : public ::testing::Test {
 protected:
  /// As the listener does it: somebody comes, and whoever is too many goes.
  Id come(const std::string& from, Shown shown = Shown::nothing) {
    const Id id = next_++;
    room.enter(id, from, known, now);
    room.shows(id, shown, now);
    if (const auto goes = room.surplus(now)) {
      room.leave(*goes);
      gone.push_back(*goes);
    }
    return id;
  }
  void crowd(std::size_t count, const std::string& from, Shown shown = Shown::nothing, Duration pause = {}) {
    for (std::size_t i = 0; i < count; ++i, now += pause) come(from, shown);
  }
  bool here(Id id) { return std::find(gone.begin(), gone.end(), id) == gone.end(); }

  WaitingRoom room;
  TimePoint now{1000s};
  std::vector<Id> gone;
  bool known = false;

 private:
  Id next_ = 1;
};

TEST_F(Crowd, OfOneAddressHasItsPlacesAndNoMore) {
  crowd(4000, "10.0.0.1");
  EXPECT_EQ(room.size(), limits::strangers_address_max);
  const Id rightful = come("10.0.0.2");
  crowd(4000, "10.0.0.1", Shown::hello, 2ms);
  EXPECT_TRUE(here(rightful)) << "another address is not touched, whatever it shows";
}

TEST_F(Crowd, ThatShowsNothingGoesBeforeAPeerOfItsOwnAddress) {
  crowd(4000, "10.0.0.1");
  const Id rightful = come("10.0.0.1");
  room.shows(rightful, Shown::bytes, now);
  crowd(600, "10.0.0.1", Shown::nothing, 2ms);  // for 1.2 s
  EXPECT_TRUE(here(rightful));
}

TEST_F(Crowd, ThatShowsNothingGoesBeforeASlowPeerHoweverFastItComes) {
  const Id rightful = come("10.0.0.1", Shown::bytes);
  now += limits::stranger_grace;
  crowd(4000, "10.0.0.1");
  EXPECT_TRUE(here(rightful));
}

TEST_F(Crowd, ThatShowsAsMuchGoesByAge) {
  crowd(4000, "10.0.0.1", Shown::hello, 2ms);
  const Id rightful = come("10.0.0.1");
  crowd(250, "10.0.0.1", Shown::hello, 2ms);
  EXPECT_TRUE(here(rightful)) << "it has the grace of all newcomers, half a second here";
}

TEST_F(Crowd, ThatStandsStillIsAsGoodAsNothing) {
  crowd(limits::strangers_address_max, "10.0.0.1", Shown::hello);
  now += limits::stranger_patience;
  const Id rightful = come("10.0.0.1");
  now += limits::stranger_grace;
  room.shows(rightful, Shown::bytes, now);
  crowd(limits::strangers_address_max - 2, "10.0.0.1");
  EXPECT_TRUE(here(rightful));
}

TEST_F(Crowd, OfAKnownAddressIsOnlyLimitedByTheRoom) {
  known = true;
  crowd(limits::strangers_max, "10.0.0.1");
  EXPECT_EQ(room.size(), limits::strangers_max);
  known = false;
  const Id rightful = come("10.0.0.2");
  crowd(10, "10.0.0.3");
  EXPECT_TRUE(here(rightful));
  EXPECT_EQ(room.size(), limits::strangers_max);
}

TEST_F(Crowd, OfManyAddressesGoesBeforeOneThatHasShownMore) {
  const Id rightful = come("10.0.0.2", Shown::bytes);
  now += 1s;
  for (int i = 0; i < 3000; ++i) come("host" + std::to_string(i));
  EXPECT_TRUE(here(rightful));
  EXPECT_EQ(room.size(), limits::strangers_max);
}

TEST_F(Crowd, ForWhichDescriptorsAreShortGoesOneByOne) {
  crowd(3, "10.0.0.1");
  const Id other = come("10.0.0.2");
  std::vector<Id> order;
  while (const auto goes = room.least(now)) {
    order.push_back(*goes);
    room.leave(*goes);
  }
  EXPECT_EQ(order, (std::vector<Id>{1, 2, 3, other}));
}

TEST_F(Crowd, TakesTurnsByAddressAndTheLatestFirst) {
  const Id a = come("10.0.0.1"), b = come("10.0.0.1"), c = come("10.0.0.1"), d = come("10.0.0.2");
  for (const Id id : {a, b, c, d}) room.asks(id, true);
  std::vector<Id> order;
  while (const auto turn = room.next(now)) order.push_back(*turn);
  EXPECT_EQ(order, (std::vector<Id>{c, d, b, a}));
  EXPECT_EQ(room.next_at(now), never);
}

TEST_F(Crowd, BeginsSoManyHandshakesInASecondAndGoesOnWithThem) {
  std::vector<Id> people;
  known = true;  // its own pace does not count, the one of all does
  for (std::size_t i = 0; i < limits::strangers_max; ++i) people.push_back(come("10.0.0.1"));
  for (const Id id : people) room.asks(id, true);
  std::size_t begun = 0;
  while (room.next(now)) ++begun;
  EXPECT_EQ(begun, static_cast<std::size_t>(limits::handshakes_per_second));
  EXPECT_GT(room.next_at(now), now);
  EXPECT_LE(room.next_at(now), now + 2ms);
  room.asks(people[0], false);
  EXPECT_EQ(room.next_at(now), now);
  EXPECT_EQ(room.next(now), people[0]) << "who has begun needs no leave";
  EXPECT_EQ(room.next(now), std::nullopt);
  EXPECT_NE(room.next(now + 2ms), std::nullopt);
}

TEST_F(Crowd, OfOneAddressHasAPaceOfItsOwn) {
  for (std::size_t i = 0; i < 600; ++i) {  // one after the other
    const Id id = come("10.0.0.1");
    room.asks(id, true);
    const bool turn = room.next(now).has_value();
    EXPECT_EQ(turn, i < static_cast<std::size_t>(limits::handshakes_per_second_address)) << i;
    room.leave(id);
  }
  const Id other = come("10.0.0.2");
  room.asks(other, true);
  EXPECT_EQ(room.next(now), other);
}

}  // namespace
}  // namespace dc::net

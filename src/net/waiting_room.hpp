// Those who have come and have not proved the password: who may stay when there is no room, and whose turn it is. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/clock.hpp"
#include "core/limits.hpp"

namespace dc::net {

/// What counts as one address: of IPv4 the number, of IPv6 its /64, which is what one customer or one machine has.
/// `address`: "10.0.0.5:40312", "[2001:db8::1]:40312", or the same without a port.
std::string address_group(const std::string& address);

/// A number of events in a second, and as many at once.
class Pace {
 public:
  explicit Pace(double per_second) : per_second_(per_second), left_(per_second) {}
  [[nodiscard]] bool free(TimePoint now);
  void take() { left_ -= 1; }
  /// When the next one is free.
  [[nodiscard]] TimePoint next(TimePoint now) const;

 private:
  double per_second_, left_;
  TimePoint at_{};
};

/// How far a newcomer has come.
enum class Shown { nothing, bytes, websocket, hello };

/// Room is counted by address. When there is none, somebody of the address goes that has most: first who has shown
/// least, then who has been here longest. So who only comes in numbers makes room for the next one, while a peer that
/// does what peers do stays, even at the same address. An address that is known (a password was proved there lately)
/// has no limit of its own.
class WaitingRoom {
 public:
  using Id = std::uint64_t;  ///< rises with every newcomer

  void enter(Id id, const std::string& group, bool known, TimePoint now);
  void leave(Id id);
  void shows(Id id, Shown what, TimePoint now);
  /// Who has to go because of the one who entered last, if anybody.
  [[nodiscard]] std::optional<Id> surplus(TimePoint now) const;
  /// Who would have to go next.
  [[nodiscard]] std::optional<Id> least(TimePoint now) const;
  [[nodiscard]] std::size_t size() const { return people_.size(); }

  /// Wants a turn of work. `begins`: it is the first one, with which a TLS handshake begins.
  void asks(Id id, bool begins);
  /// Whose turn it is: addresses take turns; at one address, who has begun goes first, and the latest of them: it has
  /// not waited for long, and whoever waits for an answer is not kept by a crowd.
  std::optional<Id> next(TimePoint now);
  /// When next() may have somebody, if nobody else asks. `never`: nobody waits.
  [[nodiscard]] TimePoint next_at(TimePoint now) const;

 private:
  struct Person {
    Shown shown = Shown::nothing;
    TimePoint came, moved;
  };
  struct Group {
    std::string name;
    std::map<Id, Person> people;
    std::set<Id> beginning, going_on;  ///< who want a turn
    bool known = false;
    Pace pace{limits::handshakes_per_second_address};
  };
  /// Of those who have shown something; who goes first is the smallest.
  struct Claim {
    bool new_here;
    Shown shown;
    Id id;
    auto operator<=>(const Claim&) const = default;
  };
  /// Whom to choose from.
  struct Choice {
    std::size_t people = 0, idle = 0;  ///< who have shown nothing, or nothing more for long
    std::optional<Claim> oldest_idle, least;
  };
  static void consider(const Group& group, TimePoint now, Choice& choice);
  static std::optional<Id> choose(const Choice& choice);
  std::optional<Id> take_turn(Group& group, TimePoint now);

  std::map<std::string, Group> groups_;
  std::map<Id, Group*> people_;
  Group* entered_ = nullptr;  ///< the group of the last newcomer
  std::string had_turn_;      ///< the group of the last turn
  std::size_t asking_ = 0;
  Pace pace_{limits::handshakes_per_second};
};

}  // namespace dc::net

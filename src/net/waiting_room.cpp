// See waiting_room.hpp.
#include "net/waiting_room.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace dc::net {
namespace {

constexpr std::size_t empty_groups_kept = 64;

}  // namespace

std::string address_group(const std::string& address) {
  std::string host = address;
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else if (host.find(':') == host.rfind(':')) {
    host = host.substr(0, host.rfind(':'));
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &v6) != 1) return host;
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return inet_ntop(AF_INET, &v6.s6_addr[12], text.data(), text.size());
  std::fill(&v6.s6_addr[8], &v6.s6_addr[16], std::uint8_t{0});
  return std::string(inet_ntop(AF_INET6, &v6, text.data(), text.size())) + "/64";
}

// --- Pace -------------------------------------------------------------------------------------------------------

bool Pace::free(TimePoint now) {
  const double seconds = std::chrono::duration<double>(now - at_).count();
  left_ = std::min(per_second_, left_ + std::max(0.0, seconds) * per_second_);
  at_ = now;
  return left_ >= 1;
}

TimePoint Pace::next(TimePoint now) const {
  if (left_ >= 1) return now;
  const auto missing = std::chrono::duration<double>((1 - left_) / per_second_);
  return at_ + std::chrono::ceil<Duration>(missing);
}

// --- Who stays --------------------------------------------------------------------------------------------------

void WaitingRoom::enter(Id id, const std::string& group, bool known, TimePoint now) {
  Group& where = groups_[group];
  where.name = group;
  where.people.emplace(id, Person{Shown::nothing, now, now});
  where.known = known;
  people_.emplace(id, &where);
  entered_ = &where;
}

void WaitingRoom::leave(Id id) {
  const auto person = people_.find(id);
  if (person == people_.end()) return;
  Group& group = *person->second;
  people_.erase(person);
  group.people.erase(id);
  asking_ -= group.beginning.erase(id) + group.going_on.erase(id);
  // Some empty groups are kept: their pace counts what they have begun.
  if (!group.people.empty() || groups_.size() <= empty_groups_kept) return;
  if (entered_ == &group) entered_ = nullptr;
  groups_.erase(std::string(group.name));
}

void WaitingRoom::shows(Id id, Shown what, TimePoint now) {
  const auto group = people_.find(id);
  if (group == people_.end()) return;
  Person& person = group->second->people.at(id);
  if (person.shown >= what) return;
  person.shown = what;
  person.moved = now;
}

void WaitingRoom::consider(const Group& group, TimePoint now, Choice& choice) {
  choice.people += group.people.size();
  for (const auto& [id, person] : group.people) {
    const Claim claim{now - person.came < limits::stranger_grace, person.shown, id};
    const bool idle = person.shown == Shown::nothing || now - person.moved >= limits::stranger_patience;
    if (!idle) {
      choice.least = std::min(choice.least.value_or(claim), claim);
      continue;
    }
    ++choice.idle;
    if (!choice.oldest_idle || id < choice.oldest_idle->id) choice.oldest_idle = claim;
  }
}

std::optional<WaitingRoom::Id> WaitingRoom::choose(const Choice& choice) {
  const auto& idle = choice.oldest_idle;
  if (idle && (!choice.least || !idle->new_here || 2 * choice.idle > choice.people)) return idle->id;
  return choice.least ? std::optional(choice.least->id) : std::nullopt;
}

std::optional<WaitingRoom::Id> WaitingRoom::surplus(TimePoint now) const {
  if (!entered_) return std::nullopt;
  if (!entered_->known && entered_->people.size() > limits::strangers_address_max) {
    Choice choice;
    consider(*entered_, now, choice);
    return choose(choice);
  }
  return people_.size() > limits::strangers_max ? least(now) : std::nullopt;
}

std::optional<WaitingRoom::Id> WaitingRoom::least(TimePoint now) const {
  std::size_t most = 1;
  for (const auto& [name, group] : groups_) most = std::max(most, group.people.size());
  Choice choice;
  for (const auto& [name, group] : groups_) {
    if (group.people.size() == most) consider(group, now, choice);
  }
  return choose(choice);
}

// --- Whose turn it is -------------------------------------------------------------------------------------------

void WaitingRoom::asks(Id id, bool begins) {
  const auto found = people_.find(id);
  if (found == people_.end()) return;
  Group& group = *found->second;
  if ((begins ? group.beginning : group.going_on).insert(id).second) ++asking_;
}

std::optional<WaitingRoom::Id> WaitingRoom::take_turn(Group& group, TimePoint now) {
  std::set<Id>* from = &group.going_on;
  if (from->empty()) {
    from = &group.beginning;
    if (from->empty() || !pace_.free(now) || !(group.known || group.pace.free(now))) return std::nullopt;
    pace_.take();
    if (!group.known) group.pace.take();
  }
  const Id id = *from->rbegin();
  from->erase(id);
  --asking_;
  return id;
}

std::optional<WaitingRoom::Id> WaitingRoom::next(TimePoint now) {
  if (asking_ == 0) return std::nullopt;
  auto group = groups_.upper_bound(had_turn_);
  for (std::size_t i = 0; i < groups_.size(); ++i, ++group) {
    if (group == groups_.end()) group = groups_.begin();
    const auto id = take_turn(group->second, now);
    if (!id) continue;
    had_turn_ = group->first;
    return id;
  }
  return std::nullopt;
}

TimePoint WaitingRoom::next_at(TimePoint now) const {
  TimePoint first = never;
  for (const auto& [name, group] : groups_) {
    if (!group.going_on.empty()) return now;
    if (group.beginning.empty()) continue;
    first = std::min(first, group.known ? pace_.next(now) : std::max(pace_.next(now), group.pace.next(now)));
  }
  return first;
}

}  // namespace dc::net

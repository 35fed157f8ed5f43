// See world.hpp.
#include "world.hpp"

#include <algorithm>
#include <cstdio>

namespace dc::sim {

std::uint64_t Chance::next() {  // splitmix64
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

Duration Chance::between(Duration low, Duration high) {
  return low + Duration(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

Duration Chance::skewed(Duration low, Duration high) {
  const auto share = static_cast<double>(below(1000)) / 1000;
  return low + Duration(static_cast<std::int64_t>(static_cast<double>((high - low).count()) * share * share * share));
}

void World::at(TimePoint when, Action action) {
  events_due_.push_back({std::max(when, now_), next_number_++, std::move(action)});
  std::push_heap(events_due_.begin(), events_due_.end());
}

bool World::step(TimePoint end) {
  if (events_due_.empty() || events_due_.front().when > end) {
    now_ = std::max(now_, end);
    return false;
  }
  std::pop_heap(events_due_.begin(), events_due_.end());
  const Event event = std::move(events_due_.back());
  events_due_.pop_back();
  now_ = event.when;
  ++events_;
  event.action();
  return true;
}

void World::print(std::string_view who, const std::string& text) const {
  const double seconds = std::chrono::duration<double>(now_.time_since_epoch() - std::chrono::hours(1)).count();
  fmt::print("{:12.6f} {:<12} {}\n", seconds, who, text);
}

}  // namespace dc::sim

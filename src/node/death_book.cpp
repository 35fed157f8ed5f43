// See death_book.hpp.
#include "node/death_book.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include "core/limits.hpp"

namespace dc::node {

/// Who stops a whole service (systemd, Slurm) sends SIGTERM to node and workers, in any order.
bool DeathBook::ended(const Dead& dead, Known known) {
  const bool ask_why = dead.end.signal == SIGTERM && !known.expected;
  if (!known.devices_watched && !ask_why) return true;
  const Duration patience = ask_why ? Duration(limits::terminated_with_us) : Duration(limits::look_at_death_patience);
  const TimePoint latest = dead.end.at + patience;
  waiting_[dead.worker] = {dead.end, ask_why ? latest : dead.end.at, latest};
  return false;
}

template <class Condition>
std::vector<DeathBook::Dead> DeathBook::take(Condition condition) {
  std::vector<Dead> taken;
  std::erase_if(waiting_, [&](auto& entry) {
    if (!condition(entry.second)) return false;
    taken.push_back({entry.first, std::move(entry.second.end)});
    return true;
  });
  return taken;
}

std::vector<DeathBook::Dead> DeathBook::looked_at(TimePoint taken_at) {
  return take([&](const Waiting& dead) { return dead.earliest <= taken_at; });
}

std::vector<DeathBook::Dead> DeathBook::due(TimePoint now) {
  return take([&](const Waiting& dead) { return dead.latest <= now; });
}

TimePoint DeathBook::next_deadline() const {
  TimePoint next = never;
  for (const auto& [worker, dead] : waiting_) next = std::min(next, dead.latest);
  return next;
}

}  // namespace dc::node

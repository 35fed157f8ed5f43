// Workers that have ended, and when that is reported: decisions only. What the driver says of a device may come a
// moment after the death of who used it, and so may the signal that ends the node with its workers.
#pragma once

#include <map>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "node/worker_exit.hpp"

namespace dc::node {

class DeathBook {
 public:
  struct Dead {
    WorkerId worker;
    ProcessEnd end;
  };
  /// What is known when it ends.
  struct Known {
    bool devices_watched = false;  ///< a look at its device is on its way
    bool expected = false;         ///< it was to end, or its node is
  };
  /// True: it is reported at once. Otherwise later, by one of those below.
  bool ended(const Dead& dead, Known known);
  /// Those that are reported now, because of a look at the devices.
  std::vector<Dead> looked_at(TimePoint taken_at);
  /// Those for which nothing more is waited.
  std::vector<Dead> due(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

 private:
  struct Waiting {
    ProcessEnd end;
    TimePoint earliest;  ///< an earlier look says too little
    TimePoint latest;
  };
  template <class Condition>
  std::vector<Dead> take(Condition condition);

  std::map<WorkerId, Waiting> waiting_;
};

}  // namespace dc::node

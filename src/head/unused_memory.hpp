// Memory that was in use for a moment and that nobody has back: results on their way to the store leave holes between
// what stays, and the system gets whole heaps only.
#pragma once

#include <cstddef>

#include "core/clock.hpp"

namespace dc::head {

class UnusedMemory {
 public:
  /// Gives the pages of the heap on which nothing lies back to the system, if they are many. Cheap when it was asked a
  /// moment ago; otherwise it takes some milliseconds for each GiB.
  void give_back(TimePoint now);

 private:
  TimePoint next_look_{};
  Duration pause_ = Duration::zero();
};

}  // namespace dc::head

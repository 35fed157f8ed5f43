// A look at the file system now and then, on a thread of its own: a disk that hangs holds nobody up.
#pragma once

#include <functional>
#include <memory>

#include "core/clock.hpp"

namespace dc {

class Periodic {
 public:
  /// Calls `look` every `interval` on a thread, which lets go of it, and of what it holds, at the end.
  Periodic(Duration interval, std::function<void()> look);
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;
  /// Waits for that, unless the thread hangs: then for a second, and the thread goes on alone.
  ~Periodic();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace dc

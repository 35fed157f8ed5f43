// The thread that asks drivers about devices, so that nobody else ever waits for one.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "core/clock.hpp"
#include "gpu/device.hpp"

namespace dc::gpu {

/// Looks at once, then again and again, and whenever it is asked to. A thread that hangs in a driver is left behind.
class Watch {
 public:
  /// Begins. Both are called on the thread alone; for tests.
  struct Eyes {
    std::function<Inventory()> read;
    std::function<bool(std::chrono::milliseconds)> pause;          ///< true: a fault was reported
    std::chrono::milliseconds interval = std::chrono::seconds(2);  ///< between looks when nothing happens
  };
  static Eyes real_eyes();
  explicit Watch(Eyes eyes = real_eyes());
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Waits for the first look; nothing when the driver has not answered until then.
  std::optional<Inventory> first(Duration patience);
  /// Every further look is handed to this, on the thread, which must not be held up. Until the Watch is destroyed.
  void tell(std::function<void(Inventory)> told);
  /// Look soon, and not only at the next time. Any number of requests cause one look that begins after them.
  void look();
  /// When the driver was asked what it has not answered yet.
  [[nodiscard]] std::optional<TimePoint> asked_at() const;

 private:
  struct Shared;
  /// Shared with the thread, which may outlive this object when it hangs.
  std::shared_ptr<Shared> shared_;
};

}  // namespace dc::gpu

// The devices of a running node: found at its start, watched by a thread, handed to workers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "gpu/masks.hpp"
#include "gpu/watch.hpp"
#include "net/event_loop.hpp"

namespace dc::node {

class Devices {
 public:
  /// Asks the drivers, for limits::first_look_patience at most and until a held signal comes, and logs what was found.
  /// Fails with a sentence when the selection names what is not there.
  static Result<std::unique_ptr<Devices>> find(const gpu::Selection& selection, std::uint32_t cores);

  [[nodiscard]] const gpu::Plan& plan() const { return plan_; }
  /// Whether there is anything to look at.
  [[nodiscard]] bool watched() const { return watch_ != nullptr; }
  /// Every look from now on is handed to `seen`, on the loop. Before either is gone, stop_watching().
  void watch(net::EventLoop& loop, std::function<void(gpu::Inventory)> seen);
  void stop_watching();
  void look();
  /// Says once when a driver has been silent for long; to be called now and then.
  void complain_of_silence(TimePoint now);

  /// Additions to the environment of a worker on these slots.
  [[nodiscard]] std::vector<std::string> environment(const std::vector<std::uint32_t>& slots, bool wants_none) const;
  /// Cores near the devices of these slots that this process may use; empty: any.
  [[nodiscard]] std::vector<std::uint32_t> cpus(const std::vector<std::uint32_t>& slots) const;

 private:
  Devices(gpu::Plan plan, bool affinity, std::unique_ptr<gpu::Watch> watch)
      : plan_(std::move(plan)),
        masks_(gpu::masks_of_environment()),
        affinity_(affinity && !plan_.devices.empty()),
        watch_(plan_.devices.empty() ? nullptr : std::move(watch)) {}
  [[nodiscard]] std::vector<const gpu::Device*> of(const std::vector<std::uint32_t>& slots) const;

  gpu::Plan plan_;
  gpu::Masks masks_;
  bool affinity_, silence_said_ = false;
  std::unique_ptr<gpu::Watch> watch_;
};

}  // namespace dc::node

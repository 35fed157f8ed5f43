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
  /// Threads that the native thread pools of a worker on these slots should have, so that all workers together have no
  /// more than there are cores; 0: there is but one slot, and nothing to share.
  [[nodiscard]] std::uint32_t threads(const std::vector<std::uint32_t>& slots) const;
  /// For people: "cpu", or name and UUID of the GPU, of several with commas.
  [[nodiscard]] std::string name_of(const std::vector<std::uint32_t>& slots) const;

 private:
  Devices(gpu::Plan plan, bool affinity, std::unique_ptr<gpu::Watch> watch);
  void say_threads() const;
  [[nodiscard]] std::vector<const gpu::Device*> of(const std::vector<std::uint32_t>& slots) const;

  gpu::Plan plan_;
  gpu::Masks masks_;
  bool affinity_, silence_said_ = false;
  std::vector<double> core_shares_;  ///< of the slots
  std::unique_ptr<gpu::Watch> watch_;
};

}  // namespace dc::node

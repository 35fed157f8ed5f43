// What head, nodes and clients have in common: they can be frozen, and they end. Whatever reaches a frozen process
// waits; whatever was meant for an earlier life of it is lost.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "world.hpp"

namespace dc::sim {

class Process {
 public:
  Process(World& world, std::string name) : world_(world), name_(std::move(name)) {}
  virtual ~Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool frozen() const { return frozen_; }
  [[nodiscard]] bool alive() const { return alive_; }

  /// Runs the action now, or when the process is thawed; never, if it ends before.
  void run(World::Action action) {
    if (!alive_) return;
    if (frozen_) {
      waiting_.push_back(std::move(action));
    } else {
      action();
    }
  }
  /// The same, later, if this life of the process lasts so long.
  void run_at(TimePoint when, World::Action action) {
    world_.at(when, [this, watch = std::weak_ptr<int>(life_), action = std::move(action)]() mutable {
      if (!watch.expired()) run(std::move(action));
    });
  }
  void run_after(Duration delay, World::Action action) { run_at(world_.now() + delay, std::move(action)); }

  /// Later, if this life of the process lasts so long, even when it is frozen: of what it has sent.
  void happens_after(Duration delay, World::Action action) {
    world_.after(delay, [watch = std::weak_ptr<int>(life_), action = std::move(action)]() mutable {
      if (!watch.expired()) action();
    });
  }

  void freeze() { frozen_ = alive_; }
  void thaw() {
    frozen_ = false;
    const std::weak_ptr<int> watch = life_;
    for (World::Action& action : std::exchange(waiting_, {})) {
      if (!watch.expired()) run(std::move(action));
    }
  }

 protected:
  void begin_life() {
    alive_ = true;
    life_ = std::make_shared<int>(0);
  }
  void end_life() {
    alive_ = frozen_ = false;
    waiting_.clear();
    life_.reset();
  }

  World& world_;

 private:
  std::string name_;
  bool alive_ = false, frozen_ = false;
  std::shared_ptr<int> life_;
  std::vector<World::Action> waiting_;
};

}  // namespace dc::sim

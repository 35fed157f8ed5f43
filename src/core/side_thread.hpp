// A thread for what must not hold up an event loop: reading, writing and hashing files, one task after the other.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "core/clock.hpp"
#include "core/signals_blocked.hpp"

namespace dc {

/// Begins with the first task. A task that hangs (a disk may) is left behind with its thread: so tasks own what they
/// use, and answer by way of EventLoop::poster().
class SideThread {
 public:
  SideThread() = default;
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;
  /// Waits a second for the task that runs, and drops the others.
  ~SideThread() {
    std::unique_lock lock(shared_->mutex);
    shared_->over = true;
    shared_->changed.notify_all();
    shared_->changed.wait_for(lock, std::chrono::seconds(1), [this] { return !shared_->lives; });
    const auto dropped = std::exchange(shared_->tasks, {});
    lock.unlock();
  }

  void run(std::function<void()> task) {
    const std::lock_guard lock(shared_->mutex);
    shared_->tasks.push_back(std::move(task));
    if (!std::exchange(shared_->lives, true)) {
      const SignalsBlocked blocked;
      std::thread([shared = shared_] { shared->work(); }).detach();
    }
    shared_->changed.notify_all();
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> tasks;
    bool over = false, lives = false;

    void work() {
      std::unique_lock lock(mutex);
      while (true) {
        changed.wait(lock, [this] { return over || !tasks.empty(); });
        if (over) break;
        {
          const std::function<void()> task = std::move(tasks.front());
          tasks.pop_front();
          lock.unlock();
          task();
        }  // what it held is let go of without the lock
        lock.lock();
      }
      lives = false;
      changed.notify_all();
    }
  };

  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace dc

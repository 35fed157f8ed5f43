// See periodic.hpp.
#include "core/periodic.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "core/signals_blocked.hpp"

namespace dc {
namespace {

constexpr auto end_patience = 1s;

}  // namespace

struct Periodic::Shared {
  std::function<void()> look;
  std::mutex mutex;
  std::condition_variable changed;
  bool stop = false, ended = false;

  void run(Duration interval) {
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, interval, [this] { return stop; })) {
      lock.unlock();
      look();
      lock.lock();
    }
    lock.unlock();
    look = nullptr;
    lock.lock();
    ended = true;
    changed.notify_all();
  }
};

Periodic::Periodic(Duration interval, std::function<void()> look) : shared_(std::make_shared<Shared>()) {
  shared_->look = std::move(look);
  const SignalsBlocked blocked;
  std::thread([shared = shared_, interval] { shared->run(interval); }).detach();
}

Periodic::~Periodic() {
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, end_patience, [this] { return shared_->ended; });
}

}  // namespace dc

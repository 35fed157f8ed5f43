// See watch.hpp.
#include "gpu/watch.hpp"

#include <thread>
#include <utility>

#include "core/signals_blocked.hpp"
#include "gpu/source.hpp"

namespace dc::gpu {
namespace {

constexpr auto pause_slice = 50ms;    ///< a request to look waits no longer than this
constexpr auto end_patience = 200ms;  ///< for the thread to end, unless it hangs

}  // namespace

struct Watch::Shared {
  Eyes eyes;
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Inventory> first;
  std::function<void(Inventory)> told;
  std::optional<TimePoint> asked_at;
  bool looked = false, wanted = true, look_soon = false, ended = false;

  bool goes_on() {
    const std::lock_guard lock(mutex);
    return wanted;
  }
  bool asked_to_look() {
    const std::lock_guard lock(mutex);
    return look_soon || !wanted;
  }
  void look_once() {
    {
      const std::lock_guard lock(mutex);
      look_soon = false;
      asked_at = std::chrono::steady_clock::now();
    }
    Inventory seen = eyes.read();
    const std::lock_guard lock(mutex);
    asked_at.reset();
    if (!std::exchange(looked, true)) first = seen;
    if (wanted && told) told(std::move(seen));
    changed.notify_all();
  }
  void run() {
    while (goes_on()) {
      look_once();
      const auto next = std::chrono::steady_clock::now() + eyes.interval;
      while (!asked_to_look()) {
        if (std::chrono::steady_clock::now() >= next || eyes.pause(pause_slice)) break;
      }
    }
    eyes = {};
    const std::lock_guard lock(mutex);
    ended = true;
    changed.notify_all();
  }
};

Watch::Eyes Watch::real_eyes() {
  const auto source = std::make_shared<Source>();  // shared by both functions
  return {[source] { return source->read(); }, [source](auto time) { return source->pause(time); }};
}

Watch::Watch(Eyes eyes) : shared_(std::make_shared<Shared>()) {
  shared_->eyes = std::move(eyes);
  const SignalsBlocked blocked;
  std::thread([shared = shared_] { shared->run(); }).detach();
}

Watch::~Watch() {
  std::unique_lock lock(shared_->mutex);
  shared_->wanted = false;
  shared_->told = nullptr;
  shared_->changed.wait_for(lock, end_patience, [this] { return shared_->ended; });
}

std::optional<Inventory> Watch::first(Duration patience) {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait_for(lock, patience, [this] { return shared_->looked; });
  return shared_->first;
}

void Watch::tell(std::function<void(Inventory)> told) {
  const std::lock_guard lock(shared_->mutex);
  shared_->told = std::move(told);
}

void Watch::look() {
  const std::lock_guard lock(shared_->mutex);
  shared_->look_soon = true;
}

std::optional<TimePoint> Watch::asked_at() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->asked_at;
}

}  // namespace dc::gpu

// See kept_files.hpp.
#include "head/kept_files.hpp"

#include <sys/stat.h>

#include <mutex>
#include <optional>
#include <utility>

#include "core/limits.hpp"
#include "core/log.hpp"
#include "core/paths.hpp"

namespace dc::head {
namespace {

bool nothing_at(const std::string& path) {
  struct stat file {};
  return ::lstat(path.c_str(), &file) != 0 && errno == ENOENT;
}

}  // namespace

struct KeptFiles::Shared {
  LockFile lock;
  std::uint16_t port{};
  bool failure_said = false;
  std::mutex mutex;  ///< of what follows; never held while a disk is asked
  std::function<void(net::Callback)> post;
  std::function<void(net::LocalSocket)> renewed;  ///< empty: none is wanted

  [[nodiscard]] bool wants_socket() {
    const std::lock_guard guard(mutex);
    return renewed != nullptr;
  }

  void look() {
    const bool kept = lock.keep_at(paths::head_file(port));
    const std::string path = paths::head_socket(port);
    if (!kept || !wants_socket() || !nothing_at(path)) return;
    auto made = net::LocalSocket::open(path);
    if (!made) {
      if (!std::exchange(failure_said, true)) log::warning("{}", made.error().message);
      return;
    }
    failure_said = false;
    const std::lock_guard guard(mutex);
    if (!renewed) return;  // the head has begun to end: the file goes with `made`
    log::info("the socket {} was gone: there is a new one", path);
    auto socket = std::make_shared<net::LocalSocket>(std::move(made.value()));  // std::function wants a copy
    post([renewed = renewed, socket] { renewed(std::move(*socket)); });
  }
};

KeptFiles::KeptFiles(LockFile lock, std::uint16_t port) : shared_(std::make_shared<Shared>()) {
  shared_->lock = std::move(lock);
  shared_->port = port;
  periodic_ = std::make_unique<Periodic>(limits::files_look_interval, [shared = shared_] { shared->look(); });
}

KeptFiles::~KeptFiles() {
  leave_socket();
  shared_.reset();  // the thread has the last one: a disk that hangs holds up that thread
}

void KeptFiles::keep_socket(net::EventLoop& loop, std::function<void(net::LocalSocket)> renewed) {
  const std::lock_guard guard(shared_->mutex);
  shared_->post = loop.poster();
  shared_->renewed = std::move(renewed);
}

void KeptFiles::leave_socket() {
  const std::lock_guard guard(shared_->mutex);
  shared_->renewed = nullptr;
}

}  // namespace dc::head

// The files by which programs of this machine find its head: they are there for as long as it is, whatever a cleaner or
// the end of a login removes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/lock_file.hpp"
#include "core/periodic.hpp"
#include "net/session.hpp"

namespace dc::head {

class KeptFiles {
 public:
  /// Keeps the lock on paths::head_file(port), from a thread.
  KeptFiles(LockFile lock, std::uint16_t port);
  ~KeptFiles();

  /// From now on the head's socket too: `renewed`, called on the loop, gets a new one when the file has gone.
  void keep_socket(net::EventLoop& loop, std::function<void(net::LocalSocket)> renewed);
  /// The head ends: the socket is left alone. Nothing is renewed after this.
  void leave_socket();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::unique_ptr<Periodic> periodic_;
};

}  // namespace dc::head

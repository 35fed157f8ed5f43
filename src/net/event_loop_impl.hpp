// The insides of EventLoop, for the other files of net/.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "net/asio.hpp"
#include "net/event_loop.hpp"

namespace dc::net {

struct EventLoop::Impl {
  asio::io_context context{1};  // the hint: one thread runs it

  std::mutex posted_mutex;
  std::vector<Callback> posted;  // from any thread; one wake-up for all that gather here

  /// What the loop's posters hold.
  struct Gate {
    std::mutex mutex;
    EventLoop* loop;  // nullptr: it is gone
  };
  std::shared_ptr<Gate> gate;

  std::vector<Callback> turn_end;

  void run_posted();
  void run_turn_end();
};

}  // namespace dc::net

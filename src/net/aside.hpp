// What may take its time, away from the loop: a disk, for instance, that hangs.
#pragma once

#include <functional>
#include <system_error>
#include <thread>
#include <utility>

#include "core/signals_blocked.hpp"
#include "net/event_loop.hpp"

namespace dc::net {

/// Runs `work` on a thread of its own, then `then` with its result on the loop, if that is still there. Neither may own
/// what belongs to the loop. Where no thread can be had, here and now.
template <class Work, class Then>
void aside(EventLoop& loop, Work work, Then then) {
  const SignalsBlocked blocked;
  try {
    std::thread([post = loop.poster(), work, then] { post([then, result = work()] { then(result); }); }).detach();
  } catch (const std::system_error&) {
    loop.post([then, result = work()] { then(result); });
  }
}

}  // namespace dc::net

// What may take its time, away from the loop: a disk, for instance, that hangs.
#pragma once

#include <pthread.h>

#include <csignal>
#include <functional>
#include <system_error>
#include <thread>
#include <utility>

#include "net/event_loop.hpp"

namespace dc::net {

/// Runs `work` on a thread of its own, then `then` with its result on the loop, if that is still there. Neither may own
/// what belongs to the loop. Where no thread can be had, here and now.
template <class Work, class Then>
void aside(EventLoop& loop, Work work, Then then) {
  sigset_t all, before;  // signals are for the threads that wait for them
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([post = loop.poster(), work, then] { post([then, result = work()] { then(result); }); }).detach();
  } catch (const std::system_error&) {
    loop.post([then, result = work()] { then(result); });
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace dc::net

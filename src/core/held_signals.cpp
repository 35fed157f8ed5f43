// See held_signals.hpp.
#include "core/held_signals.hpp"

#include <csignal>
#include <ctime>

namespace dc {
namespace {

constexpr int held[] = {SIGTERM, SIGINT, SIGHUP};

sigset_t held_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : held) sigaddset(&set, signal);
  return set;
}

}  // namespace

void hold_signals() {
  const sigset_t set = held_set();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool signal_waits() {
  sigset_t waiting;
  sigemptyset(&waiting);
  ::sigpending(&waiting);
  for (const int signal : held) {
    if (sigismember(&waiting, signal) == 1) return true;
  }
  return false;
}

bool take_held_signal(std::chrono::milliseconds time) {
  const sigset_t set = held_set();
  const timespec limit{time.count() / 1000, time.count() % 1000 * 1'000'000};
  return ::sigtimedwait(&set, nullptr, &limit) > 0;
}

void release_signals() {
  const sigset_t set = held_set();
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace dc

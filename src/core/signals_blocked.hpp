// Threads and processes that are to get no signals.
#pragma once

#include <pthread.h>

#include <csignal>

namespace dc {

/// All signals are blocked in this thread while it lives. Threads and processes that are started meanwhile inherit
/// that: signals reach those who wait for them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace dc

// The signals that ask a process to end, while it cannot listen to them yet.
#pragma once

#include <chrono>

namespace dc {

/// SIGTERM, SIGINT and SIGHUP wait from here on, in this thread and those that it starts: ended by one of them before
/// its loop runs, a process would leave its files behind.
void hold_signals();
/// One of them has come. It goes on waiting.
bool signal_waits();
/// Waits until one of them comes, and takes it; false when none does within the time.
bool take_held_signal(std::chrono::milliseconds time);
/// They are delivered: there is a handler now.
void release_signals();

/// They wait as long as this lives.
struct SignalsHeld {
  SignalsHeld() { hold_signals(); }
  ~SignalsHeld() { release_signals(); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
};

}  // namespace dc

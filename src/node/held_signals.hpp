// The signals that ask a node to end, while it cannot listen to them yet.
#pragma once

namespace dc::node {

/// SIGTERM, SIGINT and SIGHUP wait from here on, in this thread and those that it starts: ended by one of them before
/// its loop runs, a node would leave its files behind.
void hold_signals();
/// One of them has come.
bool signal_waits();
/// They are delivered: there is a handler now.
void release_signals();

}  // namespace dc::node

// The warden: a small process between the node and each worker. It is the worker's parent, and the "subreaper" of all
// that descends from the worker: a process whose parent ends becomes the warden's child, whatever session it is in. So
// a daemon of a living worker lives on; when the worker ends, however it ends, or the node, all of them are ended. A
// worker could not do that itself: it may die by SIGKILL, and its own waitpid(-1) is the user's.
#pragma once

#include <sys/types.h>

namespace dc::node {

/// What the warden writes into its pipe: first the worker's pid (or minus errno: none could be made), at the end this.
struct WardenReport {
  int code;    ///< as in siginfo_t: CLD_EXITED, CLD_KILLED or CLD_DUMPED
  int status;  ///< exit status or signal
};

/// Signals that wake it; the caller has blocked all. The node's end is one: it is asked for by PR_SET_PDEATHSIG.
int warden_node_gone_signal();

/// Runs until worker (a child of this process) or node (its parent) has ended and nothing of theirs is left; reaps
/// whoever ends meanwhile. Neither allocates nor takes a lock: there may have been threads before the fork.
[[noreturn]] void stand_guard(pid_t worker, pid_t node, int report);

/// A memory file with the program that does this (warden_main.cpp); -1: none. Made once. The program is a few pages: as
/// a mere fork, the warden would hold on to all memory that the node has at its birth.
int warden_program();

}  // namespace dc::node

// The node beside a head, in a process of its own.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace dc::cli {

/// Forked before the head makes anything that a fork would tear apart, and held back until the head listens.
class NodeChild {
 public:
  NodeChild() = default;  ///< no node
  /// `run` runs in the new process; what it returns is the exit code. Check problem().
  explicit NodeChild(const std::function<int()>& run);
  NodeChild(const NodeChild&) = delete;
  NodeChild& operator=(const NodeChild&) = delete;
  /// Without wait_for_end() before it, the node is told to leave at once and waited for.
  ~NodeChild();

  /// A sentence when the process could not be made.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  /// Readable when the node has ended; -1 without one.
  [[nodiscard]] int pidfd() const { return pidfd_; }

  /// The head listens: off it goes.
  void start();
  /// It has ended by itself: what there is to say about it; empty when it has said so itself.
  std::string reap();
  /// It ends now; its jobs run elsewhere.
  void leave();
  /// Waits for its end. Signals that ask this process to end are passed on.
  void wait_for_end();

 private:
  std::string problem_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  int go_ = -1;
  bool started_ = false, left_ = false;
};

}  // namespace dc::cli

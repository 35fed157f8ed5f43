// That there is one node of a name per user and machine: locked in two places, so that no cleaner makes room for
// another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/lock_file.hpp"

namespace dc {

/// The file in the run directory goes at the user's last logout, or by age; the one in the state directory stays, and
/// may be on a disk that machines share. Where the state directory cannot be had (a container without a home, a file
/// system without locks), the first alone counts.
class NodeLock {
 public:
  struct Taken;
  /// Never waits for a lock. `name`: empty for the machine's one node without a name.
  static Taken take(const std::string& name);
  /// What the node of this name says of itself, if it runs.
  static std::optional<std::string> owner(const std::string& name);
  /// The names of all nodes of this user that run on this machine.
  static std::vector<std::string> running();

  /// What owner() tells from now on: a JSON object. A sentence about what is wrong, or nothing.
  std::string write(const std::string& content);
  /// Puts back what a cleaner has removed. To be called now and then, by any one thread.
  void look();

 private:
  std::string name_;
  LockFile in_state_, in_run_;
};

struct NodeLock::Taken {
  NodeLock lock;        ///< holds when `owner` and `problem` are empty
  std::string owner;    ///< what the node says that has it
  std::string problem;  ///< a sentence: it cannot be taken
};

}  // namespace dc

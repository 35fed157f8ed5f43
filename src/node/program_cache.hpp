// Executables of C++ pools on this machine, by content hash. Several nodes may share the directory.
//
// A name that is a hash says what the file was, not what it is: a power failure may have cut it, somebody may have
// emptied it. So none is executed before it was stored or checked in this life of the node.
#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "core/payload.hpp"

namespace dc::node {

/// Empty if this machine can execute the program, as far as its header tells; else a sentence that names what differs.
std::string why_not_here(const Payload& program);

class ProgramCache {
 public:
  /// `dir` is made when needed.
  explicit ProgramCache(std::string dir) : dir_(std::move(dir)) {}
  /// Hashes of what is there.
  [[nodiscard]] std::set<std::string> list() const;
  /// Writes the program after checking its hash; removes those not used for longest beyond a bound. Returns a sentence
  /// about what is wrong (disk full, wrong hash, built for another machine), or an empty string. Takes as long as the
  /// disk does: for a thread of its own, like check().
  [[nodiscard]] std::string store(const std::string& hash, const Payload& program);
  /// Reads the file: false if it is not there or not what its name says; then it is removed.
  [[nodiscard]] bool check(const std::string& hash);
  /// True if it is there, as it was when it was stored or checked; counts as a use.
  [[nodiscard]] bool use(const std::string& hash) const;
  [[nodiscard]] std::string path(const std::string& hash) const { return dir_ + "/" + hash; }

 private:
  /// What a file that was written over, or cut, does not keep.
  using Mark = std::pair<ino_t, off_t>;
  std::string write(const std::string& hash, const Payload& program) const;
  void remove_oldest() const;
  void remember(const std::string& hash);

  std::string dir_;
  mutable std::mutex mutex_;
  std::map<std::string, Mark> sound_;  ///< guarded by mutex_: stored or checked in this life
};

}  // namespace dc::node

// Executables of C++ pools on this machine, by content hash. Several nodes may share the directory.
#pragma once

#include <set>
#include <string>

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
  /// about what is wrong (disk full, wrong hash, built for another machine), or an empty string. May be called on any
  /// thread.
  [[nodiscard]] std::string store(const std::string& hash, const Payload& program) const;
  /// True if it is there; counts as a use.
  [[nodiscard]] bool use(const std::string& hash) const;
  [[nodiscard]] std::string path(const std::string& hash) const { return dir_ + "/" + hash; }

 private:
  std::string write(const std::string& hash, const Payload& program) const;
  void remove_oldest() const;

  std::string dir_;
};

}  // namespace dc::node

// Executables of C++ pools on this machine, by content hash.
#pragma once

#include <set>
#include <string>

#include "core/payload.hpp"

namespace dc::node {

class ProgramCache {
 public:
  /// `dir` is made when needed.
  explicit ProgramCache(std::string dir) : dir_(std::move(dir)) {}
  /// Hashes of what is there.
  [[nodiscard]] std::set<std::string> list() const;
  /// Writes the program after checking its hash; removes the oldest ones beyond a bound. Returns a sentence about what
  /// is wrong (disk full, wrong hash, built for another machine), or an empty string.
  [[nodiscard]] std::string store(const std::string& hash, const Payload& program) const;
  [[nodiscard]] std::string path(const std::string& hash) const { return dir_ + "/" + hash; }

 private:
  std::string dir_;
};

}  // namespace dc::node

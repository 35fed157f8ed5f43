// A set of numbers of jobs.
#pragma once

#include <map>
#include <vector>

#include "core/ids.hpp"

namespace dc {

/// Kept as intervals, of which there are few: jobs are numbered in order, and most end nearly so.
class JobNumbers {
 public:
  /// False when it is there already.
  bool add(JobSequence sequence);
  void add(JobSequence first, JobSequence last);
  void remove(JobSequence sequence);
  [[nodiscard]] bool contains(JobSequence sequence) const;
  [[nodiscard]] JobSequence highest() const { return intervals_.empty() ? 0 : intervals_.rbegin()->second; }
  [[nodiscard]] const std::map<JobSequence, JobSequence>& intervals() const { return intervals_; }

 private:
  std::map<JobSequence, JobSequence> intervals_;  ///< first -> last
};

}  // namespace dc

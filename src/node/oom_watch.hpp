// Whether the kernel has ended a process for lack of memory.
#pragma once

#include <cstdint>
#include <filesystem>

namespace dc::node {

/// Watches the counter of processes that the kernel's OOM killer has ended: of this process's own memory control group,
/// which its workers share (cgroup v2: memory.events, v1: memory.oom_control), else of the whole machine
/// (/proc/vmstat). See Documentation/admin-guide/cgroup-v2.rst of Linux. A machine that tells none of them never
/// advances.
class OomWatch {
 public:
  /// `proc` and `cgroups`: where these file systems are mounted; tests have their own.
  explicit OomWatch(std::filesystem::path proc = "/proc", std::filesystem::path cgroups = "/sys/fs/cgroup");

  /// True when processes were ended since the last call (or the construction).
  bool advanced();

 private:
  [[nodiscard]] std::uint64_t count() const;

  std::filesystem::path file_;
  std::uint64_t seen_ = 0;
};

}  // namespace dc::node

// How much of the machine's cores a control group leaves to this process: containers are given time, not cores.
#pragma once

#include <filesystem>
#include <optional>

namespace dc::node {

/// In cores, the least of what this process's control group and those around it allow (cgroup v2: cpu.max, v1:
/// cpu.cfs_quota_us; Documentation/admin-guide/cgroup-v2.rst of Linux); nothing: no limit. `proc` and `cgroups`: where
/// these file systems are mounted; tests have their own.
std::optional<double> cpu_quota(const std::filesystem::path& proc = "/proc",
                                const std::filesystem::path& cgroups = "/sys/fs/cgroup");

}  // namespace dc::node

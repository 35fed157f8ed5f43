// The part of a machine that a batch system has given to this process.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace dc::cli {

struct Allocation {
  std::string job;   ///< "job-12": the same for all its processes
  std::string node;  ///< "job-12-3-0": of its step and this process's place in that, where the batch system tells them
};

/// As the environment tells of it (Slurm, PBS, LSF); nothing outside of a batch job.
std::optional<Allocation> allocation();

/// What --head-timeout says: a number of seconds or "never"; empty: the usual for where this process runs. Nothing: the
/// node waits for ever.
std::optional<std::chrono::seconds> head_timeout(const std::string& text);

/// What is wrong with such a text, or nothing.
std::string head_timeout_check(const std::string& text);

/// What is wrong with the name of a node, or nothing.
std::string name_check(const std::string& text);

}  // namespace dc::cli

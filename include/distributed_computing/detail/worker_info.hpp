// What dc::worker() tells, and where it comes from. Included by worker.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dc {

/// The worker that asks, and the job that it runs: see dc::worker().
struct WorkerInfo {
  std::string host;                         ///< name of the machine
  std::string node;                         ///< name of its node (start_node --name), or of the machine
  std::uint32_t slot{};                     ///< of the node; of a worker of several GPUs the first one
  std::string device;                       ///< "cpu", or name and UUID of the GPU, of several with commas
  std::string pool;                         ///< name of a named pool, else its id, as `status --json` shows it
  std::uint64_t worker_number{};            ///< no other worker of the cluster has or had it
  std::optional<std::uint64_t> job_number;  ///< 1, 2, … in the order of submission to the pool; nothing: no job runs
  std::uint32_t attempt = 0;                ///< 1, 2, … at this job; 0: no job runs
  std::string key;                          ///< of the job, in a named pool; or empty
};

namespace detail {

WorkerInfo this_worker();

}  // namespace detail
}  // namespace dc

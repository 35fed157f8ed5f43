// How a pool is opened.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace dc {

/// First argument of Pool's constructor; use designated initialisers: Pool<Worker>({.password = "123456"}).
struct PoolSettings {
  std::string password;               ///< of the head
  std::string address = "localhost";  ///< of the head: a name or a number
  std::uint16_t port = 8899;          ///< of the head
  /// Of the head's key, as the head shows it ("sha256:…"); empty: the key that was seen first at this address.
  std::string fingerprint;
  double weight = 1.0;                                ///< share of the slots beside other pools, relative to theirs
  std::chrono::milliseconds job_timeout{0};           ///< a job may run so long; 0: no limit
  std::chrono::milliseconds init_timeout{0};          ///< the constructor may take so long; 0: no limit
  std::chrono::milliseconds update_timeout{0};        ///< handle_update may take so long; 0: no limit
  std::uint32_t max_retries = 3;                      ///< workers that may die with a job until it ends in WorkerDied
  std::uint32_t min_workers = 0;                      ///< workers to keep even while there are no jobs
  std::uint64_t min_gpu_memory_mib = 0;               ///< GPU memory that a worker needs; 0: any slot will do
  bool keep_updates_history = true;                   ///< workers that start later first get all earlier updates
  bool retry_exceptions = false;                      ///< a job whose run threw is tried again, under max_retries
  bool show_output = false;                           ///< show on stderr what the workers print
  std::chrono::milliseconds connect_timeout{10'000};  ///< wait so long for the head at first
};

}  // namespace dc

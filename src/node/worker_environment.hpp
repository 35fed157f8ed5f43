// The variables of a worker beside those of its node: its devices, what it is, what its pool sets, and how many threads
// the native thread pools in it (OpenMP, BLAS, …) make.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/job.hpp"

namespace dc::node {

/// Cores that each slot has when all of them work: those that its workers may run on (empty: all of `usable`), each
/// shared by the slots that may.
std::vector<double> core_shares(const std::vector<std::vector<std::uint32_t>>& cpus_of_slots,
                                const std::vector<std::uint32_t>& usable);

/// Who has set a variable. `by_pool`: the pool's env; `by_node`: the node's own environment.
struct SetBy {
  std::function<bool(const char*name)> pool, node;
};

/// "NAME=n" for the thread pools of a worker: `asked` threads, where the pool asks for a number, else `share`, where
/// that is not 0. What the pool has set itself stays, and beside a share what the environment of the node has: there
/// OMP_NUM_THREADS speaks for all of them, as it does for these libraries.
std::vector<std::string> thread_variables(std::uint32_t asked, std::uint32_t share, const SetBy& set);

/// The variable of the node's environment that speaks for a thread pool of its workers; several with commas; or empty.
std::string thread_words(const std::function<bool(const char* name)>& set_in_node);

/// What a worker is, as its own variables say it (DISTRIBUTED_COMPUTING_...; read by worker/record.cpp).
struct WorkerFacts {
  WorkerId worker;
  std::string host, node;
  std::uint32_t slot{};
  std::string device;
  std::string pool;
};
std::vector<std::string> variables_of(const WorkerFacts& facts);

/// Puts the variables of a worker together. `devices`: those that show it its own. What the pool sets is taken but for
/// what is not its to set; relative entries of search paths are left out, as in the node's (see python_worker.hpp).
std::vector<std::string> worker_environment(std::vector<std::string> devices, const WorkerFacts& facts,
                                            const PoolOptions& options, std::uint32_t share);

}  // namespace dc::node

// One seed from beginning to end: builds the cluster of the plan, lets faults happen, lets them end, and looks whether
// everything was finished and nothing is left.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "carrier.hpp"
#include "client.hpp"
#include "head_process.hpp"
#include "ledger.hpp"
#include "network.hpp"
#include "node_process.hpp"
#include "plan.hpp"

namespace dc::sim {

/// What came of a seed.
struct Report {
  std::uint64_t seed = 0, events = 0, trace_hash = 0, jobs_run = 0, outcomes = 0;
  std::string violation;  ///< empty: every promise was kept
};

class Cluster {
 public:
  Cluster(std::uint64_t seed, Size size, bool tracing);
  Report run();

 private:
  friend class Faults;
  void begin();
  void add_head();
  /// The one that peers are served by; null: none is.
  [[nodiscard]] HeadProcess* serving() const;
  void look_after_heads();
  void check_one_head();
  [[nodiscard]] Duration settling() const;
  void add_node(NodePlan plan);
  void add_client(std::unique_ptr<Client> client, Duration starts_after);
  void heal();
  void run_until_over();
  void check_nothing_left();
  void check_shares();
  [[nodiscard]] Duration gathering_max() const;
  void check_stall(int seconds);
  bool full(NodeId node, PoolId pool) const;
  std::uint64_t results_of(PoolId pool);
  const WorkerProcess* find_worker(WorkerId id) const;

  const std::uint64_t seed_;
  World world_;
  const Plan plan_;
  Ledger ledger_{world_};
  Carrier carrier_{world_};
  Network network_{world_, carrier_};
  HeadsRecord heads_record_;
  JournalRecord journal_{world_, ledger_, plan_};
  std::vector<std::unique_ptr<HeadProcess>> heads_;
  std::vector<std::unique_ptr<NodeProcess>> nodes_;
  std::vector<std::unique_ptr<Client>> clients_;
  struct Stall {
    int seconds = 0;         ///< for so long a pool has had work and idle workers
    std::uint64_t came = 0;  ///< results that had come before
  };
  std::map<PoolId, Stall> stalled_;
};

Report run_seed(std::uint64_t seed, Size size, bool tracing);

}  // namespace dc::sim

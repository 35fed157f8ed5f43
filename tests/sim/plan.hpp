// What a seed decides before the world begins: topology, load, and which faults are on.
#pragma once

#include <string>
#include <vector>

#include "core/job.hpp"
#include "ledger.hpp"
#include "network.hpp"
#include "world.hpp"

namespace dc::sim {

/// How often something happens, as a share of 100.
using Percent = std::uint64_t;

struct ConstructorFaults {
  Percent raises = 0, dies = 0, hangs = 0;  ///< of each construction
  Percent bad_slots = 0;                    ///< slots on which it always raises
  [[nodiscard]] bool any() const { return raises + dies + hangs + bad_slots > 0; }
};

struct PoolPlan {
  PoolOptions options;
  Duration opens_after{};
  std::size_t jobs = 0, waves = 1;
  Duration job_min{}, job_max{};
  Percent raises = 0, poison = 0, ends_worker = 0, hangs = 0;  ///< of the jobs
  std::size_t updates = 0;
  std::size_t arguments_bytes = 0, result_bytes = 0, update_bytes = 0, spec_bytes = 0;
  Percent large_share = 0;  ///< of the payloads above: they have that size; the others are small
  std::size_t window = 0;   ///< outcomes that may wait for the consumer; 0: it takes all at once
  Duration thinking{};      ///< the user's pause between submitting and submitting again
  Duration consuming{};     ///< time that the consumer takes for each
  Duration construction{}, update_time{};
  ConstructorFaults constructor;
  Percent update_raises = 0;
  bool drops_a_stream = false, closes_early = false;
  std::uint32_t wants_workers = 0;
  bool named = false;        ///< it outlives its clients, of which there are several
  std::size_t programs = 1;  ///< of a named pool: so many programs may want it at a time
  Percent keyed = 0;         ///< of a named pool's jobs
};

struct NodePlan {
  std::string host;
  std::vector<SlotInfo> slots;
  Duration joins_after{};
};

/// Mean time between two faults of a kind; zero: off.
struct FaultPlan {
  Duration link_break{}, half_open{}, silence{}, latency{};
  Duration worker_kill{}, node_crash{}, node_drain{}, node_freeze{}, node_join{};
  Duration head_crash{}, head_stop{}, head_freeze{};
  Duration client_crash{}, client_freeze{};
  Duration store_full{}, store_silent{}, store_cut{};
  Fatal fatal;
  Duration slot_trouble{};       ///< somebody takes the memory of a slot, or its device is lost, for a while
  Percent stubborn_workers = 0;  ///< that ignore SIGTERM
  Percent workers_hang_up = 0;
  Percent spawn_fails = 0, program_lost = 0;
  [[nodiscard]] bool any() const;
};

/// Most clusters are small, so that thousands can be looked at: what goes wrong needs few nodes and jobs as a rule.
enum class Size {
  drawn,       ///< small as a rule, and now and then one of the others
  many_nodes,  ///< 200
  many_jobs,   ///< 20,000 of one pool
};

struct Plan {
  Size size = Size::drawn;
  std::vector<NodePlan> nodes;
  std::vector<PoolPlan> pools;
  FaultPlan faults;
  Duration faults_end{};  ///< from then on all is well
  Duration latency_max{}, transfer_max{};
  Duration turn_max{};                ///< of an event loop: what arrives within one is decided together
  Duration write_max{};               ///< that the store takes for a group of entries
  Percent written_twice = 0;          ///< groups of changes of the journal that are made twice
  std::size_t dead_entries_max = 64;  ///< see head::PoolBounds
  std::uint64_t result_window = 0;    ///< bytes of results of a pool that may be under way; 0: the product's limits
  std::uint64_t pool_bytes_max = 0;   ///< that a named pool may keep; 0: no bound
  bool standby = false;               ///< two heads share the store, and one stands by
  Percent answers_lost = 0, answers_slow = 0;  ///< to renewals of their lease
  bool carried = false;                        ///< every message becomes bytes and a message again
  bool quiet = false;                          ///< no faults and plenty of work: the shares of the pools are checked
  /// The head's invariants are looked at once in so many turns: that takes longer the more it knows.
  std::uint64_t turns_between_looks = 1;
  [[nodiscard]] std::string text() const;
};

/// `size`: other than drawn, to have many clusters of that kind.
Plan make_plan(Chance& chance, Size size);

}  // namespace dc::sim

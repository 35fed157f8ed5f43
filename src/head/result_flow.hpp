// How much of a pool's results may be under way to its client, so that one that reads slowly fills neither the head's
// memory nor a node's session: the nodes keep the rest.
//
// Small results: limits::result_window_bytes of a pool are shared evenly by the nodes that have it. A node sends within
// its window and gets room again with every acknowledgement that it hears of anyway, so nothing is said per result; the
// windows change only when the number of nodes passes a power of two.
//
// A result that is larger than its node's window waits for its turn. Turns of a pool go round its nodes, and are given
// as long as their results stay within limits::result_turns_bytes, or fewer than two are out: one comes in while one
// goes out. So of one pool the head holds at most both figures, or two results if these are larger. Results of nodes
// that have gone since take the place of others until the client has them.
//
// What a named pool keeps is on its way to the store, not to a client, and needs less room.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"
#include "core/limits.hpp"

namespace dc::head {

class ResultFlow {
 public:
  /// What a node is to be told: its window, and the result whose turn it is.
  struct Say {
    NodeId node;
    PoolId pool;
    std::uint64_t window{};
    std::optional<Attempt> turn;
    bool operator==(const Say&) const = default;
  };
  using Says = std::vector<Say>;

  struct Room {
    std::uint64_t window{}, turns{};
  };
  struct Limits {
    Room direct = {limits::result_window_bytes, limits::result_turns_bytes};
    Room kept = {limits::kept_window_bytes, limits::kept_turns_bytes};
    std::uint64_t window_min = limits::result_window_min;
  };
  explicit ResultFlow(Limits limits) : limits_(limits) {}

  /// The node has the pool, in this session: it is told its window. `kept`: its results go into the store.
  void add(PoolId pool, NodeId node, bool kept, Says& out);
  void remove(PoolId pool, NodeId node, Says& out);
  /// The node's session is over: it will ask again.
  void remove(NodeId node, Says& out);
  void close(PoolId pool);
  /// So many bytes of results of nodes that are gone wait for the pool's client: others get less room meanwhile.
  void strand(PoolId pool, std::uint64_t bytes, Says& out);
  /// The node keeps this result, which is larger than its window.
  void ask(PoolId pool, NodeId node, const Attempt& attempt, std::uint64_t bytes, Says& out);
  /// The node is told that it need not keep this result any longer.
  void acknowledged(PoolId pool, NodeId node, const Attempt& attempt, Says& out) {
    if (turns_ > 0) give_back(pool, node, attempt, out);
  }

 private:
  struct Turn {
    NodeId node;
    Attempt attempt;
    std::uint64_t bytes{};
  };
  struct Pool {
    std::map<NodeId, std::deque<Turn>> nodes;  ///< that have it, with what waits for its turn
    Room room;
    std::uint64_t window = 0;
    std::vector<Turn> out;  ///< given and not acknowledged
    std::uint64_t out_bytes = 0;
    std::uint64_t stranded = 0;  ///< bytes of results of nodes that are gone
    NodeId last;                 ///< had the latest turn
  };
  void give_back(PoolId pool, NodeId node, const Attempt& attempt, Says& out);
  void share(PoolId id, Pool& pool, Says& out) const;
  void give_turns(PoolId id, Pool& pool, Says& out) const;
  void drop_turns(Pool& pool, NodeId node);

  Limits limits_;
  std::map<PoolId, Pool> pools_;
  std::map<NodeId, std::vector<PoolId>> pools_of_;  ///< may name some that are closed
  std::uint64_t turns_ = 0;                         ///< asked for or given, of all pools
};

}  // namespace dc::head

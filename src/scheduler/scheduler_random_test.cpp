// A small seeded world of nodes, workers and clients round the scheduler: crashes, breaks, late messages, updates,
// pools that come and go. After every step the scheduler must be consistent; at the end every job must have exactly one
// outcome.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <set>

#include "core/check.hpp"
#include "scheduler/scheduler.hpp"

namespace dc::scheduler {
namespace {

struct FakeWorker {
  PoolId pool;
  std::uint32_t slot{};
  bool ready = false;
  UpdateNumber updates{};
  std::deque<RunJob> jobs;
};

struct FakeNode {
  NodeId id;
  bool connected = false;
  bool alive = true;
  TimePoint returns{};
  std::map<PoolId, UpdateNumber> pools;
  std::set<PoolId> active;
  std::map<PoolId, std::map<JobSequence, Token>> finished;  ///< kept results
  std::map<WorkerId, FakeWorker> workers;
};

struct FakePool {
  JobSequence submitted = 0;
  UpdateNumber updates = 0;
  std::set<JobSequence> outstanding;
  std::map<JobSequence, UpdateNumber> after;
  std::uint64_t delivered = 0;
  bool open = true;
};

class World {
 public:
  explicit World(unsigned seed) : random_(seed), scheduler_(seed + 1, now_) {
    for (std::uint64_t i = 1; i <= 1 + pick(3); ++i) {
      nodes_[NodeId{i}].id = NodeId{i};
      connect(nodes_[NodeId{i}]);
    }
    for (std::uint64_t i = 1; i <= 1 + pick(3); ++i) open(PoolId{i});
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) step(true);
    for (auto& [id, node] : nodes_) {
      if (!node.connected) connect(node);
    }
    for (int i = 0; i < 200'000 && !complete(); ++i) step(false);
    for (auto& [id, pool] : pools_) {
      EXPECT_TRUE(!pool.open || pool.outstanding.empty()) << pool.outstanding.size() << " jobs of pool " << id.value;
    }
  }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  template <class Map>
  auto& any(Map& map) {
    return std::next(map.begin(), static_cast<std::ptrdiff_t>(pick(map.size())))->second;
  }
  bool complete() {
    for (auto& [id, pool] : pools_) {
      if (pool.open && !pool.outstanding.empty()) return false;
    }
    return true;
  }

  template <class Event>
  void tell(Event event) {
    Commands out;
    scheduler_.on(std::move(event), now_, out);
    obey(out);
    if (pick(3) == 0) flush();
  }
  void flush() {
    Commands out;
    scheduler_.flush(now_, out);
    obey(out);
    scheduler_.check_invariants();
  }

  void open(PoolId id) {
    pools_[id];
    PoolOptions options;
    options.max_retries = 1'000'000;
    options.weight = 1.0 + static_cast<double>(pick(3));
    tell(PoolOpened{id, options, false});
  }

  void connect(FakeNode& node) {
    node.connected = true;
    NodeJoined event{node.id, "host", {{0, "cpu", 0}, {1, "cpu", 0}}, {}, {}};
    for (auto& [pool, updates] : node.pools) {
      event.pools.push_back({pool, updates, {}});
      for (auto& [sequence, token] : node.finished[pool]) event.pools.back().finished.push_back({sequence, token});
    }
    node.active.clear();
    for (auto& [id, worker] : node.workers) {
      event.workers.push_back({id, worker.pool, worker.slot, worker.ready, 1, worker.updates, {}});
      for (auto& job : worker.jobs) event.workers.back().held.push_back({job.sequence, job.token});
    }
    tell(std::move(event));
  }

  void obey(const Commands& commands) {
    for (const Command& command : commands) {
      std::visit([this](const auto& order) { carry_out(order); }, command);
    }
  }
  FakeNode* reach(NodeId id) { return nodes_[id].connected ? &nodes_[id] : nullptr; }
  void carry_out(const OpenPoolOnNode& order) {
    if (auto* node = reach(order.node)) node->pools[order.pool] = 0, node->active.insert(order.pool);
  }
  void carry_out(const ClosePoolOnNode& order) {
    if (auto* node = reach(order.node)) {
      node->pools.erase(order.pool);
      node->finished.erase(order.pool);
      for (auto& [id, worker] : node->workers) {
        if (worker.pool == order.pool) doomed_.emplace_back(node->id, id);
      }
    }
  }
  void carry_out(const ActivatePoolOnNode& order) {
    if (auto* node = reach(order.node)) node->active.insert(order.pool), resend_.emplace_back(node->id, order.pool);
  }
  void carry_out(const SendUpdate& order) {
    if (auto* node = reach(order.node)) {
      DC_CHECK(node->pools[order.pool] + 1 == order.number);
      node->pools[order.pool] = order.number;
    }
  }
  void carry_out(const StartWorker& order) {
    if (auto* node = reach(order.node)) node->workers[order.worker] = {order.pool, order.slot, false, 0, {}};
  }
  void carry_out(const StopWorker& order) {
    if (reach(order.node)) doomed_.emplace_back(order.node, order.worker);
  }
  void carry_out(const RunJob& order) {
    auto* node = reach(order.node);
    if (!node || !node->workers.contains(order.worker)) return;
    DC_CHECK(node->pools[order.pool] >= order.after_update);
    node->active.insert(order.pool);
    node->workers[order.worker].jobs.push_back(order);
  }
  void carry_out(const Recall& order) {
    auto* node = reach(order.node);
    if (!node || !node->workers.contains(order.worker)) return;
    recalls_.push_back(order);
  }
  void carry_out(const AckResult& order) {
    if (auto* node = reach(order.node)) {
      auto& kept = node->finished[order.pool];
      if (const auto found = kept.find(order.attempt.sequence);
          found != kept.end() && found->second == order.attempt.token) {
        kept.erase(found);
      }
    }
  }
  void carry_out(const DeliverOutcome& order) {
    FakePool& pool = pools_[order.pool];
    if (pool.outstanding.erase(order.sequence) > 0) ++pool.delivered;
    acknowledge_[order.pool].push_back(order.sequence);
  }
  void carry_out(const PoolFailed&) { FAIL() << "no constructor fails in this world"; }
  void carry_out(const Contradiction& wrong) { FAIL() << "nobody lies in this world: " << wrong.what; }
  template <class Order>
  void carry_out(const Order&) {}

  void finish(FakeNode& node, WorkerId id) {
    FakeWorker& worker = node.workers[id];
    if (!worker.ready) {
      worker.ready = true;
      worker.updates = node.pools[worker.pool];
      if (node.connected) tell(WorkerReady{node.id, id, 1});
      return;
    }
    if (worker.jobs.empty()) return;
    const RunJob job = worker.jobs.front();
    worker.jobs.pop_front();
    worker.updates = node.pools[worker.pool];
    DC_CHECK(worker.updates >= pools_[job.pool].after[job.sequence]);
    node.finished[job.pool][job.sequence] = job.token;
    if (node.connected && node.active.contains(job.pool)) {
      tell(JobFinished{node.id, id, job.pool, {job.sequence, job.token}, Duration(1 + pick(100'000'000)), {}});
    }
  }

  void kill(FakeNode& node, WorkerId id, ExitCause cause) {
    const auto found = node.workers.find(id);
    if (found == node.workers.end()) return;
    WorkerExited event{node.id, id, cause, {}, {}, {}};
    for (const RunJob& job : found->second.jobs) {
      (event.running.empty() && found->second.ready ? event.running : event.unstarted)
          .push_back({job.sequence, job.token});
    }
    node.workers.erase(found);
    if (node.connected) tell(std::move(event));
  }

  void handle_pending() {
    const auto doomed = std::exchange(doomed_, {});
    for (const auto& [node, worker] : doomed) kill(nodes_[node], worker, ExitCause::requested);
    const auto recalls = std::exchange(recalls_, {});
    for (const Recall& order : recalls) {
      FakeNode& node = nodes_[order.node];
      const auto found = node.workers.find(order.worker);
      if (!node.connected || found == node.workers.end()) continue;
      JobsRecalled event{order.node, order.worker, {}};
      auto& jobs = found->second.jobs;
      while (event.attempts.size() < order.count && jobs.size() > 1) {
        event.attempts.push_back({jobs.back().sequence, jobs.back().token});
        jobs.pop_back();
      }
      tell(std::move(event));
    }
    const auto resend = std::exchange(resend_, {});
    for (const auto& [id, pool] : resend) {
      FakeNode& node = nodes_[id];
      if (!node.connected) continue;
      const auto finished = node.finished[pool];
      for (const auto& [sequence, token] : finished) {
        tell(JobFinished{id, WorkerId{}, pool, {sequence, token}, 1ms, {}});
      }
    }
  }

  void step(bool faults) {
    now_ += Duration(pick(3'000'000));
    handle_pending();
    FakePool& pool = any(pools_);
    const PoolId pool_id =
        std::find_if(pools_.begin(), pools_.end(), [&](auto& p) { return &p.second == &pool; })->first;
    FakeNode& node = any(nodes_);
    switch (faults ? pick(16) : 2 + pick(4)) {
      case 0:
        if (pool.open) submit(pool_id, pool);
        break;
      case 1:
        if (pool.open) tell(UpdateAdded{pool_id, ++pool.updates, {}});
        break;
      case 6:
        if (node.connected && pick(8) == 0) disconnect(node);
        break;
      case 7:
        if (!node.connected && now_ >= node.returns) connect(node);
        break;
      case 8:
        if (!node.workers.empty() && pick(6) == 0) {
          kill(node, std::next(node.workers.begin(), static_cast<std::ptrdiff_t>(pick(node.workers.size())))->first,
               ExitCause::died);
        }
        break;
      case 9:
        if (pick(40) == 0 && pool.open && pool_id.value > 1) close(pool_id, pool);
        break;
      case 10:
        if (pool.open) {
          tell(ClientReturned{pool_id, {pool.outstanding.begin(), pool.outstanding.end()}});
        }
        break;
      case 11:
        if (pick(20) == 0) restart(node);
        break;
      default:
        if (!node.workers.empty()) {
          finish(node, std::next(node.workers.begin(), static_cast<std::ptrdiff_t>(pick(node.workers.size())))->first);
        }
    }
    auto& waiting = acknowledge_[pool_id];
    if (!waiting.empty() && pick(4) == 0) tell(OutcomesAcknowledged{pool_id, std::exchange(waiting, {})});
    if (pick(2) == 0 || scheduler_.next_deadline() <= now_) flush();
  }
  void submit(PoolId id, FakePool& pool) {
    JobsSubmitted event{id, {}};
    for (std::uint64_t i = 0; i <= pick(10); ++i) {
      event.jobs.push_back({++pool.submitted, pool.updates, {}});
      pool.after[pool.submitted] = pool.updates;
      pool.outstanding.insert(pool.submitted);
    }
    tell(std::move(event));
  }
  void disconnect(FakeNode& node) {
    node.connected = false;
    node.returns = now_ + Duration(pick(3'000'000'000));
    tell(NodeDisconnected{node.id});
  }
  void restart(FakeNode& node) {
    if (node.connected) tell(NodeGone{node.id});
    node.workers.clear();
    node.pools.clear();
    node.finished.clear();
    connect(node);
  }
  void close(PoolId id, FakePool& pool) {
    pool.open = false;
    tell(PoolClosed{id});
  }

  std::mt19937_64 random_;
  TimePoint now_{std::chrono::hours(1)};
  Scheduler scheduler_;
  std::map<NodeId, FakeNode> nodes_;
  std::map<PoolId, FakePool> pools_;
  std::map<PoolId, std::vector<JobSequence>> acknowledge_;
  std::vector<std::pair<NodeId, WorkerId>> doomed_;
  std::vector<std::pair<NodeId, PoolId>> resend_;
  std::vector<Recall> recalls_;
};

TEST(SchedulerRandom, EveryJobHasExactlyOneOutcomeWhateverBreaks) {
  for (unsigned seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    World(seed).run(1500);
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace dc::scheduler

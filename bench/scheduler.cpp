// What the scheduler costs a head of any size: a made-up cluster asks and answers, and only the scheduler's calls are
// timed. `make bench-scheduler` runs it for the sizes of its table; each line of bench/scheduler.jsonl is one size.
//
// Usage: bench_scheduler NODES SLOTS JOBS POOLS
//
// The clock of the scheduler goes on by what its calls took, as in a head that does nothing else.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/limits.hpp"
#include "scheduler/scheduler.hpp"

namespace {

using namespace dc;             // NOLINT: a program of one file
using namespace dc::scheduler;  // NOLINT

struct Size {
  std::uint32_t nodes{}, slots{};
  std::uint64_t jobs{};
  std::uint32_t pools{};
};

double microseconds(Duration duration) { return std::chrono::duration<double, std::micro>(duration).count(); }

double median(std::vector<double> figures) {
  std::sort(figures.begin(), figures.end());
  return figures.empty() ? 0 : figures[figures.size() / 2];
}

/// A head's scheduler, and all who talk with it.
class Cluster {
 public:
  Cluster(std::uint32_t epoch, std::uint32_t slots, Duration run_time)
      : slots_(slots), run_time_(run_time), scheduler_(epoch, now_) {}

  // --- What happens: how long the scheduler took, in microseconds ---

  template <class Event>
  double tell(Event event) {
    return timed([&] { scheduler_.on(std::move(event), now_, commands_); });
  }
  double flush() {
    return timed([&] { scheduler_.flush(now_, commands_); });
  }
  /// Until nobody is started or stopped any more.
  void settle() {
    do {
      flush();
      now_ += 20ms;
    } while (answer_starts() > 0);
  }
  void pass(Duration time) { now_ += time; }

  double join(NodeId id) {
    NodeJoined event{id, "host", {}, {}, {}};
    for (std::uint32_t i = 0; i < slots_; ++i) event.slots.push_back({i, "cpu"});
    return tell(std::move(event));
  }
  /// With all that it has.
  double join_again(NodeId id) {
    NodeJoined event{id, "host", {}, {}, {}};
    for (std::uint32_t i = 0; i < slots_; ++i) event.slots.push_back({i, "cpu"});
    std::map<PoolId, bool> pools;
    for (const auto& [worker, there] : workers_) {
      if (there.node != id) continue;
      pools[there.pool] = true;
      event.workers.push_back({worker, there.pool, there.slot, true, 99, 0, {there.held.begin(), there.held.end()}});
    }
    for (const auto& [pool, has] : pools) event.pools.push_back({pool, 0, {}});
    return tell(std::move(event));
  }
  void forget_node(NodeId id) {
    std::erase_if(workers_, [&](const auto& worker) { return worker.second.node == id; });
  }

  void open(PoolId pool, bool resumed = false) {
    tell(PoolOpened{pool, {}, resumed});
    next_job_.try_emplace(pool, 1);
  }
  double submit(PoolId pool, std::uint64_t count) {
    double spent = 0;
    JobSequence& next = next_job_[pool];
    while (count > 0) {
      const std::uint64_t some = std::min<std::uint64_t>(count, 1024);
      JobsSubmitted event{pool, {}};
      for (std::uint64_t i = 0; i < some; ++i) event.jobs.push_back({next++, 0, {}});
      spent += tell(std::move(event));
      count -= some;
    }
    return spent;
  }

  /// So many of the jobs that began first end, are acknowledged, and are followed by new ones if `goes_on`;
  /// microseconds for each.
  double turn(std::uint64_t count, bool goes_on = true) {
    double spent = 0;
    std::map<PoolId, std::vector<JobSequence>> ended;
    std::uint64_t done = 0;
    while (done < count && !running_.empty()) {
      const auto [id, attempt] = running_.front();
      running_.pop_front();
      const auto worker = workers_.find(id);
      if (worker == workers_.end()) continue;
      auto& held = worker->second.held;
      const auto found = std::find(held.begin(), held.end(), attempt);
      if (found == held.end()) continue;
      held.erase(found);
      ended[worker->second.pool].push_back(attempt.sequence);
      spent += tell(JobFinished{worker->second.node, id, worker->second.pool, attempt, run_time_, {}});
      ++done;
    }
    for (auto& [pool, sequences] : ended) {
      const std::uint64_t jobs = sequences.size();
      spent += tell(OutcomesAcknowledged{pool, std::move(sequences)});
      if (goes_on) spent += submit(pool, jobs);
    }
    spent += flush();
    answer_starts();
    return done == 0 ? 0 : spent / static_cast<double>(done);
  }
  double look() {
    return timed([&] { (void)scheduler_.status(); });
  }
  /// The worker that began first dies.
  double lose_worker() {
    const auto [id, there] = *workers_.begin();
    WorkerExited event{there.node, id, ExitCause::died, ErrorInfo::of(ErrorKind::worker_died, "it is gone"), {}, {}};
    for (const Attempt& attempt : there.held)
      (event.running.empty() ? event.running : event.unstarted).push_back(attempt);
    workers_.erase(id);
    return tell(std::move(event));
  }
  /// Another head, which is told all this again: pools and jobs first, as far as `jobs_first`, else the nodes.
  double restart(std::uint32_t nodes, bool jobs_first) {
    Cluster next(78, slots_, run_time_);
    next.workers_ = workers_;
    double spent = 0;
    const auto tell_jobs = [&] {
      for (const auto& [pool, end] : next_job_) {
        next.open(pool, true);
        spent += next.submit(pool, end - 1);
        spent += next.tell(PoolResumed{pool});
      }
    };
    if (jobs_first) tell_jobs();
    for (std::uint32_t i = 1; i <= nodes; ++i) {
      spent += next.join_again(NodeId{i});
      spent += next.flush();
    }
    if (!jobs_first) tell_jobs();
    return spent + next.flush();
  }

 private:
  struct Worker {
    NodeId node;
    PoolId pool;
    std::uint32_t slot{};
    std::deque<Attempt> held;
  };
  template <class Call>
  double timed(Call call) {
    const auto began = std::chrono::steady_clock::now();
    call();
    const Duration took = std::chrono::steady_clock::now() - began;
    now_ += took;
    take_commands();
    return microseconds(took);
  }
  void take_commands() {
    for (Command& command : commands_) {
      if (const auto* start = std::get_if<StartWorker>(&command)) {
        workers_[start->worker] = {start->node, start->pool, start->slot, {}};
        starts_.push_back(start->worker);
      } else if (const auto* stop = std::get_if<StopWorker>(&command)) {
        stops_.push_back(stop->worker);
      } else if (const auto* run = std::get_if<RunJob>(&command)) {
        workers_[run->worker].held.push_back({run->sequence, run->token});
        running_.emplace_back(run->worker, Attempt{run->sequence, run->token});
      }
    }
    commands_.clear();
  }
  std::size_t answer_starts() {
    std::size_t count = 0;
    for (const WorkerId id : std::exchange(starts_, {})) {
      const auto worker = workers_.find(id);
      if (worker == workers_.end()) continue;
      tell(WorkerReady{worker->second.node, id, 99});
      ++count;
    }
    for (const WorkerId id : std::exchange(stops_, {})) {
      const auto worker = workers_.find(id);
      if (worker == workers_.end()) continue;
      const NodeId node = worker->second.node;
      workers_.erase(worker);
      tell(WorkerExited{node, id, ExitCause::requested, {}, {}, {}});
      ++count;
    }
    return count;
  }

  const std::uint32_t slots_;
  const Duration run_time_;
  TimePoint now_{std::chrono::hours(1)};
  Scheduler scheduler_;
  Commands commands_;
  std::map<WorkerId, Worker> workers_;
  std::deque<std::pair<WorkerId, Attempt>> running_;  ///< in the order in which they began
  std::vector<WorkerId> starts_, stops_;
  std::map<PoolId, JobSequence> next_job_;
};

class Bench {
 public:
  explicit Bench(const Size& size) : size_(size), cluster_(77, size.slots, 10s) {
    json_ = {{"nodes", size.nodes}, {"slots", size.slots}, {"jobs", size.jobs}, {"pools", size.pools}};
  }

  void run() {
    begin();
    for (const std::uint64_t count : {1024U, 64U, 1U})
      note(fmt::format("job, {} per turn", count), repeat([&] { return cluster_.turn(count); }, 200));
    note("worker dies", repeat([&] { return cluster_.lose_worker() + settled(); }, 20));
    nodes_come_and_go();
    note("pool opens", repeat([&] { return pool_opens(); }, 20));
    note("status", repeat([&] { return cluster_.look(); }, 20));
    lose_many();
    note("restart, jobs first", cluster_.restart(size_.nodes, true));
    note("restart, nodes first", cluster_.restart(size_.nodes, false));
    one_job_among_idle();
  }
  [[nodiscard]] std::string line() const { return json_.dump(); }

 private:
  void begin() {
    for (std::uint32_t i = 1; i <= size_.nodes; ++i) cluster_.join(NodeId{i});
    double spent = 0;
    for (std::uint32_t i = 1; i <= size_.pools; ++i) {
      cluster_.open(PoolId{i});
      spent += cluster_.submit(PoolId{i}, size_.jobs / size_.pools);
    }
    note("job is submitted", spent / static_cast<double>(size_.jobs));
    cluster_.settle();
  }
  double settled() {
    const double spent = cluster_.flush();
    cluster_.settle();
    return spent;
  }
  void nodes_come_and_go() {
    const NodeId id{size_.nodes + 1};
    std::vector<double> joins, returns, losses;
    for (int i = 0; i < 5; ++i) {
      joins.push_back(cluster_.join(id) + settled());
      cluster_.tell(NodeDisconnected{id});
      cluster_.flush();
      returns.push_back(cluster_.join_again(id) + settled());
      losses.push_back(cluster_.tell(NodeGone{id}) + cluster_.flush());
      cluster_.forget_node(id);
      cluster_.settle();
    }
    note("node joins", median(joins));
    note("node returns", median(returns));
    note("node is lost", median(losses));
  }
  double pool_opens() {
    const PoolId id{1'000'000};
    cluster_.open(id);
    const double spent = cluster_.flush();
    cluster_.tell(PoolClosed{id});
    cluster_.settle();
    return spent;
  }
  /// A tenth of the nodes at once: the longest call, and all.
  void lose_many() {
    const std::uint32_t count = std::max(1U, size_.nodes / 10);
    for (std::uint32_t i = 1; i <= count; ++i) cluster_.tell(NodeDisconnected{NodeId{i}});
    cluster_.flush();
    cluster_.pass(limits::node_return_grace + 1ms);
    note("tenth of the nodes is lost", cluster_.flush());
    for (std::uint32_t i = 1; i <= count; ++i) cluster_.forget_node(NodeId{i});
    cluster_.settle();
    for (std::uint32_t i = 1; i <= count; ++i) cluster_.join(NodeId{i});
    cluster_.settle();
  }
  void one_job_among_idle() {
    Cluster idle(79, size_.slots, 10s);
    for (std::uint32_t i = 1; i <= size_.nodes; ++i) idle.join(NodeId{i});
    for (std::uint32_t i = 1; i <= size_.pools; ++i) {
      idle.open(PoolId{i});
      idle.submit(PoolId{i}, std::max<std::uint64_t>(1, std::uint64_t{size_.nodes} * size_.slots / size_.pools));
    }
    idle.settle();
    idle.turn(std::uint64_t{size_.nodes} * size_.slots, false);
    idle.settle();
    idle.submit(PoolId{1}, 1);
    idle.flush();
    note("job among idle workers", repeat([&] { return idle.turn(1); }, 50));
  }

  double repeat(const std::function<double()>& once, int times) {
    std::vector<double> figures;
    const auto end = std::chrono::steady_clock::now() + 2s;
    for (int i = 0; i < times && (i < 3 || std::chrono::steady_clock::now() < end); ++i) figures.push_back(once());
    return median(figures);
  }
  void note(const std::string& what, double figure) {
    json_[what] = figure;
    fmt::print(stderr, "{:<28} {:>14.2f} us\n", what, figure);
  }

  const Size size_;
  Cluster cluster_;
  nlohmann::ordered_json json_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: bench_scheduler NODES SLOTS JOBS POOLS\n");
    return 2;
  }
  const auto number = [&](int place) { return std::strtoull(argv[place], nullptr, 10); };
  const Size size{static_cast<std::uint32_t>(number(1)), static_cast<std::uint32_t>(number(2)), number(3),
                  static_cast<std::uint32_t>(number(4))};
  if (size.nodes == 0 || size.slots == 0 || size.pools == 0 || size.jobs < size.pools) {
    fmt::print(stderr, "bench_scheduler: every size is 1 at least, and each pool has a job\n");
    return 2;
  }
  Bench bench(size);
  bench.run();
  fmt::print("{}\n", bench.line());
  return 0;
}

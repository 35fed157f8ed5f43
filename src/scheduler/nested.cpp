// See nested.hpp. Also: which of the pools that are stuck gives up, and when.
//
// A worker is blocked when what it does now waits, without a limit, for a pool that is stuck. A pool is stuck when all
// that its client waits for would have to come from blocked workers, or from slots that these hold. Both are found by
// taking every pool that is waited for to be stuck at first, and crossing out those that are not until none is left to
// be crossed out: what is kept waits in a circle.
#include "scheduler/nested.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "scheduler/devices.hpp"

namespace dc::scheduler {
namespace {

/// The worker does what its pool's client may be part of: a job, an update, or its constructor.
bool is_in(const Pool& pool, const Worker& worker) {
  const Opener& opener = *pool.opener;
  if (worker.stopping || !worker.pool) return false;
  if (!worker.ready) return opener.constructing;
  if (opener.pid == worker.pid) return !is_idle(worker);
  // What a job has started may live on, and wait, when the job has ended.
  return opener.job && !worker.held.empty() && worker.held.front().attempt == *opener.job;
}

class Look {
 public:
  Look(std::set<Pool*>& stuck, const std::map<NodeId, std::unique_ptr<Node>>& nodes,
       const std::unordered_map<WorkerId, Worker*>& workers)
      : stuck_(stuck), nodes_(nodes) {
    for (const Pool* pool : stuck) {
      const auto opener = workers.find(pool->opener->worker);
      if (opener != workers.end() && is_in(*pool, *opener->second)) blocked_.insert(opener->second);
    }
  }

  [[nodiscard]] bool is_stuck(const Pool& pool) const {
    const Opener& opener = *pool.opener;
    const bool holds = std::any_of(blocked_.begin(), blocked_.end(),
                                   [&](const Worker* worker) { return worker->id == opener.worker; });
    if (!holds) return false;
    return (!opener.results || lacks_results(pool)) && (!opener.workers || lacks_workers(pool)) &&
           (!opener.updates || lacks_updates(pool));
  }

 private:
  [[nodiscard]] bool blocked(const Worker& worker) const { return blocked_.contains(&worker); }

  /// Its jobs are in the hands of blocked workers, or wait for a worker that cannot come.
  [[nodiscard]] bool lacks_results(const Pool& pool) const {
    if (pool.queued + pool.assigned == 0) return false;
    std::uint64_t held = 0;
    bool any_free = false, in_reserve = false;
    for (const Worker* worker : pool.workers) {
      if (!blocked(*worker) && !worker->held.empty()) return false;
      any_free |= !blocked(*worker) && !worker->stopping;
      in_reserve |= worker->held.size() > 1;
      held += worker->held.size();
    }
    if (held < pool.assigned) return false;    // a result is on its way
    if (any_free && in_reserve) return false;  // what waits behind a blocked job is about to be taken back
    return pool.queued == 0 || (!any_free && !can_grow(pool));
  }

  [[nodiscard]] bool lacks_workers(const Pool& pool) const {
    std::uint32_t ready = 0;
    for (const Worker* worker : pool.workers) {
      if (worker->stopping) continue;
      if (!worker->ready && !blocked(*worker)) return false;
      ready += worker->ready;
    }
    return ready < pool.wanted && !can_grow(pool);
  }

  [[nodiscard]] bool lacks_updates(const Pool& pool) const {
    return std::any_of(pool.workers.begin(), pool.workers.end(), [&](const Worker* worker) {
      return worker->ready && worker->updates_applied < pool.updates && blocked(*worker);
    });
  }

  /// A worker of a pool whose program is blocked, and which keeps as many as it asked for, goes to nobody.
  [[nodiscard]] bool is_kept(const Worker& worker) const {
    const Pool* owner = worker.pool;
    if (!owner || !owner->opener || worker.stopping || worker.leaving || !worker.held.empty()) return false;
    const bool program_blocked = std::any_of(blocked_.begin(), blocked_.end(), [&](const Worker* blocked) {
      return blocked->id == owner->opener->worker && is_in(*owner, *blocked);
    });
    return program_blocked && std::max(owner->wanted, owner->options.min_workers) >= owner->workers.size();
  }

  /// Without another node, and without the end of a pool that is stuck, the pool may get one worker more. Where there
  /// is no device for it at all, it waits for something else.
  [[nodiscard]] bool can_grow(const Pool& pool) const {
    bool any = false;
    for (const auto& [id, node] : nodes_) {
      if (node->leaving) continue;
      std::set<std::string_view> gpus;
      std::uint32_t free = 0;
      for (const auto& slot : node->slots) {
        const auto failure = slot->failures.find(pool.id);
        if (!eligible(pool, *slot) || (failure != slot->failures.end() && failure->second.set_aside)) continue;
        if (!node->connected) return true;  // it may come back
        any = true;
        const Worker* worker = slot->occupant;
        if (worker && (blocked(*worker) || is_kept(*worker))) continue;
        free += pool.options.gpus_per_worker == 1 || gpus.insert(slot->info.gpu).second;
      }
      if (free >= pool.options.gpus_per_worker) return true;
    }
    return !any;
  }

  const std::set<Pool*>& stuck_;
  const std::map<NodeId, std::unique_ptr<Node>>& nodes_;
  std::set<const Worker*> blocked_;
};

std::uint32_t slots_for(const Pool& pool, const std::map<NodeId, std::unique_ptr<Node>>& nodes) {
  std::uint32_t slots = 0;
  for (const auto& [id, node] : nodes) {
    for (const auto& slot : node->slots) slots += node->connected && eligible(pool, *slot);
  }
  return slots;
}

/// "all 4 slots that could run it are", "the other slot that could run it is".
std::string held_slots(std::uint32_t slots, std::uint32_t own) {
  const std::uint32_t held = slots > own ? slots - own : 1;
  const std::string which = own > 0 ? (held == 1 ? "the other slot" : fmt::format("the other {} slots", held))
                                    : (held == 1 ? "the one slot" : fmt::format("all {} slots", held));
  return fmt::format("{} that could run it {}", which, held == 1 ? "is" : "are");
}

ErrorInfo deadlock_error(const Pool& pool, std::uint32_t slots) {
  const auto own = static_cast<std::uint32_t>(pool.workers.size()) * pool.options.gpus_per_worker;
  const bool few = pool.opener->workers && own > 0;
  const std::string why = fmt::format(
      "pools wait for each other: this pool{}{} was opened by a job{}, and {} held by jobs that wait for pools of "
      "their "
      "own, so that none of them can go on. This one, the youngest, gives up. Have fewer such jobs at a time than "
      "there "
      "are slots, add slots (start_node on another machine, or with more --workers), or do the inner work in the job "
      "itself",
      pool.options.label.empty() ? "" : " of ", pool.options.label,
      few ? fmt::format(" and has {} of {} workers that are waited for", pool.workers.size(), pool.wanted) : "",
      held_slots(slots, few ? own : 0));
  return ErrorInfo::of(ErrorKind::pool_deadlock, why);
}

}  // namespace

std::set<Pool*> stuck_pools(std::vector<Pool*> waiting, const std::map<NodeId, std::unique_ptr<Node>>& nodes,
                            const std::unordered_map<WorkerId, Worker*>& workers) {
  std::set<Pool*> stuck(waiting.begin(), waiting.end());
  for (bool changed = true; changed && !stuck.empty();) {
    const Look look(stuck, nodes, workers);
    const std::size_t before = stuck.size();
    std::set<Pool*> left;
    for (Pool* pool : stuck) {
      if (look.is_stuck(*pool)) left.insert(pool);
    }
    stuck = std::move(left);
    changed = stuck.size() != before;
  }
  return stuck;
}

/// A worker that was to leave behind its job, and whose job waits for a pool, stays: nobody is to count on its slot,
/// least of all that pool, while idle workers could go instead.
void Scheduler::State::keep_who_waits() {
  for (auto& [id, pool] : pools) {
    if (!pool->opener || !pool->opener->waits()) continue;
    Worker* worker = find_worker(pool->opener->worker);
    if (worker && worker->leaving && !worker->stopping && !is_idle(*worker)) worker->leaving = false;
  }
}

/// The youngest of the stuck pools gives up, when it has been so for a moment: what its client said may be old news.
void Scheduler::State::watch_nested(TimePoint now, Commands& out) {
  std::vector<Pool*> waiting;
  for (auto& [id, pool] : pools) {
    if (!pool->opener || !pool->opener->waits()) continue;
    if (held_back(*pool, now)) return;  // workers and jobs may be unknown so far
    waiting.push_back(pool.get());
  }
  nested_waits = !waiting.empty();
  if (!nested_waits) return;
  if (now < nested_look_at) return wake_at(nested_look_at);
  nested_look_at = now + limits::nested_look_pause;
  const std::set<Pool*> stuck = stuck_pools(waiting, nodes, workers);
  Pool* youngest = nullptr;
  for (Pool* pool : waiting) {
    TimePoint& since = pool->opener->stuck_since;
    if (!stuck.contains(pool))
      since = never;
    else if (since == never)
      since = now;
    if (since != never && (!youngest || youngest->opened_as < pool->opened_as)) youngest = pool;
  }
  if (!youngest) return;
  const TimePoint gives_up_at = youngest->opener->stuck_since + limits::nested_patience;
  if (now < gives_up_at) return wake_at(gives_up_at);
  ErrorInfo error = deadlock_error(*youngest, slots_for(*youngest, nodes));
  if (youngest->opener->keeps_pool) {
    out.emplace_back(ClientStuck{youngest->id, std::move(error)});
    youngest->opener.reset();
  } else {
    out.emplace_back(PoolFailed{youngest->id, std::move(error)});
    close_pool(*youngest, out);
  }
  wake_at(nested_look_at);
}

void Scheduler::on(const ClientWaits& event, TimePoint now, Commands&) {
  State& state = *state_;
  state.thaw(now);
  Pool* pool = state.find_pool(event.pool);
  if (!pool) return;
  std::optional<Opener>& opener = pool->opener;
  if (!opener || opener->worker != event.worker || opener->pid != event.pid) {
    const Worker* worker = state.find_worker(event.worker);
    opener.emplace();
    opener->worker = event.worker;
    opener->pid = event.pid;
    opener->constructing = worker && !worker->ready;
    if (worker && !worker->held.empty()) opener->job = worker->held.front().attempt;
  }
  opener->keeps_pool = event.keeps_pool;
  opener->results = event.results;
  opener->workers = event.workers;
  opener->updates = event.updates;
  if (!opener->waits()) opener->stuck_since = never;
  state.nested_waits = true;
  state.sharing_dirty = true;
}

void Scheduler::on(const ClientGone& event, TimePoint, Commands&) {
  if (Pool* pool = state_->find_pool(event.pool)) pool->opener.reset();
}

}  // namespace dc::scheduler

// See cluster.hpp.
#include "cluster.hpp"

#include "client_process.hpp"
#include "faults.hpp"
#include "named_client.hpp"
#include "scheduler/fair_share.hpp"

namespace dc::sim {
namespace {

constexpr Duration patience = std::chrono::hours(2);  ///< virtual time for everything to finish once faults have ended
constexpr std::uint64_t events_max = 3'000'000, events_max_of_large = 60'000'000;
/// Clients and nodes are connected again, and their pools resumed, this long after the last fault.
constexpr Duration settling_time = limits::handshake_deadline + limits::client_return_grace;
/// And a standby has seen the lease run out, and read the journal.
constexpr Duration takeover_time = limits::store_lease + limits::store_takeover_pause + 10s;
/// Everything that is waited for without an event is over after this.
constexpr Duration aftermath = limits::client_return_grace + limits::unknown_pool_grace + 10s;

Plan plan_of(World& world, Size size) { return make_plan(world.chance, size); }

}  // namespace

Cluster::Cluster(std::uint64_t seed, Size size, bool tracing)
    : seed_(seed), world_(seed, tracing), plan_(plan_of(world_, size)) {
  if (plan_.carried) carrier_.carry_all();
  add_head();
  if (plan_.standby) add_head();
}

Report Cluster::run() {
  Report report;
  report.seed = seed_;
  if (world_.tracing()) fmt::print("{}", plan_.text());
  try {
    Faults faults(*this);
    begin();
    faults.begin();
    const TimePoint end = world_.now() + plan_.faults_end;
    while (world_.step(end)) {
    }
    faults.end();
    run_until_over();
    check_nothing_left();
  } catch (const Violation& violation) {
    report.violation = violation.text;
  }
  report.events = world_.events();
  report.trace_hash = world_.trace_hash();
  report.jobs_run = ledger_.jobs_run;
  report.outcomes = ledger_.outcomes;
  return report;
}

void Cluster::begin() {
  heads_.front()->start(false);
  if (plan_.standby) look_after_heads();
  if (plan_.quiet) {
    // Two jobs and a constructor after the last pool and node have come, and again and again.
    for (const Duration when : {4s, 6s, 9s, 12s}) world_.after(when, [this] { check_shares(); });
  }
  for (const NodePlan& node : plan_.nodes) {
    world_.after(node.joins_after, [this, node] { add_node(node); });
  }
  for (std::size_t i = 0; i < plan_.pools.size(); ++i) {
    const PoolPlan& pool = plan_.pools[i];
    if (!pool.named) {
      add_client(std::make_unique<ClientProcess>(world_, ledger_, network_, plan_, i), pool.opens_after);
      continue;
    }
    const auto story = std::make_shared<NamedStory>(world_, ledger_, pool, i);
    for (std::size_t place = 0; place < pool.programs; ++place) {
      const Duration later = place == 0 ? 0s : world_.chance.skewed(0s, 10s);
      add_client(std::make_unique<NamedClient>(world_, ledger_, network_, plan_, story, place),
                 pool.opens_after + later);
    }
  }
}

void Cluster::add_head() {
  const HeadProcess::Cluster cluster{heads_record_, journal_, [this](WorkerId id) { return find_worker(id); }};
  heads_.push_back(std::make_unique<HeadProcess>(world_, ledger_, plan_, cluster, heads_.size()));
  network_.add_head(*heads_.back());
}

HeadProcess* Cluster::serving() const {
  HeadProcess* latest = nullptr;
  for (const auto& head : heads_) {
    if (head->serves() && (!latest || head->term() > latest->term())) latest = head.get();
  }
  return latest;
}

/// Somebody starts those again that have ended by themselves, and at first the standby.
void Cluster::look_after_heads() {
  for (const auto& head : heads_) {
    if (head->ended() || (head == heads_.back() && !head->alive() && head->started_at() == TimePoint{}))
      head->start(true);
  }
  world_.after(world_.chance.skewed(100ms, 5s), [this] { look_after_heads(); });
}

void Cluster::add_client(std::unique_ptr<Client> client, Duration starts_after) {
  Link& link = network_.link(client->name());
  link.latency_min = 20us;
  link.latency_max = plan_.latency_max;
  link.transfer_max = plan_.transfer_max;
  world_.after(starts_after, [client = client.get()] { client->start(); });
  clients_.push_back(std::move(client));
}

void Cluster::add_node(NodePlan node) {
  Link& link = network_.link(node.host);
  link.latency_min = 20us;
  link.latency_max = plan_.latency_max;
  link.transfer_max = plan_.transfer_max;
  nodes_.push_back(std::make_unique<NodeProcess>(world_, ledger_, network_, plan_, std::move(node)));
  nodes_.back()->start();
}

const WorkerProcess* Cluster::find_worker(WorkerId id) const {
  for (const auto& node : nodes_) {
    const auto worker = node->workers().find(id);
    if (worker != node->workers().end()) return worker->second.get();
  }
  return nullptr;
}

/// Every pool has more work than there are slots: each has its share by weight.
void Cluster::check_shares() {
  const scheduler::Status status = heads_.front()->machine().scheduler().status();
  std::map<PoolId, std::uint32_t> has;
  std::uint32_t slots = 0;
  for (const auto& node : status.nodes) {
    for (const auto& slot : node.slots) {
      ++slots;
      if (slot.state == scheduler::SlotState::idle || slot.state == scheduler::SlotState::busy) ++has[slot.pool];
    }
  }
  std::vector<scheduler::Demand> demands;
  for (const auto& pool : status.pools) demands.push_back({pool.weight, slots});
  const std::vector<std::uint32_t> shares = scheduler::fair_share(slots, demands);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const PoolId id = status.pools[i].pool;
    if (has[id] != shares[i])
      world_.violation("pool {} with weight {} has {} of {} slots and should have {}", short_name(id.value),
                       status.pools[i].weight, has[id], slots, shares[i]);
  }
}

// --- The end ----------------------------------------------------------------------------------------------------

/// How long a slot may be kept free for a worker of several GPUs: until what runs beside it is over.
Duration Cluster::gathering_max() const {
  Duration longest{};
  for (const PoolPlan& pool : plan_.pools) {
    longest =
        std::max({longest, pool.job_max, Duration(pool.options.job_timeout), Duration(pool.options.init_timeout)});
  }
  return longest + limits::terminate_grace;
}

bool Cluster::full(NodeId id, PoolId pool) const {
  for (const auto& node : nodes_) {
    if (!node->has_id(id)) continue;
    for (const PoolId there : node->full_pools()) {
      if (there == pool) return true;
    }
  }
  return false;
}

/// How many have left the nodes for good.
std::uint64_t Cluster::results_of(PoolId id) {
  std::uint64_t came = 0;
  for (const JobRecord& job : ledger_.pool(journal_.pool_of(id)).jobs)
    came += static_cast<std::uint64_t>(job.delivered) + job.stored;
  return came;
}

Duration Cluster::settling() const { return plan_.standby ? settling_time + takeover_time : settling_time; }

/// Nothing is wrong any more: one head serves, and every other one waits for its place.
void Cluster::check_one_head() {
  const HeadProcess* head = serving();
  if (!head) world_.violation("no head serves");
  for (const auto& other : heads_) {
    if (other.get() != head && other->listens()) world_.violation("{} and {} serve", head->name(), other->name());
  }
}

/// Nothing is wrong any more: a queued job does not wait beside an idle worker or a free slot. A worker whose node says
/// that it keeps as many results as it may is rightly idle, as long as results of its pool go on to come.
void Cluster::check_stall(int seconds) {
  check_one_head();
  const scheduler::Status status = serving()->machine().scheduler().status();
  const bool gathering = std::any_of(status.pools.begin(), status.pools.end(),
                                     [](const auto& pool) { return pool.gpus_per_worker > 1 && pool.jobs_queued > 0; });
  const Duration allowed = 5s + (gathering ? gathering_max() : Duration{});
  for (const auto& pool : status.pools) {
    bool idle = false, waits_for_results = false;
    for (const auto& node : status.nodes) {
      if (!node.connected || node.leaving) continue;
      for (const auto& slot : node.slots) {
        if (slot.state == scheduler::SlotState::idle && slot.pool == pool.pool)
          (full(node.node, pool.pool) ? waits_for_results : idle) = true;
        idle |= slot.state == scheduler::SlotState::free && pool.slots_eligible == pool.slots_total &&
                pool.gpus_per_worker == 1;
      }
    }
    Stall& stall = stalled_[pool.pool];
    const std::uint64_t came = results_of(pool.pool);
    waits_for_results &= std::exchange(stall.came, came) == came;
    stall.seconds = (idle || waits_for_results) && pool.jobs_queued > 0 ? stall.seconds + seconds : 0;
    if (std::chrono::seconds(stall.seconds) >= allowed)
      world_.violation("{} jobs of pool {} have waited for {} s beside idle slots", pool.jobs_queued,
                       short_name(pool.pool.value), stall.seconds);
  }
  world_.after(std::chrono::seconds(seconds), [this, seconds] { check_stall(seconds); });
}

void Cluster::run_until_over() {
  const TimePoint last = world_.now() + patience;
  const std::uint64_t most = plan_.size == Size::drawn ? events_max : events_max_of_large;
  world_.after(settling(), [this] { check_stall(1); });
  const auto all_over = [&] {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->over(); });
  };
  while (!all_over()) {
    if (!world_.step(last)) break;
    if (world_.events() > most) world_.violation("no end after {} events", most);
  }
  ledger_.all_delivered();
  if (!all_over()) world_.violation("a client never came to its end");
  const TimePoint end = world_.now() + aftermath + settling();
  while (world_.step(end)) {
    if (world_.events() > most) world_.violation("no rest after {} events", most);
  }
}

void Cluster::check_nothing_left() {
  check_one_head();
  const head::HeadMachine& machine = serving()->machine();
  const scheduler::Status status = machine.scheduler().status();
  if (!status.pools.empty()) world_.violation("the head still knows {} pools", status.pools.size());
  if (const std::string rest = machine.what_is_left(); !rest.empty()) world_.violation("the head still has {}", rest);
  if (const std::size_t logs = journal_.logs().size(); logs > 0)
    world_.violation("the journal still has {} pools", logs);
  for (const auto& node : status.nodes) {
    for (const auto& slot : node.slots) {
      if (slot.state != scheduler::SlotState::free) world_.violation("slot {} of {} is not free", slot.slot, node.host);
    }
  }
  for (const auto& node : nodes_) {
    if (!node->alive()) continue;
    const wire::NodeState state = node->state();
    if (!state.pools.empty()) world_.violation("{} still has {} pools", node->name(), state.pools.size());
    if (!state.workers.empty()) world_.violation("{} still has {} workers", node->name(), state.workers.size());
    if (!node->workers().empty()) world_.violation("{} has stray worker processes", node->name());
    if (!node->connected()) world_.violation("{} is not connected", node->name());
  }
}

Report run_seed(std::uint64_t seed, Size size, bool tracing) { return Cluster(seed, size, tracing).run(); }

}  // namespace dc::sim

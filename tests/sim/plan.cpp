// Swarm testing: a seed does not turn every knob a little, it leaves most faults out and exaggerates the others.
#include "plan.hpp"

#include <algorithm>
#include <set>
#include <variant>

namespace dc::sim {
namespace {

std::vector<NodePlan> draw_nodes(Chance& chance) {
  std::vector<NodePlan> nodes;
  const std::uint64_t count = chance.percent(30) ? chance.between(1, 2) : chance.between(2, 5);
  for (std::uint64_t i = 0; i < count; ++i) {
    NodePlan& node = nodes.emplace_back();
    node.host = fmt::format("node{}", i);
    node.joins_after = chance.percent(70) ? chance.skewed(0ms, 50ms) : chance.between(0ms, 5s);
    const std::uint64_t slots = chance.percent(60) ? chance.between(1, 2) : chance.between(1, 6);
    const bool gpus = i == 0 || chance.percent(60);
    const std::uint32_t per_gpu = chance.percent(15) ? 2 : 1;
    const bool unequal = i > 0 && chance.percent(40);
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      SlotInfo& info = node.slots.emplace_back();
      info.slot = slot;
      info.device = "cpu";
      // The first node has something for everybody who may ask for it: its first slot is a GPU, a late one no GPU.
      if (!gpus || (slot >= 2 && chance.percent(10))) continue;
      info.device = "gpu";
      info.gpu = fmt::format("GPU-{}-{}", i, slot / per_gpu);
      info.gpu_memory_mib = unequal && slot / per_gpu % 2 == 1 ? 4000 : 16000;
      info.gpu_memory_free_mib = info.gpu_memory_mib;
    }
  }
  return nodes;
}

/// What the first node can serve; now and then what nobody can.
void draw_devices(Chance& chance, const NodePlan& first, PoolOptions& options) {
  std::set<std::string> gpus;
  for (const SlotInfo& slot : first.slots) gpus.insert(slot.gpu);
  const bool has_cpu = gpus.erase("") > 0;
  options.min_gpu_memory_mib = chance.percent(15) ? 8000 : 0;
  if (chance.percent(20) && gpus.size() >= 2) options.gpus_per_worker = 2;
  if (chance.percent(10) && gpus.size() >= 3) options.gpus_per_worker = 3;
  if (chance.percent(2)) options.min_gpu_memory_mib = 100'000;
  const bool asks_for_gpu = options.min_gpu_memory_mib > 0 || options.gpus_per_worker > 1;
  if (chance.percent(10)) options.device = DeviceWish::gpu;
  if (chance.percent(10) && has_cpu && !asks_for_gpu) options.device = DeviceWish::cpu;
}

void draw_options(Chance& chance, PoolPlan& pool) {
  PoolOptions& options = pool.options;
  constexpr double weights[] = {1, 1, 1, 2, 3, 0.5};
  options.weight = weights[chance.below(6)];
  options.max_retries = chance.percent(70) ? limits::max_retries_default : static_cast<std::uint32_t>(chance.below(5));
  options.keep_updates_history = chance.percent(65);
  options.retry_exceptions = chance.percent(15);
  options.min_workers = chance.percent(15) ? static_cast<std::uint32_t>(chance.between(1, 4)) : 0;
  if (chance.percent(15)) {
    options.language = Language::cpp;
    options.program_hash = std::string(64, chance.percent(50) ? 'a' : 'b');
  }
  if (pool.hangs > 0 || chance.percent(10))
    options.job_timeout = std::chrono::duration_cast<std::chrono::milliseconds>(3 * pool.job_max + 200ms);
  if (pool.constructor.hangs > 0 || chance.percent(10))
    options.init_timeout =
        std::chrono::duration_cast<std::chrono::milliseconds>(3 * pool.construction + 3 * pool.update_time + 200ms);
}

void draw_long_jobs(Chance& chance, PoolPlan& pool) {
  pool.jobs = chance.between(1, 20);
  pool.job_min = 1s;
  pool.job_max = chance.between(4s, 20s);
}

void draw_load(Chance& chance, PoolPlan& pool) {
  const bool short_jobs = chance.percent(45);
  pool.jobs = short_jobs ? chance.between(1, 300) : chance.between(1, 80);
  pool.job_min = short_jobs ? Duration(20us) : Duration(1ms);
  pool.job_max = short_jobs ? chance.skewed(100us, 60ms) : chance.skewed(50ms, 4s);
  if (chance.percent(10)) draw_long_jobs(chance, pool);
  pool.waves = chance.between(1, 4);
  pool.construction = chance.skewed(1ms, 3s);
  if (chance.percent(40)) pool.thinking = chance.skewed(50ms, 2s);
  pool.update_time = chance.skewed(10us, 300ms);
  if (chance.percent(60)) pool.updates = chance.between(1, 12);
  if (chance.percent(15)) pool.window = chance.between(1, 20);
  if (chance.percent(15)) pool.consuming = chance.skewed(100us, 100ms);
  if (chance.percent(15)) pool.wants_workers = static_cast<std::uint32_t>(chance.between(1, 6));
  if (chance.percent(30)) {
    constexpr std::size_t sizes[] = {1000, 60'000, 70'000};
    pool.large_share = chance.between(5, 60);
    pool.arguments_bytes = sizes[chance.below(3)];
    pool.result_bytes = sizes[chance.below(3)];
    pool.update_bytes = sizes[chance.below(3)];
    pool.spec_bytes = sizes[chance.below(3)];
    pool.jobs = std::min<std::size_t>(pool.jobs, 60);
  }
}

void draw_misconduct(Chance& chance, PoolPlan& pool) {
  if (chance.percent(20)) pool.raises = chance.between(1, 60);
  if (chance.percent(12)) pool.poison = chance.between(1, 15);
  if (chance.percent(15)) pool.ends_worker = chance.between(1, 30);
  if (chance.percent(10)) pool.hangs = chance.between(1, 10);
  if (chance.percent(10)) pool.constructor.raises = chance.between(5, 50);
  if (chance.percent(5)) pool.constructor.dies = chance.between(5, 30);
  if (chance.percent(5)) pool.constructor.hangs = chance.between(5, 30);
  if (chance.percent(7)) pool.constructor.bad_slots = chance.between(10, 100);
  if (chance.percent(10)) pool.update_raises = chance.between(5, 50);
  pool.drops_a_stream = chance.percent(10);
  pool.closes_early = chance.percent(8);
}

void draw_name(Chance& chance, PoolPlan& pool) {
  pool.named = chance.percent(30);
  if (!pool.named) return;
  pool.programs = chance.between(1, 3);
  if (chance.percent(40)) pool.keyed = chance.between(10, 100);
  pool.closes_early = chance.percent(15);
}

Duration mean_time(Chance& chance, Percent on, Duration low, Duration high) {
  return chance.percent(on) ? chance.skewed(low, high) : Duration{};
}

FaultPlan draw_faults(Chance& chance, bool store_is_used) {
  FaultPlan faults;
  faults.link_break = mean_time(chance, 35, 100ms, 10s);
  faults.half_open = mean_time(chance, 20, 500ms, 10s);
  faults.silence = mean_time(chance, 35, 1s, 12s);
  faults.latency = mean_time(chance, 15, 300ms, 5s);
  faults.worker_kill = mean_time(chance, 35, 50ms, 5s);
  faults.node_crash = mean_time(chance, 25, 500ms, 15s);
  faults.node_drain = mean_time(chance, 20, 1s, 15s);
  faults.node_freeze = mean_time(chance, 35, 1s, 12s);
  faults.node_join = mean_time(chance, 15, 1s, 10s);
  faults.head_crash = mean_time(chance, 25, 1s, 20s);
  faults.head_stop = mean_time(chance, 10, 2s, 20s);
  faults.head_freeze = mean_time(chance, 20, 1s, 20s);
  faults.client_crash = mean_time(chance, 10, 3s, 20s);
  faults.client_freeze = mean_time(chance, 10, 1s, 20s);
  if (store_is_used) {
    faults.store_full = mean_time(chance, 50, 100ms, 8s);
    faults.store_silent = mean_time(chance, 50, 500ms, 10s);
  }
  faults.slot_trouble = mean_time(chance, 30, 50ms, 5s);
  if (chance.percent(40)) {
    faults.fatal.percent = chance.between(1, 50);
    for (std::size_t kind = 0; kind < std::variant_size_v<wire::Message>; ++kind) {
      if (chance.percent(20)) faults.fatal.kinds.insert(kind);
    }
  }
  if (chance.percent(15)) faults.stubborn_workers = chance.between(5, 100);
  if (chance.percent(5)) faults.workers_hang_up = chance.between(1, 40);
  if (chance.percent(5)) faults.spawn_fails = chance.between(1, 20);
  if (chance.percent(10)) faults.program_lost = chance.between(1, 30);
  return faults;
}

template <class Body>
std::size_t kind_of() {
  return wire::Message(Body{}).index();
}

/// Nodes are lost, and little else happens: they come back while others run their jobs.
void lose_nodes(Chance& chance, Plan& plan) {
  for (PoolPlan& pool : plan.pools) {
    draw_long_jobs(chance, pool);
    draw_options(chance, pool);
  }
  plan.faults = {};
  plan.faults.silence = chance.skewed(1s, 8s);
  plan.faults.node_freeze = chance.skewed(1s, 8s);
  plan.faults_end = chance.between(15s, 60s);
}

/// All pools have names, and the store is often full: what is said of that gets lost.
void trouble_store(Chance& chance, Plan& plan) {
  for (PoolPlan& pool : plan.pools) {
    pool.named = true;
    pool.programs = chance.between(1, 3);
  }
  plan.faults_end = chance.between(2s, 30s);
  plan.faults.store_full = chance.skewed(100ms, 2s);
  plan.faults.fatal.percent = chance.between(10, 60);
  plan.faults.fatal.kinds.insert(kind_of<wire::JobsRefused>());
  if (chance.percent(50)) plan.faults.fatal.kinds.insert(kind_of<wire::JobsAccepted>());
  if (chance.percent(50)) plan.faults.fatal.kinds.insert(kind_of<wire::AcksKept>());
}

/// Two heads share the store. Whoever has it is killed, frozen and cut off from it.
void stand_by(Chance& chance, Plan& plan) {
  plan.standby = true;
  if (chance.percent(40)) plan.answers_lost = chance.between(1, 30);
  if (chance.percent(50)) plan.answers_slow = chance.between(10, 90);
  plan.faults_end = chance.between(20s, 80s);
  FaultPlan& faults = plan.faults;
  faults.head_crash = mean_time(chance, 50, 5s, 40s);
  faults.head_stop = mean_time(chance, 20, 5s, 40s);
  faults.head_freeze = mean_time(chance, 60, 5s, 30s);
  faults.store_cut = mean_time(chance, 60, 5s, 30s);
  for (PoolPlan& pool : plan.pools) {
    if (chance.percent(60)) pool.opens_after = chance.between(Duration(0s), plan.faults_end);
  }
}

/// No faults, and more work for every pool than there are slots, of jobs that are all equally long.
void make_quiet(Chance& chance, Plan& plan) {
  plan.quiet = true;
  plan.result_window = 0;
  plan.faults = {};
  plan.faults_end = 10s;
  const Duration job = chance.between(100ms, 400ms);
  std::size_t slots = 0;
  plan.nodes.resize(std::min<std::size_t>(plan.nodes.size(), 2));
  for (NodePlan& node : plan.nodes) {
    node.joins_after = chance.between(0ms, 500ms);
    slots += node.slots.size();
  }
  while (plan.pools.size() < 2) plan.pools.push_back(plan.pools.front());
  for (PoolPlan& pool : plan.pools) {
    constexpr double weights[] = {1, 1, 2, 3, 0.5};
    const double weight = weights[chance.below(5)];
    pool = PoolPlan{};
    pool.options.weight = weight;
    pool.opens_after = chance.between(0ms, 1s);
    pool.job_min = pool.job_max = job;
    pool.construction = chance.between(1ms, 300ms);
    // The last look at the shares is at 12 s; a pool alone could have had all the slots until then.
    pool.jobs = slots * static_cast<std::size_t>(16s / job);
    pool.window = 3 * slots;
  }
}

/// Hundreds of nodes come within seconds, and something happens to one of them all the time.
void make_wide(Chance& chance, Plan& plan) {
  plan.size = Size::many_nodes;
  plan.turns_between_looks = 50;
  const std::vector<NodePlan> few = plan.nodes;
  while (plan.nodes.size() < 200) {
    NodePlan node = few[chance.below(few.size())];
    node.host = fmt::format("node{}", plan.nodes.size());
    node.joins_after = chance.skewed(0ms, 5s);
    plan.nodes.push_back(std::move(node));
  }
  for (PoolPlan& pool : plan.pools) {
    if (pool.large_share == 0) pool.jobs *= 10;
  }
  FaultPlan& faults = plan.faults;
  for (Duration* mean : {&faults.link_break, &faults.half_open, &faults.silence, &faults.worker_kill,
                         &faults.node_crash, &faults.node_drain, &faults.node_freeze, &faults.slot_trouble})
    *mean /= 10;
}

/// One pool with so many jobs that windows, lists and logs are full. They are short, and few do what takes long.
void make_long(Chance& chance, Plan& plan) {
  plan.size = Size::many_jobs;
  plan.turns_between_looks = 2000;
  plan.dead_entries_max = 64;
  plan.pools.resize(std::min<std::size_t>(plan.pools.size(), 2));
  PoolPlan& pool = plan.pools.front();
  pool.jobs = 20'000;
  pool.job_min = 20us;
  pool.job_max = chance.skewed(100us, 20ms);
  pool.large_share = 0;
  pool.window = chance.percent(30) ? chance.between(1000, 20'000) : 0;
  pool.thinking = chance.skewed(0ms, 50ms);
  pool.consuming = chance.percent(30) ? chance.skewed(1us, 1ms) : Duration{};
  pool.construction = std::min<Duration>(pool.construction, 100ms);
  for (Percent* share : {&pool.poison, &pool.ends_worker, &pool.hangs}) *share = std::min<Percent>(*share, 1);
  pool.options.job_timeout = pool.hangs > 0 ? 200ms : 0ms;
}

}  // namespace

bool FaultPlan::any() const {
  return link_break + half_open + silence + latency + worker_kill + node_crash + node_drain + node_freeze + node_join +
                 head_crash + head_stop + head_freeze + client_crash + client_freeze + store_full + store_silent +
                 store_cut + slot_trouble >
             0s ||
         fatal.percent > 0;
}

Plan make_plan(Chance& chance, Size size) {
  Plan plan;
  plan.nodes = draw_nodes(chance);
  plan.latency_max = chance.skewed(50us, 100ms);
  plan.transfer_max = chance.skewed(1ms, 1s);
  plan.turn_max = chance.skewed(2us, 5ms);
  plan.write_max = chance.percent(50) ? chance.skewed(100us, 30ms) : chance.skewed(1ms, 2s);
  if (chance.percent(20)) plan.written_twice = chance.between(1, 50);
  if (chance.percent(80)) plan.dead_entries_max = chance.between(1, 20);
  if (chance.percent(50)) plan.result_window = std::uint64_t{300} << chance.below(9);
  const std::uint64_t pools = chance.percent(40) ? 1 : chance.between(2, 5);
  for (std::uint64_t i = 0; i < pools; ++i) {
    PoolPlan& pool = plan.pools.emplace_back();
    pool.opens_after = chance.percent(50) ? chance.skewed(0ms, 100ms) : chance.between(0ms, 15s);
    draw_load(chance, pool);
    if (chance.percent(60)) draw_misconduct(chance, pool);
    draw_options(chance, pool);
    draw_devices(chance, plan.nodes.front(), pool.options);
    draw_name(chance, pool);
  }
  const bool store_is_used =
      std::any_of(plan.pools.begin(), plan.pools.end(), [](const PoolPlan& pool) { return pool.named; });
  if (chance.percent(90)) plan.faults = draw_faults(chance, store_is_used);
  plan.faults_end = plan.faults.any() ? chance.between(2s, 30s) : Duration(10s);
  if (chance.percent(7)) lose_nodes(chance, plan);
  if (chance.percent(7)) trouble_store(chance, plan);
  if (chance.percent(20)) stand_by(chance, plan);
  if (!plan.standby && chance.percent(3) && size == Size::drawn) make_quiet(chance, plan);
  plan.carried = chance.percent(12);
  const std::uint64_t draw = chance.below(800);
  if (size == Size::drawn && !plan.quiet && draw < 2) size = draw == 0 ? Size::many_nodes : Size::many_jobs;
  if (size == Size::many_nodes) make_wide(chance, plan);
  if (size == Size::many_jobs) make_long(chance, plan);
  if (chance.percent(15)) plan.pool_bytes_max = std::uint64_t{100} << chance.below(10);
  return plan;
}

std::string Plan::text() const {
  std::string text;
  for (const NodePlan& node : nodes) text += fmt::format("plan: {} with {} slots\n", node.host, node.slots.size());
  for (const PoolPlan& pool : pools) {
    text += fmt::format(
        "plan: pool of {} jobs up to {} ms, {} updates{}, weight {}, max_retries {}, job_timeout {} ms; "
        "raises {} poison {} ends_worker {} hangs {}; constructor raises {} dies {} hangs {} bad slots {}; "
        "{} GPUs each with {} MiB, kind {}{}\n",
        pool.jobs, pool.job_max / 1ms, pool.updates, pool.options.keep_updates_history ? "" : " without history",
        pool.options.weight, pool.options.max_retries, pool.options.job_timeout.count(), pool.raises, pool.poison,
        pool.ends_worker, pool.hangs, pool.constructor.raises, pool.constructor.dies, pool.constructor.hangs,
        pool.constructor.bad_slots, pool.options.gpus_per_worker, pool.options.min_gpu_memory_mib,
        static_cast<int>(pool.options.device),
        pool.named ? fmt::format("; named, for {} programs, {} of 100 jobs with a key", pool.programs, pool.keyed)
                   : "");
  }
  if (standby)
    text += fmt::format("plan: two heads share the store; {} of 100 answers are lost, {} slow\n", answers_lost,
                        answers_slow);
  if (carried) text += "plan: messages travel as bytes\n";
  if (quiet) text += "plan: no faults, and work for all: the shares are checked\n";
  if (result_window > 0) text += fmt::format("plan: {} bytes of a pool's results may be under way\n", result_window);
  if (pool_bytes_max > 0) text += fmt::format("plan: a named pool may keep {} bytes\n", pool_bytes_max);
  text += fmt::format("plan: faults until {} ms; delay up to {} us\n", faults_end / 1ms, latency_max / 1us);
  return text;
}

}  // namespace dc::sim

// See devices.hpp. Also: what becomes of a pool for which there is no device, or none that is free.
#include "scheduler/devices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/mutation.hpp"

namespace dc::scheduler {
namespace {

bool needs_gpu(const PoolOptions& options) {
  return options.device == DeviceWish::gpu || options.min_gpu_memory_mib > 0 || options.gpus_per_worker > 1;
}

bool fits(const PoolOptions& options, const SlotInfo& slot) {
  if (slot.gpu.empty() ? needs_gpu(options) : options.device == DeviceWish::cpu) return false;
  return slot.gpu_memory_mib >= options.min_gpu_memory_mib;
}

std::uint32_t fitting_gpus(const PoolOptions& options, const Node& node) {
  std::set<std::string_view> gpus;
  for (const auto& slot : node.slots) {
    if (fits(options, slot->info)) gpus.insert(slot->info.gpu);
  }
  return static_cast<std::uint32_t>(gpus.size());
}

/// Why no worker of the pool can start on this eligible slot; empty: one can.
std::string what_blocks(const Pool& pool, const Slot& slot) {
  const SlotInfo& info = slot.info;
  std::string why;
  if (info.gpu_memory_free_mib < pool.options.min_gpu_memory_mib)
    why = fmt::format(" has {} of {} MiB free", info.gpu_memory_free_mib, info.gpu_memory_mib);
  if (!info.trouble.empty()) why += fmt::format("{}{}", why.empty() ? ": " : "; ", info.trouble);
  if (why.empty()) return why;
  return fmt::format("slot {} of {}: {}{}", info.slot, slot.node->host, info.gpu.empty() ? "CPU" : info.gpu, why);
}

/// The same without the numbers, which may change every second.
std::string kind_of_block(const Pool& pool, const Slot& slot) {
  const bool full = slot.info.gpu_memory_free_mib < pool.options.min_gpu_memory_mib;
  return fmt::format("{:x}/{}{}{}\n", slot.node->id.value, slot.info.slot, full ? " full " : " ", slot.info.trouble);
}

/// It has work for a worker, or was asked to have some.
bool wants_workers(const Pool& pool) {
  return pool.queued > 0 || pool.wanted > pool.workers.size() || pool.options.min_workers > pool.workers.size();
}

bool present(const Node& node) { return node.connected && !node.leaving && !node.slots.empty(); }

}  // namespace

bool eligible(const Pool& pool, const Slot& slot) {
  const PoolOptions& options = pool.options;
  if (!fits(options, slot.info)) return false;
  return options.gpus_per_worker <= 1 || fitting_gpus(options, *slot.node) >= options.gpus_per_worker;
}

bool ready(const Pool& pool, const Slot& slot) {
  if (mutation::ignore_trouble) return true;
  return slot.info.trouble.empty() && slot.info.gpu_memory_free_mib >= pool.options.min_gpu_memory_mib;
}

bool suits(const Pool& pool, const Slot& slot, TimePoint now) {
  if (!eligible(pool, slot) || !ready(pool, slot)) return false;
  const auto failure = slot.failures.find(pool.id);
  return failure == slot.failures.end() || (!failure->second.set_aside && failure->second.retry_at <= now);
}

bool usable(const Pool& pool, const Slot& slot, TimePoint now) {
  const bool own = slot.occupant && slot.occupant->pool == &pool;
  return own ? eligible(pool, slot) : suits(pool, slot, now);
}

std::uint32_t capacity(const Pool& pool, const std::vector<Slot*>& slots, TimePoint now) {
  const std::uint32_t size = pool.options.gpus_per_worker;
  std::map<NodeId, std::map<std::string_view, std::uint32_t>> nodes;
  for (const Slot* slot : slots) {
    if (usable(pool, *slot, now)) ++nodes[slot->node->id][slot->info.gpu];
  }
  std::uint32_t total = 0;
  for (const auto& entry : nodes) {
    const auto& gpus = entry.second;  // clang 14 does not capture a name of a structured binding
    // `count` workers fit if each GPU, which serves no worker twice, has slots for so many uses in all.
    const auto fit = [&](std::uint32_t count) {
      std::uint32_t uses = 0;
      for (const auto& [gpu, here] : gpus) uses += std::min(here, count);
      return uses >= count * size;
    };
    std::uint32_t count = 0;
    while (fit(count + 1)) ++count;
    total += count * size;
  }
  return total;
}

std::string requirement_of(const PoolOptions& options) {
  if (options.device == DeviceWish::cpu) return "a slot without a GPU";
  std::string text = options.gpus_per_worker > 1 ? fmt::format("{} GPUs of one node", options.gpus_per_worker)
                     : needs_gpu(options)        ? "a GPU"
                                                 : "any slot";
  if (options.min_gpu_memory_mib > 0)
    text +=
        fmt::format(" with {} MiB of memory{}", options.min_gpu_memory_mib, options.gpus_per_worker > 1 ? " each" : "");
  return text;
}

namespace {

/// "2 x A100 with 16000 MiB, 1 slot without a GPU".
std::string devices_of(const Node& node) {
  std::map<std::string, std::uint32_t> gpus;
  std::set<std::string_view> seen;
  std::uint32_t without = 0;
  for (const auto& slot : node.slots) {
    const SlotInfo& info = slot->info;
    if (info.gpu.empty())
      ++without;
    else if (seen.insert(info.gpu).second)
      ++gpus[fmt::format("{} with {} MiB", info.device, info.gpu_memory_mib)];
  }
  std::vector<std::string> texts;
  for (const auto& [gpu, count] : gpus) texts.push_back(count > 1 ? fmt::format("{} x {}", count, gpu) : gpu);
  if (without > 0) texts.push_back(fmt::format("{} slot{} without a GPU", without, without == 1 ? "" : "s"));
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

/// What the present nodes have, for people: a line for each.
std::string Scheduler::State::inventory() const {
  std::string text;
  std::size_t nodes_left_out = 0, shown = 0;
  for (const auto& [id, node] : nodes) {
    if (!present(*node)) continue;
    if (++shown > limits::nodes_listed_max)
      ++nodes_left_out;
    else
      text += fmt::format("\n  {}: {}", node->host, devices_of(*node));
  }
  if (nodes_left_out > 0) text += fmt::format("\n  and {} more nodes", nodes_left_out);
  return text;
}

/// Whether the pool has to end: for a while nothing that is present could ever do.
bool Scheduler::State::lacks_device(Pool& pool, TimePoint now) {
  bool any_node = false;
  for (const auto& [id, node] : nodes) {
    if (!present(*node)) continue;
    any_node = true;
    for (const auto& slot : node->slots) {
      if (!eligible(pool, *slot)) continue;
      pool.ever_eligible = true;
      pool.no_device_at = never;
      return false;
    }
  }
  if (!any_node || held_back(pool, now) || pool.ever_eligible || !pool.workers.empty() || !wants_workers(pool)) {
    pool.no_device_at = never;
    return false;
  }
  if (pool.no_device_at == never) {
    // The nodes of a pool that is older than this head may be on their way back.
    pool.no_device_at = now + (pool.earlier ? Duration(limits::unknown_pool_grace) : Duration(limits::no_device_after));
  }
  wake_at(pool.no_device_at);
  return now >= pool.no_device_at;
}

/// Says once for each reason why slots stand empty while the pool has work for them.
void Scheduler::State::tell_why_slots_wait(Pool& pool, TimePoint now, Commands& out) {
  std::string text, reason;
  std::size_t waiting = 0, eligible_slots = 0;
  bool any_node = false;
  const bool wants = !held_back(pool, now) && demand(pool, now) > pool.workers.size();
  for (const auto& [id, node] : nodes) {
    if (!wants || !present(*node)) continue;
    any_node = true;
    for (const auto& slot : node->slots) {
      if (!eligible(pool, *slot)) continue;
      ++eligible_slots;
      const std::string why = slot->occupant ? std::string{} : what_blocks(pool, *slot);
      if (why.empty()) continue;
      reason += kind_of_block(pool, *slot);
      if (++waiting <= limits::waiting_slots_named_max) text += fmt::format("{}{}", text.empty() ? "" : "\n  ", why);
    }
  }
  if (waiting > limits::waiting_slots_named_max)
    text += fmt::format("\n  and {} more", waiting - limits::waiting_slots_named_max);
  if (any_node && eligible_slots == 0 && pool.ever_eligible)
    reason = text = fmt::format("no device that is here now is suitable ({}): waiting", requirement_of(pool.options));
  pool.waits_for = text;
  if (!wants || reason == pool.told_reason) return;
  if (now < pool.tell_again_at) return wake_at(pool.tell_again_at);
  pool.told_reason = reason;
  if (reason.empty()) return;
  pool.tell_again_at = now + limits::waiting_notice_pause;
  out.emplace_back(Notice{pool.id, (waiting == 1 ? "a slot waits: " : waiting > 1 ? "slots wait:\n  " : "") + text});
}

void Scheduler::State::watch_devices(TimePoint now, Commands& out) {
  std::vector<Pool*> failed;
  for (auto& [id, pool] : pools) {
    if (lacks_device(*pool, now))
      failed.push_back(pool.get());
    else
      tell_why_slots_wait(*pool, now, out);
  }
  for (Pool* pool : failed) {
    const std::string why = fmt::format("no device of the cluster can be used: a worker needs {}, and there is:{}",
                                        requirement_of(pool->options), inventory());
    out.emplace_back(PoolFailed{pool->id, ErrorInfo::of(ErrorKind::no_device, why)});
    close_pool(*pool, out);
  }
}

}  // namespace dc::scheduler

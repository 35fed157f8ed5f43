// See status.hpp.
#include "cli/status.hpp"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "core/limits.hpp"
#include "core/output.hpp"
#include "core/printable.hpp"

namespace dc::cli {

net::AskOptions asking(wire::Role role) {
  net::AskOptions options;
  options.role = role;
  options.on_slow = [](const std::string& head) {
    output::to_stderr(
        fmt::format("distributed-computing: the head at {} has not answered so far: trying on, for {} s in all\n", head,
                    std::chrono::seconds(limits::handshake_deadline).count()));
  };
  return options;
}

std::string status_table(const std::string& text) {
  const auto json = nlohmann::json::parse(text);
  std::string out;
  auto to = std::back_inserter(out);
  const auto string_of = [](const nlohmann::json& value) {
    return value.is_null() ? std::string("-") : value.is_string() ? printable(value.get<std::string>()) : value.dump();
  };
  const auto& head = json["head"];
  fmt::format_to(to, "head   {} pid {} port {} version {} up {:.0f} s\n", string_of(head["address"]),
                 string_of(head["pid"]), string_of(head["port"]), string_of(head["version"]),
                 head["uptime_s"].get<double>());
  if (const auto& trouble = head["store_trouble"]; !trouble.is_null()) {
    fmt::format_to(to, "store  {}: named pools take no jobs\n", string_of(trouble));
  }
  if (const auto& reading = head["reading"]; !reading.is_null()) {
    const std::string trouble = reading["trouble"].is_null() ? "" : ": " + string_of(reading["trouble"]);
    fmt::format_to(to, "store  {} of {} named pools are read; who wants one of the others waits{}\n",
                   string_of(reading["pools_read"]), string_of(reading["pools"]), trouble);
  }
  for (const auto& node : json["nodes"]) {
    const char* state = !node["connected"].get<bool>() ? " (disconnected)"
                        : node["leaving"].get<bool>()  ? " (leaving)"
                                                       : "";
    fmt::format_to(to, "\nnode   {} pid {} from {}{}\n", string_of(node["host"]), string_of(node["pid"]),
                   string_of(node["address"]), state);
    fmt::format_to(to, "  {:>4}  {:<12} {:<17} {:>8}  {:<16} {:>10}\n", "slot", "device", "state", "pid", "pool",
                   "jobs done");
    for (const auto& slot : node["slots"]) {
      fmt::format_to(to, "  {:>4}  {:<12} {:<17} {:>8}  {:<16} {:>10}\n", string_of(slot["slot"]),
                     string_of(slot["device"]), string_of(slot["state"]), string_of(slot["worker_pid"]),
                     string_of(slot["pool"]), string_of(slot["jobs_done"]));
      if (!slot["gpu"].is_null()) {
        const bool known = slot["gpu_memory_mib"].get<std::uint64_t>() > 0;
        const std::string memory = known ? fmt::format("{} of {} MiB free", string_of(slot["gpu_memory_free_mib"]),
                                                       string_of(slot["gpu_memory_mib"]))
                                         : "memory not known";
        fmt::format_to(to, "        {}, {}\n", string_of(slot["gpu"]), memory);
      }
      if (!slot["trouble"].is_null()) fmt::format_to(to, "        {}\n", string_of(slot["trouble"]));
    }
  }
  if (json["nodes"].empty()) fmt::format_to(to, "\nno nodes: start_node on a machine joins it\n");
  for (const auto& pool : json["pools"]) {
    if (const auto& reading = pool["reading"]; !reading.is_null()) {
      fmt::format_to(to, "\npool   {} is being read: {} of {} entries of its journal\n", string_of(pool["id"]),
                     string_of(reading["entries_read"]), string_of(reading["entries"]));
      continue;
    }
    fmt::format_to(to, "\npool   {} {} of {} pid {}\n", string_of(pool["id"]), string_of(pool["label"]),
                   string_of(pool["client"]["host"]), string_of(pool["client"]["pid"]));
    fmt::format_to(
        to, "  workers {} (+{} starting)  jobs: {} queued, {} running, {} done, {} run again  updates {}  weight {}\n",
        string_of(pool["workers"]), string_of(pool["starting"]), string_of(pool["jobs_queued"]),
        string_of(pool["jobs_running"]), string_of(pool["jobs_done"]), string_of(pool["jobs_rerun"]),
        string_of(pool["updates"]), string_of(pool["weight"]));
  }
  if (json["pools"].empty()) fmt::format_to(to, "\nno pools\n");
  return out;
}

}  // namespace dc::cli

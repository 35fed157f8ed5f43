// See pools.hpp.
#include "cli/pools.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "cli/status.hpp"
#include "core/printable.hpp"
#include "core/process_name.hpp"
#include "net/session.hpp"

namespace dc::cli {
namespace {

using nlohmann::json;

Error failure_of(const wire::PoolFailed& failed) {
  const bool missing = failed.error.kind == ErrorKind::pool_not_found;
  return fail(missing ? ErrorCode::not_found : ErrorCode::rejected, failed.error.message);
}

/// The client that has the pool is away and may come back.
void wait_for_holder(net::Session& session, const wire::PoolHeld& held) {
  if (process_is_gone(held.process)) return session.send(wire::HolderGone{held.pool, held.holder});
  fmt::print(stderr,
             "the pool is in the hands of {} (pid {}), which has lost its connection to the head: waiting up to {} s "
             "for it to come back (--steal does not wait)\n",
             held.host, held.pid, (held.patience_ms + 999) / 1000);
}

/// Outcomes as lines on stdout, and as files.
class Writer {
 public:
  explicit Writer(std::string directory) : directory_(std::move(directory)) {}

  Result<void> write(const wire::SeenOutcome& seen) {
    if (!seen.failed) {
      fmt::print("{} ok {}\n", seen.sequence, seen.payload.size());
      return file(seen.sequence, "value", seen.payload.view());
    }
    const std::string& message = seen.error.message;
    fmt::print("{} error {}\n", seen.sequence, printable(message.substr(0, message.find('\n'))));
    const std::string& trace = seen.error.traceback;
    return file(seen.sequence, "error", message + (trace.empty() ? "\n" : "\n" + trace));
  }

 private:
  Result<void> file(JobSequence sequence, const char* ending, std::string_view bytes) {
    if (directory_.empty()) return boost::outcome_v2::success();
    const std::string path = fmt::format("{}/{}.{}", directory_, sequence, ending);
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (!out) return fail(ErrorCode::io, fmt::format("{} cannot be written: is the disk full?", path));
    return boost::outcome_v2::success();
  }
  std::string directory_;
};

std::string holder_of(const json& pool) {
  const json& client = pool["client"];
  if (!client["connected"].get<bool>()) return "-";
  return fmt::format("{} (pid {})", printable(client["host"].get<std::string>()), client["pid"].dump());
}

std::string state_of(const json& pool) {
  if (!pool["error"].is_null()) return "failed";
  if (!pool["reading"].is_null()) return "unread";
  if (pool["jobs_queued"].get<std::uint64_t>() + pool["jobs_running"].get<std::uint64_t>() > 0) return "running";
  return pool["to_deliver"].get<std::uint64_t>() > 0 ? "done" : "idle";
}

}  // namespace

std::string named_pools(const std::string& status_json) {
  const json status = json::parse(status_json);
  std::vector<json> pools;
  for (const json& pool : status["pools"]) {
    if (!pool["name"].is_null()) pools.push_back(pool);
  }
  std::sort(pools.begin(), pools.end(), [](const json& a, const json& b) { return a["name"] < b["name"]; });
  return json(pools).dump(2, ' ', true);
}

std::string pools_table(const std::string& pools_json) {
  const json pools = json::parse(pools_json);
  if (pools.empty()) return "no named pools\n";
  std::string out = fmt::format("{:<24} {:<8} {:>10} {:>10} {:>10} {:>10}  {}\n", "name", "state", "queued", "running",
                                "done", "to take", "in the hands of");
  for (const json& pool : pools) {
    fmt::format_to(std::back_inserter(out), "{:<24} {:<8} {:>10} {:>10} {:>10} {:>10}  {}\n",
                   printable(pool["name"].get<std::string>()), state_of(pool), pool["jobs_queued"].dump(),
                   pool["jobs_running"].dump(), pool["jobs_done"].dump(), pool["to_take"].dump(), holder_of(pool));
  }
  return out;
}

Result<std::string> show_pool(const std::string& pools_json, const std::string& name) {
  const std::string id =
      fmt::format("{:016x}", net::log_of_pool(name));  // of a broken one perhaps nothing else is known
  for (const json& pool : json::parse(pools_json)) {
    if (pool["name"] != name && pool["id"] != id) continue;
    std::string out;
    const auto line = [&](const char* what, const std::string& text) {
      fmt::format_to(std::back_inserter(out), "{:<16} {}\n", what, printable(text));
    };
    line("name", pool["name"].get<std::string>());
    line("class", pool["label"].get<std::string>());
    line("state", state_of(pool));
    if (const json& reading = pool["reading"]; !reading.is_null()) {
      line("read", fmt::format("{} of {} entries", reading["entries_read"].dump(), reading["entries"].dump()));
      return out;
    }
    if (!pool["error"].is_null()) {
      std::istringstream lines(pool["error"].get<std::string>());
      std::string what = "error";
      for (std::string one; std::getline(lines, one); what.clear()) line(what.c_str(), one);
    }
    line("in the hands of", holder_of(pool));
    line("workers", fmt::format("{} (+{} starting)", pool["workers"].dump(), pool["starting"].dump()));
    line("jobs queued", pool["jobs_queued"].dump());
    line("jobs running", pool["jobs_running"].dump());
    line("jobs done", pool["jobs_done"].dump());
    line("to deliver", fmt::format("{}, {} of them done", pool["to_deliver"].dump(), pool["to_take"].dump()));
    line("updates", pool["updates"].dump());
    line("keys", pool["keys"].dump());
    line("kept", fmt::format("{} bytes", pool["kept_bytes"].dump()));
    return out;
  }
  return fail(ErrorCode::not_found, fmt::format("the head has no pool named '{}'", name));
}

Result<void> write_results(const net::HeadAccess& access, const std::string& name, const std::string& directory) {
  if (!directory.empty()) {
    ::umask(077);  // the values are this user's alone, and this process makes no other files
    std::error_code problem;
    std::filesystem::create_directories(directory, problem);
    if (problem) return fail(ErrorCode::io, fmt::format("{} cannot be made ({})", directory, problem.message()));
  }
  Writer writer(directory);
  const auto hear = [&](net::Session& session, wire::Message& message) -> Result<net::Heard> {
    const auto* seen = std::get_if<wire::OutcomesSeen>(&message);
    if (!seen) return net::Heard::not_all;
    if (!seen->known) return fail(ErrorCode::not_found, fmt::format("the head has no pool named '{}'", name));
    for (const wire::SeenOutcome& outcome : seen->items) {
      BOOST_OUTCOME_TRYV(writer.write(outcome));
    }
    if (!seen->more) return net::Heard::all;
    session.send(wire::SeeOutcomes{name, seen->last});
    return net::Heard::not_all;
  };
  return net::ask(access, wire::SeeOutcomes{name, 0}, hear, asking());
}

Result<void> remove_pool(const net::HeadAccess& access, const std::string& name, bool steal) {
  const auto hear = [&](net::Session& session, wire::Message& message) -> Result<net::Heard> {
    if (const auto* failed = std::get_if<wire::PoolFailed>(&message)) return failure_of(*failed);
    if (const auto* held = std::get_if<wire::PoolHeld>(&message)) wait_for_holder(session, *held);
    if (const auto* opened = std::get_if<wire::PoolOpened>(&message)) session.send(wire::ClosePool{opened->id});
    return std::holds_alternative<wire::PoolClosed>(message) ? net::Heard::all : net::Heard::not_all;
  };
  // As a client of a named pool that exists.
  const wire::OpenPool attach{PoolId{net::random_id()}, {}, false, {}, name, true, steal, process_name()};
  return net::ask(access, attach, hear, asking(wire::Role::client));
}

Result<std::string> repair_pool(const net::HeadAccess& access, const std::string& name) {
  std::string told;
  const auto hear = [&](net::Session&, wire::Message& message) -> Result<net::Heard> {
    if (const auto* failed = std::get_if<wire::PoolFailed>(&message)) return failure_of(*failed);
    const auto* repaired = std::get_if<wire::PoolRepaired>(&message);
    if (!repaired) return net::Heard::not_all;
    told = fmt::format("{}{} jobs that were accepted are lost{}, {} that had ended run again",
                       repaired->or_more ? "at least " : "", repaired->jobs_lost,
                       repaired->or_more ? " (what cannot be read may have held more)" : "", repaired->jobs_again);
    told = repaired->removed ? fmt::format("nothing of pool '{}' could be kept, and it is gone: {}", name, told)
                             : fmt::format("pool '{}' is repaired: {}", name, told);
    return net::Heard::all;
  };
  BOOST_OUTCOME_TRYV(
      net::ask(access, wire::RepairPool{PoolId{net::random_id()}, name}, hear, asking(wire::Role::client)));
  return told;
}

Result<std::string> forget_keys(const net::HeadAccess& access, const std::string& name,
                                const std::vector<std::string>& keys) {
  std::string told;
  const auto hear = [&](net::Session&, wire::Message& message) -> Result<net::Heard> {
    if (const auto* failed = std::get_if<wire::PoolFailed>(&message)) return failure_of(*failed);
    const auto* forgotten = std::get_if<wire::KeysForgotten>(&message);
    if (!forgotten) return net::Heard::not_all;
    told = keys.empty() ? fmt::format("pool '{}': the values of {} keys are forgotten", name, forgotten->forgotten)
                        : fmt::format("pool '{}': {} of {} keys had a value, which is forgotten", name,
                                      forgotten->forgotten, keys.size());
    return net::Heard::all;
  };
  const wire::ForgetKeys forget{PoolId{net::random_id()}, name, keys, keys.empty()};
  BOOST_OUTCOME_TRYV(net::ask(access, forget, hear, asking(wire::Role::client)));
  return told;
}

}  // namespace dc::cli

// See redis_lease.hpp.
#include "store/redis_lease.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "core/limits.hpp"
#include "store/held_by.hpp"

namespace dc::store {
namespace {

constexpr std::string_view format_version = "1";
constexpr auto disk_patience = limits::store_call_timeout - 500ms;  // for WAITAOF, below the limit of a call
constexpr int attempts_max = 3;
constexpr std::string_view pausing = " pausing";  ///< of a lease whose holder says nothing yet

/// What the kernel and the namespace of process ids are, so that a process id means something.
std::string this_machine() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::array<char, 64> space{};
  const ssize_t size = ::readlink("/proc/self/ns/pid", space.data(), space.size());
  return boot + "/" + std::string(space.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
}

struct Lease {
  Owner owner;
  std::string machine;
  bool pausing = false;
};

/// From "term pid host machine", or that and "pausing".
Lease parse_lease(std::string_view text) {
  std::array<std::string, 5> parts;
  for (std::string& part : parts) {
    const std::size_t end = text.find(' ');
    part = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return {
      {parts[2], static_cast<std::uint32_t>(std::strtoul(parts[1].c_str(), nullptr, 10))}, parts[3], !parts[4].empty()};
}

/// The value of "name:value" in the answer to INFO.
std::string info(std::string_view text, std::string_view name) {
  const std::string line = fmt::format("\n{}:", name);
  const std::size_t at = text.find(line);
  if (at == text.npos) return "";
  const std::string_view rest = text.substr(at + line.size());
  return std::string(rest.substr(0, rest.find('\r')));
}

bool at_least(const std::string& version, int major, int minor) {
  char* after = nullptr;
  const long first = std::strtol(version.c_str(), &after, 10);
  const long second = *after == '.' ? std::strtol(after + 1, nullptr, 10) : 0;
  return first > major || (first == major && second >= minor);
}

}  // namespace

std::string RedisLease::key(const std::string& name) const {
  // The braces put all keys into one slot, for those who shard.
  return fmt::format("{{{}}}:{}", options_.address.prefix, name);
}

std::string RedisLease::survives() const {
  if (server_.version.empty()) return "";
  if (!server_.persistent) return "kept in its memory only: switch appendonly on there";
  if (waits_for_disk() || server_.fsync == "always") return "survives the loss of power";
  if (server_.fsync == "everysec") return "the loss of power takes at most the last second";
  return "the loss of power takes what it had not brought to its disk";
}

bool RedisLease::waits_for_disk() const {
  return options_.durability == Durability::always && server_.can_wait && server_.persistent;
}

// --- Asking -----------------------------------------------------------------------------------------------------

Result<void> RedisLease::connect() {
  if (connection_) return boost::outcome_v2::success();
  armed_ = false;
  BOOST_OUTCOME_TRY(opened, RedisConnection::open(options_.address, options_.dial_tls));
  connection_ = std::move(opened);
  if (term_ == 0) return boost::outcome_v2::success();
  const Result<void> forgotten = forget_older_connections();
  if (!forgotten) connection_.reset();
  return forgotten;
}

/// All commands and answers go through here; a connection that broke is made anew by the next.
Result<std::vector<RedisReply>> RedisLease::exchange(const std::vector<RedisCommand>& commands) {
  BOOST_OUTCOME_TRYV(connect());
  Result<std::vector<RedisReply>> replies = connection_->ask(commands);
  if (!replies) {
    connection_.reset();
    armed_ = false;
  }
  return replies;
}

Result<std::vector<RedisReply>> RedisLease::ask(const std::vector<RedisCommand>& commands) {
  BOOST_OUTCOME_TRY(replies, exchange(commands));
  for (const RedisReply& reply : replies) {
    if (reply.is_error()) return redis_error(options_.address.name(), reply.text());
  }
  return std::move(replies);
}

Result<RedisReply> RedisLease::ask(const RedisCommand& command) {
  BOOST_OUTCOME_TRY(replies, ask(std::vector<RedisCommand>{command}));
  return replies.front();
}

// --- Transactions -----------------------------------------------------------------------------------------------

Result<void> RedisLease::arm() {
  BOOST_OUTCOME_TRYV(connect());
  if (armed_) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(replies, ask(std::vector<RedisCommand>{{"WATCH", key("term")}, {"GET", key("term")}}));
  if (replies[1].is_nil()) {
    return fail(ErrorCode::protocol,
                fmt::format("{} has lost what was stored there (it was restarted without its data, "
                            "or emptied): start the head again; named pools are lost",
                            options_.address.name()));
  }
  if (replies[1].text() != std::to_string(term_)) return taken_by_another();
  armed_ = true;
  return boost::outcome_v2::success();
}

/// A transaction that was sent over a connection that broke may still be on its way. It watches the term, so touching
/// that makes it void.
Result<void> RedisLease::forget_older_connections() {
  BOOST_OUTCOME_TRYV(arm());
  return transact({{"SET", key("term"), std::to_string(term_)}});
}

Error RedisLease::taken_by_another() {
  const Result<RedisReply> lease = ask(RedisCommand{"GET", key("lease")});
  if (lease && !lease.value().is_nil()) {
    return held_by("the store (" + options_.address.name() + ")", parse_lease(lease.value().text()).owner);
  }
  return fail(ErrorCode::fenced, fmt::format("another head has taken the store ({})", options_.address.name()));
}

Result<void> RedisLease::transact(std::vector<RedisCommand> commands) {
  BOOST_OUTCOME_TRYV(arm());
  const std::size_t count = commands.size();
  commands.insert(commands.begin(), {"MULTI"});
  commands.push_back({"EXEC"});
  // For the next transaction, so that each takes one round trip.
  commands.push_back({"WATCH", key("term")});
  commands.push_back({"GET", key("term")});
  if (waits_for_disk()) commands.push_back({"WAITAOF", "1", "0", std::to_string(disk_patience.count())});
  armed_ = false;
  BOOST_OUTCOME_TRY(replies, exchange(commands));
  armed_ = replies[count + 3].text() == std::to_string(term_);
  return check_executed(replies, count);
}

Result<void> RedisLease::check_executed(const std::vector<RedisReply>& replies, std::size_t commands) {
  for (std::size_t i = 0; i <= commands; ++i) {
    if (replies[i].is_error()) return redis_error(options_.address.name(), replies[i].text());
  }
  const RedisReply& executed = replies[commands + 1];
  if (executed.is_nil()) {
    armed_ = false;
    BOOST_OUTCOME_TRYV(arm());
    return fail(ErrorCode::unreachable,
                fmt::format("{} did not carry out a transaction: it is tried again", options_.address.name()));
  }
  if (executed.is_error()) return redis_error(options_.address.name(), executed.text());
  for (std::size_t i = 0; i < executed.size(); ++i) {
    if (executed[i].is_error()) return redis_error(options_.address.name(), executed[i].text());
  }
  if (!waits_for_disk()) return boost::outcome_v2::success();
  const RedisReply& synced = replies[commands + 4];
  if (synced.is_error()) return redis_error(options_.address.name(), synced.text());
  if (synced.size() == 0 || synced[0].integer() < 1) {
    return fail(ErrorCode::unreachable,
                fmt::format("{} did not bring an entry to its disk in time: is the disk slow or "
                            "broken?",
                            options_.address.name()));
  }
  return boost::outcome_v2::success();
}

// --- The lease --------------------------------------------------------------------------------------------------

Result<void> RedisLease::look_at_server() {
  BOOST_OUTCOME_TRY(reply, ask(RedisCommand{"INFO"}));
  const std::string_view text = reply.text();
  const std::string name = options_.address.name();
  const std::string valkey = info(text, "valkey_version");
  Server server;
  server.version = valkey.empty() ? info(text, "redis_version") : valkey;
  if (valkey.empty() && !at_least(server.version, 6, 2)) {
    return fail(ErrorCode::invalid, fmt::format("{} has version {}: 6.2 or later is needed", name, server.version));
  }
  if (info(text, "role") == "slave") return redis_error(name, "READONLY");
  if (info(text, "maxmemory_policy").starts_with("allkeys") && info(text, "maxmemory") != "0") {
    return fail(ErrorCode::invalid,
                fmt::format("{} throws keys away when it is full (maxmemory-policy {}): set that to "
                            "noeviction",
                            name, info(text, "maxmemory_policy")));
  }
  server.persistent = info(text, "aof_enabled") == "1";
  server.can_wait = !valkey.empty() || at_least(server.version, 7, 2);
  BOOST_OUTCOME_TRY(settings, exchange({{"CONFIG", "GET", "appendfsync"}}));  // managed servers may refuse it
  if (settings[0].size() == 2) server.fsync = settings[0][1].text();
  server_ = server;
  return boost::outcome_v2::success();
}

Result<void> RedisLease::check_format(const RedisReply& format) const {
  if (format.is_nil() || format.text() == format_version) return boost::outcome_v2::success();
  return fail(
      ErrorCode::protocol,
      fmt::format("the store ({}) has version {}, and this head knows version {}: start the head of the version "
                  "that wrote it, or name another database with --store",
                  options_.address.name(), format.text(), format_version));
}

/// Ours from an attempt whose answer was lost, or of a process of this machine that is gone.
bool RedisLease::may_take(std::string_view lease) const {
  if (lease.empty() || lease == lease_) return true;
  const Lease other = parse_lease(lease);
  if (other.machine != this_machine() || other.owner.pid == 0) return false;
  return ::kill(static_cast<pid_t>(other.owner.pid), 0) != 0 && errno == ESRCH;
}

Result<RedisLease::Taken> RedisLease::take(const Owner& owner) {
  const std::string name = options_.address.name();
  BOOST_OUTCOME_TRY(
      seen,
      ask({{"WATCH", key("term"), key("lease")}, {"GET", key("format")}, {"GET", key("lease")}, {"GET", key("term")}}));
  BOOST_OUTCOME_TRYV(check_format(seen[1]));
  if (!may_take(seen[2].text())) {
    return held_by("the store (" + name + ")", parse_lease(seen[2].text()).owner);
  }
  // A store that was emptied must not begin with terms that peers have seen before: they would not believe it.
  const auto clock = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t first_term = std::chrono::duration_cast<std::chrono::milliseconds>(clock).count();
  const bool empty = seen[3].is_nil();
  const auto term = static_cast<std::uint64_t>(empty ? first_term : seen[3].integer()) + 1;
  const bool ran_out = (seen[2].is_nil() && !empty) || parse_lease(seen[2].text()).pausing;
  lease_ = fmt::format("{} {} {} {}{}", term, owner.pid, owner.host, this_machine(), ran_out ? pausing : "");
  const auto milliseconds = std::chrono::milliseconds(limits::store_lease).count();
  BOOST_OUTCOME_TRY(replies, ask({{"MULTI"},
                                  {"SET", key("term"), std::to_string(term)},
                                  {"SET", key("lease"), lease_, "PX", std::to_string(milliseconds)},
                                  {"SET", key("format"), std::string(format_version)},
                                  {"EXEC"}}));
  if (replies[4].is_nil()) return Taken{};
  return Taken{term, ran_out};
}

/// The holder before may still act for as long: see still_held().
Result<void> RedisLease::pause() {
  std::this_thread::sleep_for(limits::store_takeover_pause);
  lease_.resize(lease_.size() - pausing.size());
  const Result<void> renewed = renew();
  if (!renewed) lease_ += pausing;  // what stands there, for the next attempt
  return renewed;
}

Result<std::uint64_t> RedisLease::acquire(const Owner& owner) {
  term_ = 0;
  BOOST_OUTCOME_TRYV(look_at_server());
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    BOOST_OUTCOME_TRY(taken, take(owner));
    if (taken.term == 0) continue;
    term_ = taken.term;
    if (!taken.ran_out) return term_;
    const Result<void> paused = pause();
    if (paused) return term_;
    term_ = 0;
    return paused.error();
  }
  return fail(ErrorCode::fenced,
              fmt::format("several heads want the store ({}) at the same time: start one", options_.address.name()));
}

Result<void> RedisLease::renew() {
  // One that ran out and that nobody has taken since is ours again.
  const auto milliseconds = std::chrono::milliseconds(limits::store_lease).count();
  const Result<void> renewed = transact({{"SET", key("lease"), lease_, "PX", std::to_string(milliseconds)}});
  // armed_: after the refusal the term was still ours.
  refused_ = !renewed && renewed.error().code == ErrorCode::full && armed_ && is_primary();
  return renewed;
}

/// A server that became a replica may be behind.
bool RedisLease::is_primary() {
  const Result<RedisReply> reply = ask(RedisCommand{"INFO", "replication"});
  return reply && info(reply.value().text(), "role") == "master";
}

Duration RedisLease::still_held() const { return refused_ ? Duration(limits::store_takeover_pause) : Duration::zero(); }

void RedisLease::release() {
  // Not deleted: one that is missing has run out, and who takes such a one has to pause.
  if (term_ != 0) (void)transact({{"SET", key("lease"), ""}});
  term_ = 0;
  lease_.clear();
  connection_.reset();
  armed_ = refused_ = false;
}

}  // namespace dc::store

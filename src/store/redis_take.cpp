// How a head takes the lease of a Redis; see redis_lease.hpp.
#include <fmt/format.h>
#include <signal.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "core/limits.hpp"
#include "store/held_by.hpp"
#include "store/redis_lease.hpp"

namespace dc::store {
namespace {

constexpr int take_attempts_max = 3;
/// A server needs a moment to notice that the connection of a process that was killed is gone.
constexpr auto connection_gone_patience = 1s;
constexpr auto connection_look_interval = 20ms;

bool at_least(const std::string& version, int major, int minor) {
  char* after = nullptr;
  const long first = std::strtol(version.c_str(), &after, 10);
  const long second = *after == '.' ? std::strtol(after + 1, nullptr, 10) : 0;
  return first > major || (first == major && second >= minor);
}

TimePoint now() { return std::chrono::steady_clock::now(); }

}  // namespace

Result<void> RedisLease::look_at_server() {
  BOOST_OUTCOME_TRY(reply, ask(RedisCommand{"INFO"}));
  const std::string_view text = reply.text();
  const std::string name = link_.name();
  const std::string valkey = info_value(text, "valkey_version");
  Server server;
  server.version = valkey.empty() ? info_value(text, "redis_version") : valkey;
  if (valkey.empty() && !at_least(server.version, 6, 2)) {
    return fail(ErrorCode::invalid, fmt::format("{} has version {}: 6.2 or later is needed", name, server.version));
  }
  if (info_value(text, "role") == "slave") {
    link_.close();
    return redis_error(name, "READONLY");
  }
  if (const std::string why = throws_away(name, text); !why.empty()) return fail(ErrorCode::full, why);
  server.persistent = info_value(text, "aof_enabled") == "1";
  server.can_wait = !valkey.empty() || at_least(server.version, 7, 2);
  BOOST_OUTCOME_TRY(settings, link_.exchange({{"CONFIG", "GET", "appendfsync"}}));  // managed servers may refuse it
  if (settings[0].size() == 2) server.fsync = settings[0][1].text();
  server_ = server;
  return boost::outcome_v2::success();
}

Result<void> RedisLease::check_format(const RedisReply& format) const {
  if (format.is_nil() || format.text() == format_version || format.text() == format_with_streams ||
      format.text() == format_without_chance) {
    return boost::outcome_v2::success();
  }
  return fail(
      ErrorCode::protocol,
      fmt::format("the store ({}) has version {}, and this head knows version {}: start the head of the version "
                  "that wrote it, or name another database with --store",
                  link_.name(), format.text(), format_version));
}

/// That it is not there in this kernel is half a proof: in a copy of a virtual machine, which believes to be the same
/// kernel, the process may be gone while it lives in the original. Then the server still has its connection.
bool RedisLease::process_is_gone(const Lease& lease) {
  if (lease.machine != this_machine() || lease.owner.pid == 0) return false;
  if (::kill(static_cast<pid_t>(lease.owner.pid), 0) == 0 || errno != ESRCH) return false;
  if (lease.connection.empty()) return lease.beat == 0;  // format 1; otherwise the server does not tell
  for (const TimePoint end = now() + connection_gone_patience; now() < end;) {
    const auto listed = link_.exchange({{"CLIENT", "LIST", "ID", lease.connection}});
    if (!listed || listed.value()[0].is_error()) return false;
    if (listed.value()[0].text().empty()) return true;
    std::this_thread::sleep_for(connection_look_interval);
  }
  return false;
}

Result<RedisLease::Claim> RedisLease::may_take(const Seen& seen, TimePoint asked) {
  const std::string_view text = seen.lease.text();
  may_be_gone_ = false;
  if (seen.lease.is_nil() && seen.term.is_nil()) return Claim::free;  // nobody has ever had it
  if (!seen.lease.is_nil() && text.empty()) return Claim::free;       // given up
  const Lease lease = Lease::parse(text);
  if (!lease_.term.empty() && lease.term == lease_.term && lease.beat <= lease_.beat) {
    return lease.pausing ? Claim::ran_out : Claim::free;  // ours, from an attempt whose answer was lost
  }
  if (process_is_gone(lease)) return lease.pausing ? Claim::ran_out : Claim::free;
  // A holder of format 1 does not count beats: it gives its lease more time to live.
  const std::int64_t left = seen.time_to_live.integer();
  if (left > time_to_live_) ++prolonged_;
  time_to_live_ = left;
  const LeaseWatch::Verdict verdict = watch_.look(fmt::format("{} {}", text, prolonged_), asked, now());
  if (verdict == LeaseWatch::Verdict::quiet) return Claim::ran_out;
  may_be_gone_ = seen.lease.is_nil() || verdict != LeaseWatch::Verdict::renewed;  // format 1 lets it run out
  const std::string store = "the store (" + link_.name() + ")";
  if (!seen.lease.is_nil()) return held_by(store, lease.owner);
  return fail(ErrorCode::fenced, store + " was left by a head that may still be there" + std::string(held_by_advice));
}

Result<std::uint64_t> RedisLease::next_term(const Seen& seen) const {
  std::uint64_t counter = 0;  // no clock is asked: who knows a higher term says so, see raise_term()
  if (!seen.term.is_nil()) {
    const auto stored = stored_counter(seen.term.text(), seen.format.is_nil() ? format_version : seen.format.text());
    if (!stored) {
      return fail(ErrorCode::protocol,
                  fmt::format("the store ({}) is broken (its term is \"{}\"): bring a copy of its data back, or name "
                              "another database with --store",
                              link_.name(), seen.term.text().substr(0, 40)));
    }
    counter = *stored;
  }
  return make_term(counter + 1, std::random_device()());
}

Result<bool> RedisLease::take(const Owner& owner) {
  const TimePoint asked = now();
  const BootClock::time_point taken = BootClock::now();
  BOOST_OUTCOME_TRY(replies, ask({{"WATCH", key("term"), key("lease")},
                                  {"GET", key("format")},
                                  {"GET", key("lease")},
                                  {"GET", key("term")},
                                  {"PTTL", key("lease")}}));
  const Seen seen{replies[1], replies[2], replies[3], replies[4]};
  BOOST_OUTCOME_TRYV(check_format(seen.format));
  BOOST_OUTCOME_TRY(claim, may_take(seen, asked));
  BOOST_OUTCOME_TRY(term, next_term(seen));
  lease_ = Lease{std::to_string(term), owner, this_machine(), 1, "", claim == Claim::ran_out};
  BOOST_OUTCOME_TRY(written, ask({{"MULTI"},
                                  {"SET", key("term"), std::to_string(term)},
                                  {"SET", key("lease"), lease_.text()},
                                  {"SET", key("format"), std::string(format_version)},
                                  {"EXEC"}}));
  if (written[4].is_nil()) return false;
  term_ = raised_ = term;
  terms_->begin(term);
  hold_from(taken, claim);
  return true;
}

/// The holder before may still act for a while when it was not seen to be gone: see LeaseThread::Renewal::held.
void RedisLease::hold_from(BootClock::time_point taken, Claim claim) {
  const BootClock::time_point speaks_from =
      claim == Claim::ran_out ? BootClock::now() + limits::store_takeover_pause : taken;
  const auto beat = std::make_shared<RedisBeat>(options_, terms_, lease_, speaks_from);
  thread_ = std::make_unique<LeaseThread>(
      LeaseThread::Options{.renew = [beat] { return beat->renew(); }, .taken = taken, .silence = speaks_from - taken});
}

Result<std::uint64_t> RedisLease::acquire(const Owner& owner) {
  thread_.reset();
  term_ = 0;
  BOOST_OUTCOME_TRYV(look_at_server());
  for (int attempt = 0; attempt < take_attempts_max; ++attempt) {
    BOOST_OUTCOME_TRY(taken, take(owner));
    if (taken) return term_;
  }
  return fail(ErrorCode::fenced,
              fmt::format("several heads want the store ({}) at the same time: start one", link_.name()));
}

}  // namespace dc::store

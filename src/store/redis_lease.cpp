// See redis_lease.hpp. Asking and transactions; redis_take.cpp has how a lease is taken.
#include "store/redis_lease.hpp"

#include <fmt/format.h>

#include <chrono>
#include <random>

#include "core/limits.hpp"
#include "store/held_by.hpp"

namespace dc::store {
namespace {

constexpr auto disk_patience = limits::store_call_timeout - 500ms;  // for WAITAOF, below the limit of a call

}  // namespace

RedisLease::RedisLease(const RedisOptions& options)
    : options_(options), link_(options, [this] { moved(Part::journal); }) {}

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

Hold RedisLease::hold() const { return thread_ ? thread_->hold() : Hold::lost; }

Result<void> RedisLease::check_hold() const {
  if (thread_) return thread_->state();
  return fail(ErrorCode::fenced, fmt::format("the store ({}) was given up by this head", link_.name()));
}

// --- Asking -----------------------------------------------------------------------------------------------------

Result<void> RedisLease::connect() {
  BOOST_OUTCOME_TRY(fresh, link_.connect());
  if (!fresh) return boost::outcome_v2::success();
  armed_ = false;
  if (term_ == 0) return boost::outcome_v2::success();
  const auto attempt = [this]() -> Result<void> {
    BOOST_OUTCOME_TRYV(forget_older_connections());
    if (on_reconnect_) return on_reconnect_();
    return boost::outcome_v2::success();
  };
  Result<void> usable = attempt();
  if (!usable) link_.close();
  return usable;
}

/// The term was touched under this connection, and is this head's all the same: by another call of its own, or by a
/// server that took an earlier state, or that of another server.
Result<void> RedisLease::look_again() {
  armed_ = false;
  BOOST_OUTCOME_TRYV(arm());
  Result<void> usable = on_reconnect_ ? on_reconnect_() : boost::outcome_v2::success();
  if (!usable) link_.close();  // so that the next call looks first
  return usable;
}

Result<std::vector<RedisReply>> RedisLease::ask(const std::vector<RedisCommand>& commands) {
  BOOST_OUTCOME_TRYV(connect());
  return link_.ask(commands);
}

Result<RedisReply> RedisLease::ask(const RedisCommand& command) {
  BOOST_OUTCOME_TRYV(connect());
  return link_.ask(command);
}

Result<std::vector<RedisReply>> RedisLease::exchange(const std::vector<RedisCommand>& commands) {
  BOOST_OUTCOME_TRYV(connect());
  return link_.exchange(commands);
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
                            link_.name()));
  }
  seen_term_ = replies[1].text();
  if (!terms_->contains(seen_term_)) return taken_by_another();
  armed_ = true;
  return boost::outcome_v2::success();
}

/// A transaction that was sent over a connection that broke may still be on its way. It watches the term, so touching
/// that makes it void.
Result<void> RedisLease::forget_older_connections() {
  BOOST_OUTCOME_TRYV(arm());
  return transact({{"SET", key("term"), seen_term_}});
}

Error RedisLease::taken_by_another() {
  const Result<RedisReply> lease = ask(RedisCommand{"GET", key("lease")});
  if (lease && !lease.value().text().empty()) {
    const Lease other = Lease::parse(lease.value().text());
    if (other.term != lease_.term) return held_by("the store (" + link_.name() + ")", other.owner);
  }
  return fail(ErrorCode::fenced, fmt::format("another head has taken the store ({})", link_.name()));
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
  BOOST_OUTCOME_TRY(replies, link_.exchange(commands));
  seen_term_ = replies[count + 3].text();
  armed_ = terms_->contains(seen_term_);
  return check_executed(replies, count);
}

Result<void> RedisLease::check_executed(const std::vector<RedisReply>& replies, std::size_t commands) {
  const std::string name = link_.name();
  for (std::size_t i = 0; i <= commands; ++i) {
    if (replies[i].is_error()) return redis_error(name, replies[i].text());
  }
  const RedisReply& executed = replies[commands + 1];
  if (executed.is_nil()) {
    BOOST_OUTCOME_TRYV(look_again());
    return fail(ErrorCode::unreachable, fmt::format("{} did not carry out a transaction: it is tried again", name));
  }
  if (executed.is_error()) return redis_error(name, executed.text());
  for (std::size_t i = 0; i < executed.size(); ++i) {
    if (executed[i].is_error()) return redis_error(name, executed[i].text());
  }
  if (!waits_for_disk()) return boost::outcome_v2::success();
  const RedisReply& synced = replies[commands + 4];
  if (synced.is_error()) return redis_error(name, synced.text());
  if (synced.size() == 0 || synced[0].integer() < 1) {
    return fail(ErrorCode::unreachable,
                fmt::format("{} did not bring an entry to its disk in time: is the disk slow or "
                            "broken?",
                            name));
  }
  return boost::outcome_v2::success();
}

/// Peers that knew an earlier state of this store, or another one under this name, believe no head of a lower term.
Result<std::uint64_t> RedisLease::raise_term(std::uint64_t above) {
  if (term_ == 0 || above <= raised_) return raised_;
  if (above > limits::claimed_term_max) return fail(ErrorCode::invalid, "no store gives such a term");
  const std::uint64_t higher = make_term(counter_of(above) + 1, std::random_device()());
  terms_->add(higher);
  BOOST_OUTCOME_TRYV(transact({{"SET", key("term"), std::to_string(higher)}}));
  return raised_ = higher;
}

void RedisLease::release() {
  thread_.reset();
  // Not deleted: one that is missing was lost, and who takes such a one has to wait.
  if (term_ != 0) (void)transact({{"SET", key("lease"), ""}});
  term_ = raised_ = 0;
  lease_ = {};
  watch_ = {};
  link_.close();
  armed_ = false;
}

}  // namespace dc::store

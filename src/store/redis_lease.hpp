// The hold of one head on a Redis: a lease that its holder renews, a term that only grows, and transactions that a head
// of another term cannot carry out.
//
// Keys (all begin with "{prefix}:"): format, term, lease (redis_term.hpp). Every transaction watches the term; who
// takes the lease raises it. Whoever was frozen meanwhile, or whose bytes were still on their way, finds that EXEC does
// nothing. Nothing has a time to live and no wall clock is read: the holder counts beats in the lease (redis_beat.hpp,
// on a thread of its own), and a standby takes it when it has seen no new beat for limits::store_lease
// (lease_watch.hpp).
//
// A server whose disk is full answers but takes no writes, so there are no beats though the holder is well. Nobody can
// take the lease either, until there is room. So that the holder can go on, each refusal is followed by a look at the
// term: if that is its own, whoever takes the lease does so later, and says nothing for limits::store_takeover_pause
// after that. The word "pausing" in the lease tells the next one, should that head end meanwhile.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/lease_thread.hpp"
#include "store/lease_watch.hpp"
#include "store/redis_beat.hpp"
#include "store/redis_link.hpp"
#include "store/redis_term.hpp"
#include "store/store.hpp"

namespace dc::store {

class RedisLease {
 public:
  explicit RedisLease(const RedisOptions& options);

  Result<std::uint64_t> acquire(const Owner& owner);
  void release();
  /// See Store: of the same names.
  [[nodiscard]] bool may_be_gone() const { return may_be_gone_; }
  [[nodiscard]] Hold hold() const;
  [[nodiscard]] Result<void> check_hold() const;
  [[nodiscard]] Duration silence_left() const { return thread_ ? thread_->silence_left() : Duration::zero(); }
  void moved(Part part, Duration longer = Duration::zero()) {
    if (thread_) thread_->moved(part, longer);
  }
  Result<std::uint64_t> raise_term(std::uint64_t above);
  /// See LeaseThread.
  [[nodiscard]] std::string trouble() const { return thread_ ? thread_->trouble() : ""; }

  /// That this head took; 0: it has not got the store.
  [[nodiscard]] std::uint64_t term() const { return term_; }
  [[nodiscard]] std::string key(const std::string& name) const { return link_.key(name); }
  /// What an append survives, as known since acquire().
  [[nodiscard]] std::string survives() const;
  /// Called on each new connection, when nothing of the old one can arrive any more, and when the server may have
  /// fallen back under one. Its failure is that of the call.
  void on_reconnect(std::function<Result<void>()> look) { on_reconnect_ = std::move(look); }

  /// Answers to reading commands (and to those on keys that only this term uses). An error of the server fails it.
  Result<std::vector<RedisReply>> ask(const std::vector<RedisCommand>& commands);
  Result<RedisReply> ask(const RedisCommand& command);
  /// The same, where errors of the server are answers.
  Result<std::vector<RedisReply>> exchange(const std::vector<RedisCommand>& commands);
  /// Carries out all or none, if this head still has the store: else `fenced`. After another failure it is unknown
  /// whether it was carried out, but it will not be later.
  Result<void> transact(std::vector<RedisCommand> commands);

 private:
  struct Server {
    std::string version;
    bool persistent = false;  ///< it keeps an append-only file
    std::string fsync;        ///< of that file: always, everysec, no; empty: it does not say
    bool can_wait = false;    ///< it has WAITAOF
  };
  /// How the lease may be taken.
  enum class Claim {
    free,     ///< at once
    ran_out,  ///< its holder may still act for limits::store_takeover_pause
  };
  struct Seen {
    RedisReply format, lease, term, time_to_live;
  };

  Result<void> connect();
  Result<void> look_again();
  Result<void> look_at_server();
  /// Watches the term and sees that it is ours.
  Result<void> arm();
  Result<void> check_format(const RedisReply& format) const;
  Result<Claim> may_take(const Seen& seen, TimePoint asked);
  bool process_is_gone(const Lease& lease);
  /// False: somebody else was quicker.
  Result<bool> take(const Owner& owner);
  Result<std::uint64_t> next_term(const Seen& seen) const;
  void hold_from(BootClock::time_point taken, Claim claim);
  Result<void> forget_older_connections();
  Result<void> check_executed(const std::vector<RedisReply>& replies, std::size_t commands);
  Error taken_by_another();
  [[nodiscard]] bool waits_for_disk() const;

  const RedisOptions& options_;
  RedisLink link_;
  std::function<Result<void>()> on_reconnect_;
  Server server_;
  std::uint64_t term_ = 0;
  std::uint64_t raised_ = 0;  ///< what it was raised to, or itself
  std::shared_ptr<OwnTerms> terms_ = std::make_shared<OwnTerms>();
  Lease lease_;         ///< that this head wrote, or tried to
  bool armed_ = false;  ///< the term is watched on this connection, and was ours
  std::string seen_term_;

  LeaseWatch watch_;
  std::int64_t time_to_live_ = -1;  ///< of a lease of format 1, at the last look
  std::uint64_t prolonged_ = 0;     ///< how often that has grown
  bool may_be_gone_ = false;

  std::unique_ptr<LeaseThread> thread_;
};

}  // namespace dc::store

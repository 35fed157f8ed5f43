// The hold of one head on a Redis: a lease that runs out, a term that only grows, and transactions that a head of an
// older term cannot carry out.
//
// Keys (all begin with "{prefix}:"): format, term, lease ("term pid host machine", with a time to live; empty: given
// up). Every transaction watches the term; who takes the lease raises it. Whoever was frozen meanwhile, or whose bytes
// were still on their way, finds that EXEC does nothing.
//
// A server whose disk is full answers but takes no writes, so the lease runs out though its head is well. Nobody can
// take it either, until there is room. So that this head can go on, it asks for the term whenever it cannot renew: if
// that is its own, whoever takes the lease does so later, and says nothing for limits::store_takeover_pause after that.
// The word "pausing" in the lease tells the next one, should that head end meanwhile.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/redis_connection.hpp"
#include "store/store.hpp"

namespace dc::store {

struct RedisOptions {
  RedisAddress address;
  Durability durability = Durability::always;
  ContentHash content_hash = {};
  DialTls dial_tls = {};
};

class RedisLease {
 public:
  explicit RedisLease(const RedisOptions& options) : options_(options) {}

  Result<std::uint64_t> acquire(const Owner& owner);
  Result<void> renew();
  void release();
  /// See Store::still_held().
  [[nodiscard]] Duration still_held() const;

  [[nodiscard]] std::uint64_t term() const { return term_; }
  /// Name of a key of ours.
  [[nodiscard]] std::string key(const std::string& name) const;
  /// What an append survives, as known since acquire().
  [[nodiscard]] std::string survives() const;

  /// Answers to reading commands (and to those on keys that only this term uses). An error of the server fails it.
  Result<std::vector<RedisReply>> ask(const std::vector<RedisCommand>& commands);
  Result<RedisReply> ask(const RedisCommand& command);
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

  Result<void> connect();
  Result<void> look_at_server();
  /// Watches the term and sees that it is ours.
  Result<void> arm();
  Result<void> check_format(const RedisReply& format) const;
  [[nodiscard]] bool may_take(std::string_view lease) const;
  struct Taken {
    std::uint64_t term{};  ///< 0: somebody else was quicker
    bool ran_out = false;  ///< the lease before, and was not given up
  };
  Result<Taken> take(const Owner& owner);
  Result<void> pause();
  bool is_primary();
  Result<void> forget_older_connections();
  Result<void> check_executed(const std::vector<RedisReply>& replies, std::size_t commands);
  Error taken_by_another();
  [[nodiscard]] bool waits_for_disk() const;
  Result<std::vector<RedisReply>> exchange(const std::vector<RedisCommand>& commands);

  const RedisOptions& options_;
  std::unique_ptr<RedisConnection> connection_;
  Server server_;
  std::uint64_t term_ = 0;
  std::string lease_;     ///< the value that this head wrote, or tried to
  bool armed_ = false;    ///< the term is watched on this connection, and was ours
  bool refused_ = false;  ///< the last renewal, for lack of room, and the term was ours
};

}  // namespace dc::store

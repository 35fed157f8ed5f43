// What the lease's thread says to a Redis, over a connection of its own.
#pragma once

#include <memory>
#include <string>

#include "store/lease_thread.hpp"
#include "store/redis_link.hpp"
#include "store/redis_term.hpp"

namespace dc::store {

class RedisBeat {
 public:
  /// `lease` was written by the connection that took it. `pauses_until`: nothing is said before.
  RedisBeat(const RedisOptions& options, std::shared_ptr<const OwnTerms> terms, Lease lease,
            BootClock::time_point pauses_until)
      : link_(options), terms_(std::move(terms)), lease_(std::move(lease)), pauses_until_(pauses_until) {}

  /// Writes the next beat, if term and lease are this head's. It never writes the term.
  LeaseThread::Renewal renew();

 private:
  Result<void> connect();
  Result<void> look();
  Result<void> judge(const RedisReply& term, const RedisReply& lease);
  LeaseThread::Renewal beat(bool& again);

  RedisLink link_;
  std::shared_ptr<const OwnTerms> terms_;
  Lease lease_;  ///< the last one that may stand there
  BootClock::time_point pauses_until_;
  bool armed_ = false;  ///< term and lease are watched on this connection, and were ours
};

}  // namespace dc::store

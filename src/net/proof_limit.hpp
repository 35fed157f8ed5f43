// How often a wrong password may be tried: token buckets for each address and for all together; and where the right one
// was proved lately. Pure: time comes in.
#pragma once

#include <map>
#include <string>

#include "core/clock.hpp"
#include "core/limits.hpp"

namespace dc::net {

/// An address that never failed is never held up, whatever others do. One that fails too often, or fails while all
/// together fail too often, is turned away before it costs anything, until its tokens are back. Where the right
/// password was proved lately much more is let through, so that a stranger cannot keep the peers of his own address
/// out; a guess still costs him a key derivation. Addresses are those of address_group().
class ProofLimit {
 public:
  /// Whether a connection from this address is worth a handshake.
  [[nodiscard]] bool admits(const std::string& address, TimePoint now);
  /// A proof from there was wrong.
  void failed(const std::string& address, TimePoint now);
  /// One was right, and a session is open; and it has ended.
  void opened(const std::string& address);
  void closed(const std::string& address, TimePoint now);
  /// Whether there is a session from there, or was one lately.
  [[nodiscard]] bool knows(const std::string& address, TimePoint now) const;
  /// Addresses that are being watched.
  [[nodiscard]] std::size_t size() const { return addresses_.size(); }

 private:
  struct Bucket {
    double tokens;
    TimePoint at;
  };
  struct Rate {
    double most, per_second;
  };
  struct Proved {
    std::size_t sessions = 0;
    TimePoint ended;
  };
  static void refill(Bucket& bucket, Rate rate, TimePoint now);
  [[nodiscard]] Rate rate_of(const std::string& address, TimePoint now) const;
  void forget(TimePoint now);

  std::map<std::string, Bucket> addresses_;  ///< of those that failed; full buckets are forgotten
  std::map<std::string, Proved> proved_;
  Bucket all_{rate_all.most, {}};

  static constexpr Rate rate_stranger{20, 1}, rate_known{200, 100}, rate_all{200, 20};
};

}  // namespace dc::net

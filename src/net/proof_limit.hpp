// How often a wrong password may be tried: token buckets for each address and for all together. Pure: time comes in.
#pragma once

#include <map>
#include <string>

#include "core/clock.hpp"

namespace dc::net {

/// An address that never failed is never held up, whatever others do. One that fails too often, or fails while all
/// together fail too often, is turned away before it costs anything, until its tokens are back.
class ProofLimit {
 public:
  /// Whether a connection from this address (a host, without its port) is worth a handshake.
  [[nodiscard]] bool admits(const std::string& address, TimePoint now);
  /// A proof from there was wrong.
  void failed(const std::string& address, TimePoint now);
  /// Addresses that are being watched.
  [[nodiscard]] std::size_t size() const { return addresses_.size(); }

 private:
  struct Bucket {
    double tokens;
    TimePoint at;
  };
  static void refill(Bucket& bucket, double most, double per_second, TimePoint now);
  void forget(TimePoint now);

  std::map<std::string, Bucket> addresses_;  ///< of those that failed; full buckets are forgotten
  Bucket all_{limit_all, {}};

  static constexpr double limit_address = 20, address_per_second = 1;
  static constexpr double limit_all = 200, all_per_second = 20;
  static constexpr std::size_t addresses_max = 10'000;
};

}  // namespace dc::net

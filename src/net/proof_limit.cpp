// See proof_limit.hpp.
#include "net/proof_limit.hpp"

#include <algorithm>

namespace dc::net {

void ProofLimit::refill(Bucket& bucket, double most, double per_second, TimePoint now) {
  const double seconds = std::chrono::duration<double>(now - bucket.at).count();
  bucket.tokens = std::min(most, bucket.tokens + seconds * per_second);
  bucket.at = now;
}

bool ProofLimit::admits(const std::string& address, TimePoint now) {
  const auto found = addresses_.find(address);
  if (found == addresses_.end()) return true;
  refill(found->second, limit_address, address_per_second, now);
  refill(all_, limit_all, all_per_second, now);
  return found->second.tokens >= 1 && all_.tokens >= 1;
}

void ProofLimit::failed(const std::string& address, TimePoint now) {
  if (addresses_.size() >= addresses_max) forget(now);
  Bucket& bucket = addresses_.try_emplace(address, Bucket{limit_address, now}).first->second;
  refill(bucket, limit_address, address_per_second, now);
  refill(all_, limit_all, all_per_second, now);
  bucket.tokens = std::max(0.0, bucket.tokens - 1);
  all_.tokens = std::max(0.0, all_.tokens - 1);
}

/// Those whose tokens are back; when that makes no room, any: their next failure counts anew.
void ProofLimit::forget(TimePoint now) {
  for (auto& [address, bucket] : addresses_) refill(bucket, limit_address, address_per_second, now);
  std::erase_if(addresses_, [](const auto& entry) { return entry.second.tokens >= limit_address; });
  if (addresses_.size() >= addresses_max) addresses_.clear();
}

}  // namespace dc::net

// See proof_limit.hpp.
#include "net/proof_limit.hpp"

#include <algorithm>
#include <vector>

namespace dc::net {

void ProofLimit::refill(Bucket& bucket, Rate rate, TimePoint now) {
  const double seconds = std::chrono::duration<double>(now - bucket.at).count();
  bucket.tokens = std::min(rate.most, bucket.tokens + seconds * rate.per_second);
  bucket.at = now;
}

ProofLimit::Rate ProofLimit::rate_of(const std::string& address, TimePoint now) const {
  return knows(address, now) ? rate_known : rate_stranger;
}

bool ProofLimit::admits(const std::string& address, TimePoint now) {
  const auto found = addresses_.find(address);
  if (found == addresses_.end()) return true;
  refill(found->second, rate_of(address, now), now);
  refill(all_, rate_all, now);
  return found->second.tokens >= 1 && (all_.tokens >= 1 || knows(address, now));
}

void ProofLimit::failed(const std::string& address, TimePoint now) {
  const Rate rate = rate_of(address, now);
  if (addresses_.size() >= limits::addresses_remembered) forget(now);
  Bucket& bucket = addresses_.try_emplace(address, Bucket{rate.most, now}).first->second;
  refill(bucket, rate, now);
  bucket.tokens = std::max(0.0, bucket.tokens - 1);
  if (knows(address, now)) return;  // strangers of other addresses are not to suffer from it
  refill(all_, rate_all, now);
  all_.tokens = std::max(0.0, all_.tokens - 1);
}

void ProofLimit::opened(const std::string& address) { ++proved_[address].sessions; }

void ProofLimit::closed(const std::string& address, TimePoint now) {
  const auto found = proved_.find(address);
  if (found == proved_.end() || found->second.sessions == 0) return;
  --found->second.sessions;
  found->second.ended = now;
  if (proved_.size() <= limits::addresses_remembered) return;
  std::erase_if(proved_, [&](const auto& entry) { return !knows(entry.first, now); });
  auto oldest = proved_.end();
  for (auto one = proved_.begin(); one != proved_.end(); ++one) {
    if (one->second.sessions > 0) continue;
    if (oldest == proved_.end() || one->second.ended < oldest->second.ended) oldest = one;
  }
  if (proved_.size() > limits::addresses_remembered && oldest != proved_.end()) proved_.erase(oldest);
}

bool ProofLimit::knows(const std::string& address, TimePoint now) const {
  const auto found = proved_.find(address);
  return found != proved_.end() && (found->second.sessions > 0 || now - found->second.ended < limits::proof_remembered);
}

/// Those whose tokens are back; when that makes no room, the half that has most of them.
void ProofLimit::forget(TimePoint now) {
  for (auto& [address, bucket] : addresses_) refill(bucket, rate_of(address, now), now);
  std::erase_if(addresses_, [](const auto& entry) { return entry.second.tokens >= rate_stranger.most; });
  if (addresses_.size() < limits::addresses_remembered) return;
  std::vector<double> tokens;
  for (const auto& [address, bucket] : addresses_) tokens.push_back(bucket.tokens);
  const auto middle = tokens.begin() + static_cast<std::ptrdiff_t>(tokens.size() / 2);
  std::nth_element(tokens.begin(), middle, tokens.end());
  std::size_t to_go = tokens.size() / 2;
  std::erase_if(addresses_,
                [&](const auto& entry) { return entry.second.tokens >= *middle && to_go > 0 && to_go-- > 0; });
}

}  // namespace dc::net

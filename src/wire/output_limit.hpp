// Output never piles up in front of results: over a bound it is not sent, and the next message of the pool says how
// many lines are missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "core/limits.hpp"
#include "wire/messages.hpp"

namespace dc::wire {

class OutputLimit {
 public:
  /// Whether the message may go out to a connection that has so much queued.
  bool admit(OutputLines& output, std::size_t queued_bytes) {
    if (queued_bytes > limits::queued_before_output_max) {
      dropped_[output.pool] += output.lines.size() + output.left_out;
      return false;
    }
    if (const auto dropped = dropped_.find(output.pool); dropped != dropped_.end()) {
      output.left_out += dropped->second;
      dropped_.erase(dropped);
    }
    return true;
  }

 private:
  std::map<PoolId, std::uint64_t> dropped_;
};

}  // namespace dc::wire

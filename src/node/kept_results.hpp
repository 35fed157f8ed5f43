// The results of a pool that the node keeps until the head acknowledges them, and which of them may be under way:
// within the pool's window, or by their turn (docs/protocol.md, ResultWindow). The others are parked.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"
#include "core/limits.hpp"

namespace dc::node {

class KeptResults {
 public:
  struct Limits {
    std::uint64_t window_min = limits::result_window_min;
    std::uint64_t bytes_max = limits::kept_results_bytes_max;
    std::size_t results_max = limits::kept_results_max;
  };
  struct Kept {
    Token token;
    WorkerId worker;
    std::uint32_t run_time_us{};
    Outcome outcome;
    std::uint64_t cost = 0;
    bool sent = false;   ///< in this session
    bool large = false;  ///< larger than the window was: it asks for its turn, or has had it
  };

  explicit KeptResults(Limits limits) : limits_(limits), window_(limits.window_min) {}

  Kept& add(JobSequence sequence, Kept kept);
  /// True: it is to be sent now. False: it is parked; `large` says what it waits for.
  bool offer(JobSequence sequence, Kept& kept);
  /// The next parked one that is to be sent now.
  std::optional<JobSequence> next();
  /// Parked ones that have become larger than the window, since the last call: each asks for its turn now.
  std::vector<JobSequence> new_asks() { return std::exchange(asks_, {}); }
  void acknowledge(const Attempt& attempt);
  void window(std::uint64_t bytes) { window_ = bytes; }
  void turn(const Attempt& attempt) { turns_.push_back(attempt); }
  /// Nothing is under way, and what may be is to be told again.
  void session_over();

  /// So many are kept that no more should come; `was`: and it was so before, which ends at half of that.
  [[nodiscard]] bool full(bool was) const {
    const unsigned part = was ? 2 : 1;
    return bytes_ > limits_.bytes_max / part || kept_.size() > limits_.results_max / part;
  }
  [[nodiscard]] bool any_parked() const { return unsent_ > 0; }
  [[nodiscard]] bool empty() const { return kept_.empty(); }
  [[nodiscard]] Kept& at(JobSequence sequence) { return kept_.at(sequence); }
  /// In the order of their numbers.
  [[nodiscard]] std::vector<Attempt> attempts() const;

 private:
  void remove(std::unordered_map<JobSequence, Kept>::iterator kept);
  void send(Kept& kept);
  [[nodiscard]] bool waits(JobSequence sequence) const;

  Limits limits_;
  std::unordered_map<JobSequence, Kept> kept_;
  std::deque<JobSequence> parked_;  ///< waiting for room, oldest first; may name some that are gone
  std::deque<Attempt> turns_;       ///< given, and not used so far
  std::vector<JobSequence> asks_;
  std::uint64_t window_, under_way_ = 0, bytes_ = 0;
  std::size_t unsent_ = 0;
};

}  // namespace dc::node

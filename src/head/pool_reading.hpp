// The journal of a named pool that an earlier head has kept is read, some entries at a time.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.hpp"
#include "head/journal.hpp"
#include "store/store.hpp"

namespace dc::head {

/// To be used by one thread at a time.
class PoolReading {
 public:
  explicit PoolReading(store::LogId log) : log_(log) {}

  /// Some entries more; between two calls others may use the store, but not this log. Fails when the store cannot be
  /// read now: then it may be called again. A log that is damaged is over, with a problem.
  Result<void> read_some(store::Store& store);

  [[nodiscard]] store::LogId log() const { return log_; }
  [[nodiscard]] std::uint64_t entries() const { return entries_; }  ///< so far
  [[nodiscard]] bool over() const { return over_; }
  /// What could be read, once it is over; and why not all, as a sentence, or empty.
  [[nodiscard]] JournalState& state() { return state_; }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  Result<bool> read(store::Store& store);
  const store::LogId log_;
  store::Position position_;
  JournalState state_;
  std::uint64_t entries_ = 0;
  bool over_ = false;
  std::string problem_;
};

}  // namespace dc::head

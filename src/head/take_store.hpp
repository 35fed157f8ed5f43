// How a head comes to its store: at once, or as a standby when the head that has it is gone.
#pragma once

#include <cstdint>
#include <memory>

#include "core/result.hpp"
#include "head/head_options.hpp"
#include "store/store.hpp"

namespace dc::head {

struct TakenStore {
  std::unique_ptr<store::Store> store;  ///< null: named pools are not kept
  /// Of this head among those that share the store; 0: no other head can take it while this one runs.
  std::uint64_t term = 0;
  bool stopped = false;  ///< a signal ended the waiting
};

/// Opens the store and takes it; a standby waits for that, until SIGTERM, SIGINT or SIGHUP.
Result<TakenStore> take_store(const HeadOptions& options);

}  // namespace dc::head

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

/// The store of this head: the one that is named, else the one that is found on this machine.
store::StoreOptions wanted_store(const HeadOptions& options);

/// Opens the store and takes it; a standby waits for that, until SIGTERM, SIGINT or SIGHUP, which the caller holds
/// (held_signals.hpp). Errors: those of store::open_store() and Store::acquire().
Result<TakenStore> take_store(const store::StoreOptions& wanted, bool standby);
/// The same with the store of this head. Holds the signals itself.
Result<TakenStore> take_store(const HeadOptions& options);

}  // namespace dc::head

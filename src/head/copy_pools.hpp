// Copies named pools from one store to another, as `distributed-computing pools export` and `import` do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "core/result.hpp"
#include "store/copy_log.hpp"
#include "store/store.hpp"

namespace dc::head {

struct PoolsToCopy {
  std::vector<std::string> names = {};  ///< none: all there are
  std::string as = {};                  ///< new name of the one pool; empty: they keep theirs
  PoolId new_id = {};                   ///< of a pool with a new name
};

struct CopiedPool {
  std::string name;
  store::CopiedLog log = {};
  bool stood = false;  ///< it was there already, just the same
};

/// Copies all of these pools or none: what was copied is removed again when one fails. Both stores were acquired.
/// `not_found`: `from` has no such pool; `rejected`: `to` has another one of that name; `invalid`: `as` is no name, or
/// not for one pool; `protocol`: a pool in `from` is damaged; else what the stores and `go_on` say. The message names
/// the pool.
Result<std::vector<CopiedPool>> copy_pools(store::Store& from, store::Store& to, const PoolsToCopy& pools,
                                           const store::GoOn& go_on);

}  // namespace dc::head

// Copies logs from one store to another, whatever kinds these are, in memory for a few megabytes and one payload.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "core/result.hpp"
#include "store/store.hpp"

namespace dc::store {

/// How much was copied.
struct CopiedLog {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  ///< attachments included, as often as entries refer to them
};

/// Asked again and again in the course of a copy, which ends with the error when there is one.
using GoOn = std::function<Result<void>()>;

/// The first entry of a log, attachments stood for. `protocol`: there is none, or it is damaged.
Result<Entry> first_entry(Store& store, LogId log);

/// Whether both stores have the same entries in this log, as far as hashes tell.
Result<bool> same_log(Store& one, Store& other, LogId log);

/// Copies `log` of `from` to the log `as` of `to`, where there is none yet. The entries keep their numbers; `first`,
/// if given, stands in the place of the first one. That is written last: a log without it is none to a head, so that a
/// copy that is cut off is not taken for a whole one. On an error of either store, or of `go_on`, the log is removed
/// again.
Result<CopiedLog> copy_log(Store& from, LogId log, Store& to, LogId as, std::optional<Entry> first, const GoOn& go_on);

}  // namespace dc::store

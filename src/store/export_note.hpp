// What an exported file says beside the logs in it. Such a file is a store of SQLite (sqlite_schema.hpp) with one more
// table, which heads ignore.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/result.hpp"

namespace dc::store {

/// Another format needs another version; a column that earlier versions may ignore does not.
inline constexpr std::int64_t export_format = 1;

struct ExportNote {
  std::string made;           ///< when: UTC, as in 2025-01-31T23:59:59Z
  std::string made_by;        ///< version of the program
  std::string head_key = {};  ///< of the head (PEM); empty: it was not exported
};

/// Writes it into a file that a SqliteStore has written and released, and makes this one file: nothing of it stands
/// beside it any more, and all of it has come to the disk.
Result<void> write_export_note(const std::string& path, const ExportNote& note);

/// None: it is the store of a head, and no exported file. `not_found`: there is no such file; `protocol`: it is neither
/// of the two, or a later version wrote it. The message says which.
Result<std::optional<ExportNote>> read_export_note(const std::string& path);

}  // namespace dc::store

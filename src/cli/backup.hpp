// `distributed-computing pools export` and `import`: named pools go from a store into a file, and from there into
// another store. No head is asked.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "core/limits.hpp"
#include "core/result.hpp"
#include "head/copy_pools.hpp"

namespace dc::cli {

struct BackupArguments {
  std::string file;
  std::vector<std::string> names;  ///< of the pools; none: all
  std::string as;                  ///< new name of the one pool that is imported; empty: it keeps its own
  std::string store;               ///< as for a head (store::StoreOptions::url); empty: what the head on `port` uses
  std::uint16_t port = limits::default_port;
  std::string password;   ///< of the cluster; empty: unknown
  bool with_key = false;  ///< the head's key as well
};

void declare_export(CLI::App& command, BackupArguments& arguments);
void declare_import(CLI::App& command, BackupArguments& arguments);

/// Writes a new file with the pools. A store of SQLite may be in use; any other is taken for that long. Nothing is left
/// after an error: `not_found` | `protocol` | `fenced`: a head has the store | `invalid` | `io` | `full` |
/// `unreachable` | `left`: a signal came.
Result<std::vector<head::CopiedPool>> export_pools(const BackupArguments& arguments);

/// Puts the pools of such a file, or of a head's SQLite file, into a store that no head has. All or none; the same
/// errors, and `rejected`: what is there already is another.
Result<std::vector<head::CopiedPool>> import_pools(const BackupArguments& arguments);

/// What was copied: a line for each pool.
std::string copied_table(const std::vector<head::CopiedPool>& pools);

}  // namespace dc::cli

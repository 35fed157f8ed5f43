// Reading a file beside the head that has it: a transaction of a second connection, which sees one state of the
// write-ahead file; see sqlite_store.hpp.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "store/sqlite_schema.hpp"

namespace dc::store {

Result<void> SqliteStore::take_snapshot() {
  if (::access(options_.path.c_str(), F_OK) != 0) {
    return fail(ErrorCode::not_found,
                fmt::format("there is no store {}: name the right one with --store", options_.path));
  }
  const auto attempt = [&]() -> Result<void> {
    BOOST_OUTCOME_TRY(opened, SqliteDb::open_to_read(options_.path));
    db_ = std::move(opened);
    BOOST_OUTCOME_TRYV(db_->execute("BEGIN"));
    BOOST_OUTCOME_TRY(version, known_version());  // the first thing that is read: from here on this is what stands
    if (version == sqlite_schema_without_orphans) {
      return fail(ErrorCode::protocol, fmt::format("the store {} was written by an earlier version: start a head with "
                                                   "it once, which makes it one of this version",
                                                   options_.path));
    }
    statements_ = std::make_unique<Statements>(*db_);
    return boost::outcome_v2::success();
  };
  Result<void> taken = attempt();
  if (!taken) release();
  return taken;
}

}  // namespace dc::store

// The contents of attachments in the file: in parts, since SQLite limits a value to 1 GB; see sqlite_store.hpp. Those
// that nothing refers to any more are deleted from their first part on, so that what is left of one is not taken for
// it.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/limits.hpp"
#include "store/sqlite_schema.hpp"
#include "store/stored_content.hpp"

namespace dc::store {
namespace {

/// So much is deleted at once, and so many contents are looked at.
constexpr std::size_t slice_bytes = std::size_t{32} << 20;
constexpr int slice_contents = 1000;
/// The file is cut when this many pages of it are free and they are half of it, and when so many are: then nobody has
/// waited long for it.
constexpr std::int64_t free_pages_kept = 4096;
constexpr std::int64_t free_pages_max = 16384;

}  // namespace

Result<void> SqliteStore::keep(const std::string& hash, const Payload& content) {
  BOOST_OUTCOME_TRY(known, statements_->known.bind_all(std::string_view(hash)).step());
  if (known) {
    statements_->known.reset();
    return boost::outcome_v2::success();
  }
  BOOST_OUTCOME_TRYV(statements_->discard.bind_all(std::string_view(hash)).run());
  std::int64_t part = 0;
  std::string_view left = content.view();
  do {
    const std::string_view piece = left.substr(0, limits::store_part_bytes);
    BOOST_OUTCOME_TRYV(statements_->keep.bind_all(std::string_view(hash), part++, piece).run());
    left.remove_prefix(piece.size());
  } while (!left.empty());
  return boost::outcome_v2::success();
}

Result<Payload> SqliteStore::fetch_content(const std::string& hash) {
  BOOST_OUTCOME_TRYV(check_held());
  Result<Payload> found = content(hash);
  if (found || !found.error().message.empty()) return found;
  return fail(ErrorCode::protocol, fmt::format("a payload is missing or damaged in the store {}", options_.path));
}

/// What stands for it. An error without a message: there is none.
Result<Payload> SqliteStore::stand_in(std::string hash) {
  BOOST_OUTCOME_TRYV(statements_->size.bind_all(std::string_view(hash)).step());
  const bool missing = statements_->size.is_null(0);
  const std::int64_t size = statements_->size.integer(0);
  statements_->size.reset();
  if (missing) return fail(ErrorCode::protocol, "");
  return stored_content(std::move(hash), static_cast<std::size_t>(size));
}

/// An error without a message: it is missing or damaged.
Result<Payload> SqliteStore::content(const std::string& hash) {
  std::string content;
  bool found = false;
  statements_->parts.bind_all(std::string_view(hash));
  while (true) {
    const Result<bool> row = statements_->parts.step();
    if (!row && row.error().code != ErrorCode::protocol) return row.error();
    if (!row) return fail(ErrorCode::protocol, "");
    if (!row.value()) break;
    found = true;
    content += statements_->parts.bytes(0);
  }
  Payload payload(std::move(content));
  if (!found || options_.content_hash(payload.bytes()) != hash) return fail(ErrorCode::protocol, "");
  return payload;
}

// --- What nothing refers to any more ----------------------------------------------------------------------------

Result<bool> SqliteStore::tidy() {
  const bool may_shrink = can_shrink();
  if (may_shrink && shrink()) return true;
  bool more = true;
  BOOST_OUTCOME_TRYV(change([&]() -> Result<void> {
    std::size_t left = slice_bytes;
    for (int i = 0; more && left > 0 && i < slice_contents; ++i) {
      BOOST_OUTCOME_TRY(found, look_at_orphan(left));
      more = found;
    }
    return boost::outcome_v2::success();
  }));
  if (more || (!may_shrink && can_shrink())) return true;
  if (std::exchange(shrunk_, false)) (void)db_->execute("PRAGMA wal_checkpoint(TRUNCATE)");
  return false;
}

/// False: there is none. Deletes no more of it than is left to be deleted.
Result<bool> SqliteStore::look_at_orphan(std::size_t& left) {
  BOOST_OUTCOME_TRY(found, statements_->orphans.bind_all().step());
  if (!found) return false;
  const std::string hash(statements_->orphans.bytes(0));
  bool over = statements_->orphans.integer(1) != 0;  // an entry refers to it again
  statements_->orphans.reset();
  while (!over && left > 0) {
    BOOST_OUTCOME_TRY(stands, statements_->part.bind_all(std::string_view(hash)).step());
    over = !stands;
    if (over) break;
    const std::int64_t number = statements_->part.integer(0);
    left -= std::min(left, static_cast<std::size_t>(statements_->part.integer(1)) + 1);
    statements_->part.reset();
    BOOST_OUTCOME_TRYV(statements_->drop_part.bind_all(std::string_view(hash), number).run());
  }
  if (over) {
    BOOST_OUTCOME_TRYV(statements_->settle.bind_all(std::string_view(hash)).run());
  }
  return true;
}

bool SqliteStore::can_shrink() {
  const Result<std::int64_t> free = db_->number("PRAGMA freelist_count");
  const Result<std::int64_t> all = db_->number("PRAGMA page_count");
  if (!free || !all || free.value() < free_pages_kept) return false;
  return free.value() >= free_pages_max || 2 * free.value() >= all.value();
}

/// Gives free pages back to the disk. That it cannot is no harm: the next entries use them. SQLite is asked to do it at
/// a commit: piece by piece (incremental_vacuum) it looks through the list of all free pages for each of them.
bool SqliteStore::shrink() {
  const Result<void> done = db_->execute("PRAGMA auto_vacuum=FULL");
  (void)db_->execute("PRAGMA auto_vacuum=INCREMENTAL");
  shrunk_ = shrunk_ || done;
  return done.has_value();
}

}  // namespace dc::store

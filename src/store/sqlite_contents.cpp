// The contents of attachments in the file: in parts, since SQLite limits a value to 1 GB; see sqlite_store.hpp.
#include <fmt/format.h>

#include "core/limits.hpp"
#include "store/sqlite_schema.hpp"
#include "store/stored_content.hpp"

namespace dc::store {

Result<void> SqliteStore::keep(const std::string& hash, const Payload& content) {
  BOOST_OUTCOME_TRY(known, statements_->known.bind_all(std::string_view(hash)).step());
  if (known) {
    statements_->known.reset();
    return boost::outcome_v2::success();
  }
  std::int64_t part = 0;
  std::string_view left = content.view();
  do {
    const std::string_view piece = left.substr(0, limits::store_part_bytes);
    BOOST_OUTCOME_TRYV(statements_->keep.bind_all(std::string_view(hash), part++, piece).run());
    left.remove_prefix(piece.size());
  } while (!left.empty());
  return boost::outcome_v2::success();
}

Result<Payload> SqliteStore::fetch(const std::string& hash) {
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

}  // namespace dc::store

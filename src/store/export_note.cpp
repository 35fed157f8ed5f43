// See export_note.hpp.
#include "store/export_note.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "core/fd.hpp"
#include "store/sqlite_db.hpp"
#include "store/sqlite_schema.hpp"

namespace dc::store {
namespace {

constexpr auto note_table =
    "CREATE TABLE export(format INTEGER NOT NULL, made TEXT NOT NULL, made_by TEXT NOT NULL, head_key TEXT NOT NULL)";

Error later_version(const std::string& path, std::string_view made_by) {
  return fail(ErrorCode::protocol, fmt::format("{} was written by a later version{}: import it with that version", path,
                                               made_by.empty() ? "" : fmt::format(" ({})", made_by)));
}

/// Whether it is one of ours, and not of a later version.
Result<void> check_file(SqliteDb& db) {
  const Result<std::int64_t> id = db.number("PRAGMA application_id");
  if (!id && id.error().code != ErrorCode::protocol) return id.error();
  if (!id || id.value() != sqlite_application_id) {
    return fail(ErrorCode::protocol, fmt::format("{} is neither a file of `distributed-computing pools export` nor a "
                                                 "head's SQLite store: name such a file",
                                                 db.path()));
  }
  BOOST_OUTCOME_TRY(version, db.number("PRAGMA user_version"));
  if (version > sqlite_schema_version) return later_version(db.path(), "");
  return boost::outcome_v2::success();
}

}  // namespace

Result<void> write_export_note(const std::string& path, const ExportNote& note) {
  {
    BOOST_OUTCOME_TRY(db, SqliteDb::open(path));
    BOOST_OUTCOME_TRYV(db->execute(note_table));
    SqliteStatement insert(*db, "INSERT INTO export VALUES(?1, CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS TEXT))");
    insert.bind_all(export_format, std::string_view(note.made), std::string_view(note.made_by),
                    std::string_view(note.head_key));
    BOOST_OUTCOME_TRYV(insert.run());
    BOOST_OUTCOME_TRYV(db->execute("PRAGMA journal_mode=DELETE"));
  }
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() >= 0 && ::fsync(file.get()) == 0) return boost::outcome_v2::success();
  return fail(ErrorCode::io, fmt::format("{} cannot be brought to the disk ({})", path, std::strerror(errno)));
}

Result<std::optional<ExportNote>> read_export_note(const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) {
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                fmt::format("{} cannot be read ({})", path, std::strerror(errno)));
  }
  BOOST_OUTCOME_TRY(db, SqliteDb::open_to_read(path));
  BOOST_OUTCOME_TRYV(check_file(*db));
  BOOST_OUTCOME_TRY(tables, db->number("SELECT count(*) FROM sqlite_schema WHERE name = 'export'"));
  if (tables == 0) return std::optional<ExportNote>();
  SqliteStatement note(*db, "SELECT format, made, made_by, head_key FROM export");
  BOOST_OUTCOME_TRY(row, note.step());
  if (!row) return fail(ErrorCode::protocol, fmt::format("{} is damaged: its note is missing", path));
  std::string made_by(note.bytes(2));
  if (note.integer(0) > export_format) return later_version(path, made_by);
  return ExportNote{std::string(note.bytes(1)), std::move(made_by), std::string(note.bytes(3))};
}

}  // namespace dc::store

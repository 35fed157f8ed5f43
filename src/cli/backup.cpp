// See backup.hpp.
#include "cli/backup.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "cli/new_file.hpp"
#include "cli/options.hpp"
#include "cli/secrets.hpp"
#include "core/held_signals.hpp"
#include "core/lock_file.hpp"
#include "core/log.hpp"
#include "core/paths.hpp"
#include "core/printable.hpp"
#include "core/version.hpp"
#include "head/head_options.hpp"
#include "head/take_store.hpp"
#include "head/unserved_pools.hpp"
#include "net/session.hpp"
#include "net/tls.hpp"
#include "store/choose.hpp"
#include "store/export_note.hpp"
#include "store/sqlite_store.hpp"

namespace dc::cli {
namespace {

Error interrupted() { return fail(ErrorCode::left, "a signal came"); }

Result<void> unless_interrupted() {
  if (signal_waits()) return interrupted();
  return boost::outcome_v2::success();
}

void declare_common(CLI::App& command, BackupArguments& arguments) {
  command.add_option("file", arguments.file, "The file")->required();
  command.add_option("names", arguments.names, "Names of the pools (default: all)");
  command.add_option("--store", arguments.store,
                     "The store, as for start_node --head (default: what a head on this port of this machine uses)");
  command.add_option("-p,--port", arguments.port, "The head's port")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
}

// --- Stores -----------------------------------------------------------------------------------------------------

Result<store::StoreOptions> store_of(const BackupArguments& arguments) {
  log::set_up("pools");  // why a Redis of this machine is not used, and whom it waits for
  head::HeadOptions options;
  options.port = arguments.port;
  options.secret.password = arguments.password;
  BOOST_OUTCOME_TRY(store, read_store(arguments.store));
  options.store = std::move(store);
  const std::string redis = store::socket_in(paths::redis_dir(head::seed_redis_port));
  if (options.store.empty() && arguments.password.empty() && ::access(redis.c_str(), F_OK) == 0) {
    return fail(ErrorCode::invalid,
                fmt::format("the head may use the Redis at {}, which takes the password of the cluster: give that (-r, "
                            "--password-file, --password-stdin), or name the store with --store",
                            redis));
  }
  return head::wanted_store(options);
}

Result<std::unique_ptr<store::Store>> take(const store::StoreOptions& wanted) {
  BOOST_OUTCOME_TRY(taken, head::take_store(wanted, false));
  if (taken.stopped) return interrupted();
  if (!taken.store) return fail(ErrorCode::invalid, "--store none has no pools: name another store");
  return std::move(taken.store);
}

Result<std::unique_ptr<store::Store>> take_to_read(const store::StoreOptions& wanted) {
  BOOST_OUTCOME_TRY(snapshot, store::open_snapshot(wanted));
  if (snapshot) return snapshot;
  return take(wanted);
}

/// No head can start on this port as long as it is held.
Result<LockFile> keep_heads_away(std::uint16_t port) {
  auto taken = LockFile::take(paths::head_file(port));
  if (!taken.problem.empty()) return fail(ErrorCode::io, std::move(taken.problem));
  if (!taken.owner.empty()) {
    return fail(ErrorCode::fenced, fmt::format("a head runs on port {} of this machine (pid {}): end it first, or name "
                                               "the port of the head that is to have the pools with -p",
                                               port, owner_pid(taken.owner)));
  }
  const std::string owner = fmt::format(R"({{"pid":{},"port":{},"address":""}})", ::getpid(), port);
  if (std::string problem = taken.lock.write(owner); !problem.empty()) return fail(ErrorCode::io, std::move(problem));
  return std::move(taken.lock);
}

// --- The head's key ---------------------------------------------------------------------------------------------

Result<std::string> own_key() { return read_secret_file(paths::head_key(), "head's key"); }

/// The key of the exported file, ready to be put into its place. None: it stands there already.
Result<std::optional<NewFile>> prepare_key(const std::string& file, const std::optional<store::ExportNote>& note) {
  if (!note || note->head_key.empty()) {
    return fail(ErrorCode::invalid,
                fmt::format("{} has no key of a head: export with --with-key, or import without it", file));
  }
  const std::string place = paths::head_key();
  if (std::string problem = paths::make_private_dir(paths::state_dir()); !problem.empty())
    return fail(ErrorCode::io, std::move(problem));
  if (::access(place.c_str(), F_OK) == 0) {
    BOOST_OUTCOME_TRY(own, own_key());
    if (own == note->head_key) return std::optional<NewFile>();
    return fail(ErrorCode::rejected,
                fmt::format("the heads of this machine have another key, and nothing was imported: import without "
                            "--with-key, or move {} away, and they are known by the imported key from their next start "
                            "on",
                            place));
  }
  BOOST_OUTCOME_TRY(key, NewFile::make_for(place));
  BOOST_OUTCOME_TRYV(key.write(note->head_key + "\n"));
  if (!net::head_identity(key.fresh_path())) {
    return fail(
        ErrorCode::protocol,
        fmt::format("the head's key in {} is damaged, and nothing was imported: import without --with-key", file));
  }
  return std::optional<NewFile>(std::move(key));
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::string text(sizeof "2025-01-31T23:59:59Z", '\0');
  text.resize(std::strftime(text.data(), text.size(), "%FT%TZ", &parts));
  return text;
}

}  // namespace

void declare_export(CLI::App& command, BackupArguments& arguments) {
  declare_common(command, arguments);
  command.add_flag("--with-key", arguments.with_key,
                   "The key of this machine's heads as well, by which nodes and clients know them: the file is then as "
                   "secret as that");
}

void declare_import(CLI::App& command, BackupArguments& arguments) {
  declare_common(command, arguments);
  command.add_option("--as", arguments.as, "New name of the pool, of which there must be one");
  command.add_flag("--with-key", arguments.with_key,
                   "The head's key as well, so that nodes and clients know the head on this machine by it");
}

Result<std::vector<head::CopiedPool>> export_pools(const BackupArguments& arguments) {
  const SignalsHeld signals;
  BOOST_OUTCOME_TRY(file, NewFile::make_for(arguments.file));
  store::ExportNote note{utc_now(), version};
  if (arguments.with_key) {
    BOOST_OUTCOME_TRY(key, own_key());
    note.head_key = std::move(key);
  }
  BOOST_OUTCOME_TRY(wanted, store_of(arguments));
  BOOST_OUTCOME_TRY(from, take_to_read(wanted));
  store::SqliteStore to(
      {.path = file.fresh_path(), .durability = store::Durability::interval, .content_hash = net::content_hash});
  BOOST_OUTCOME_TRYV(to.acquire({net::host_name(), static_cast<std::uint32_t>(::getpid())}));
  BOOST_OUTCOME_TRY(pools, head::copy_pools(*from, to, {.names = arguments.names}, unless_interrupted));
  to.release();
  BOOST_OUTCOME_TRYV(store::write_export_note(file.fresh_path(), note));
  BOOST_OUTCOME_TRYV(unless_interrupted());
  BOOST_OUTCOME_TRYV(file.put());
  return pools;
}

Result<std::vector<head::CopiedPool>> import_pools(const BackupArguments& arguments) {
  const SignalsHeld signals;
  BOOST_OUTCOME_TRY(note, store::read_export_note(arguments.file));
  BOOST_OUTCOME_TRY(
      from, store::open_snapshot({.url = "sqlite", .default_path = arguments.file, .content_hash = net::content_hash}));
  const Result<LockFile> lock = keep_heads_away(arguments.port);
  if (!lock) return lock.error();
  std::optional<NewFile> key;
  if (arguments.with_key) {
    BOOST_OUTCOME_TRY(prepared, prepare_key(arguments.file, note));
    if (prepared) key.emplace(std::move(*prepared));
  }
  if (std::string problem = paths::make_private_dir(paths::state_dir()); !problem.empty())
    return fail(ErrorCode::io, std::move(problem));
  BOOST_OUTCOME_TRY(wanted, store_of(arguments));
  BOOST_OUTCOME_TRY(to, take(wanted));
  BOOST_OUTCOME_TRY(
      pools,
      head::copy_pools(*from, *to, {.names = arguments.names, .as = arguments.as, .new_id = PoolId{net::random_id()}},
                       unless_interrupted));
  if (key) {
    BOOST_OUTCOME_TRYV(key->put());
  }
  return pools;
}

std::string copied_table(const std::vector<head::CopiedPool>& pools) {
  if (pools.empty()) return "no named pools\n";
  std::string out;
  for (const head::CopiedPool& pool : pools) {
    const std::string what = pool.stood ? "is there already, just the same"
                                        : fmt::format("{:>10} entries {:>15} bytes", pool.log.entries, pool.log.bytes);
    fmt::format_to(std::back_inserter(out), "{:<24} {}\n", printable(pool.name), what);
  }
  return out;
}

}  // namespace dc::cli

// Where named pools are journaled: one log for each pool, written by one head at a time. Its entries are put, put anew
// and erased by their numbers. The store knows nothing of what they mean; head/journal.hpp writes and reads them.
//
// Three implementations keep the same contract (store_conformance_test.cpp runs on all): memory (tests), SQLite, Redis.
// All calls block; one thread (journal_thread.hpp) makes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/byte_stream.hpp"
#include "core/clock.hpp"
#include "core/payload.hpp"
#include "core/result.hpp"

namespace dc::store {

/// Name of a log: the id of its pool.
using LogId = std::uint64_t;

/// Number of an entry in its log, chosen by the caller: from 1, below 2^63, not given twice to different entries in one
/// life of a log. Entries are read in the order of their numbers; there may be gaps.
using EntryNumber = std::uint64_t;

/// One entry of a log, opaque to the store.
struct Entry {
  std::string bytes;
  /// Large payloads of it. Kept beside the log under their SHA-256, each content once, and deleted when no entry of any
  /// log refers to it.
  std::vector<Payload> attachments;
  bool operator==(const Entry&) const = default;
};

/// In bytes, attachments included.
inline std::size_t size_of(const Entry& entry) {
  std::size_t bytes = entry.bytes.size();
  for (const Payload& attachment : entry.attachments) bytes += attachment.size();
  return bytes;
}

/// One entry that is put, or erased.
struct Change {
  LogId log{};
  EntryNumber number{};
  std::optional<Entry> entry;  ///< none: it is erased
};

/// What a write has survived when it returns.
enum class Durability : std::uint8_t {
  always,    ///< the loss of power: the bytes are on the disk
  interval,  ///< the end of the head; the loss of power takes at most the last second
};

/// Who wants to write, for the message to the one who comes second.
struct Owner {
  std::string host;
  std::uint32_t pid{};
};

/// Whose a store is.
enum class Hold : std::uint8_t {
  ours,    ///< no other head can act with it now
  unsure,  ///< it could not be renewed for limits::store_lease: either nobody has it, or it will turn out to be lost
  lost,    ///< another head has it, or it does not know this one any more. For good
};

/// Who must move for a head to serve.
enum class Part : std::uint8_t { loop, journal };

/// Where reading of a log has come to.
struct Position {
  EntryNumber behind = 0;  ///< entries of higher numbers are still to be read
  bool loss_told = false;  ///< that entries are missing, which is known at the end only
};

/// What becomes of an entry's attachments when it is read.
enum class Attachments : std::uint8_t {
  load,   ///< they are read and compared with their hashes
  refer,  ///< they are stood for (stored_content.hpp), at little cost; the same store takes and loads them
};

/// Errors (core/result.hpp): `full`: no room, `fenced`: another head has the store, `unreachable` and `io`: trying
/// again may help, `protocol`: what is stored is broken or of another version. Every message names the store and says
/// what to do.
///
/// A call that failed has happened as a whole or not at all, and which may be unknown (the connection broke before the
/// answer came); only after `full` it is certain that it has not. The caller may try again with the same changes or
/// with others. Who gives up an entry whose write may have happened erases its number with a later write.
class Store {
 public:
  virtual ~Store() = default;

  /// For the banner and for messages: "SQLite (/home/u/.local/state/distributed-computing/head-8899.db)".
  [[nodiscard]] virtual std::string description() const = 0;

  /// Takes the store for this head, which holds it until release(). Returns the term: larger than that of every earlier
  /// holder. `fenced` when another head holds it; the message says which.
  virtual Result<std::uint64_t> acquire(const Owner& owner) = 0;
  /// After acquire() said `fenced`: whether nobody has seen that holder live yet. To be asked again every
  /// limits::standby_look_interval; false: it lives.
  [[nodiscard]] virtual bool may_be_gone() const { return false; }
  /// Whether another head may take it from one that is gone or frozen.
  [[nodiscard]] virtual bool leased() const { return false; }
  /// How that stands. From any thread until release().
  [[nodiscard]] virtual Hold hold() const { return Hold::ours; }
  /// Whether the store is well, as far as was seen last: at no cost. `fenced`: it was lost to another head. From any
  /// thread until release().
  virtual Result<void> check_hold() = 0;
  /// After acquire(): how long this head must not say anything yet, since its forerunner still may.
  [[nodiscard]] virtual Duration silence_left() const { return Duration::zero(); }
  /// This part of the head moves. A head whose parts do not say so for limits::store_stuck_after loses a store that is
  /// leased. From any thread until release().
  virtual void moved(Part) {}
  /// Raises this head's term above one that a peer has been told (by a store of the same name, or by this one before it
  /// fell back), so that the peer believes this head. Returns the term that it has now.
  virtual Result<std::uint64_t> raise_term(std::uint64_t above) { return above; }
  /// Gives it up, so that the next head need not wait.
  virtual void release() = 0;

  /// The logs that exist, in rising order. (This call and all below need acquire() first.)
  virtual Result<std::vector<LogId>> logs() = 0;
  /// How many entries those that logs() told last should have, as far as that is known: for people.
  virtual std::map<LogId, std::uint64_t> sizes() { return {}; }
  /// All of these changes or none. A log comes into being with its first entry and is no more without its last one.
  /// Putting an entry under a number that stands replaces it, erasing one that does not stand changes nothing: so a
  /// call of which nobody knows whether it happened is repeated harmlessly. When it succeeds, a store that is not in
  /// memory has put what stands for them (stored_content.hpp) in the place of the attachments.
  virtual Result<void> write(std::span<Change> changes) = 0;
  /// The bytes of a payload that this store has given a stand-in for, or of a part of such a one; any other comes back
  /// as it is. `protocol`: they are not there any more, or are damaged.
  Result<Payload> load(const Payload& payload);
  /// Some entries of a log from `position` on, which moves on, in the order of their numbers; false: these were the
  /// last. A torn last write is dropped (it never returned). A broken entry, or an attachment that is missing or has
  /// another hash, is an error (`protocol`): what stands before it was given, and the next call reads on behind it. So
  /// is an entry that is missing, which may be noticed at the end only.
  virtual Result<bool> read(LogId log, Position& position, Attachments attachments,
                            const std::function<void(EntryNumber, Entry&&)>& each) = 0;
  /// All of them; the first error ends it.
  Result<void> replay(LogId log, const std::function<void(EntryNumber, Entry&&)>& each,
                      Attachments attachments = Attachments::load) {
    Position position;
    while (true) {
      BOOST_OUTCOME_TRY(more, read(log, position, attachments, each));
      if (!more) return boost::outcome_v2::success();
    }
  }
  /// Puts these entries, numbered from 1, in the place of the whole log, atomically. No entries: the log is removed.
  /// For repairs and imports.
  virtual Result<void> replace(LogId log, std::span<const Entry> entries) = 0;
  virtual Result<void> remove(LogId log) = 0;
  /// Deletes some of the contents that nothing refers to any more, so much that nobody waits long for it (about 32
  /// MiB). True: there are more. To be called when there is nothing else to do, and between writes.
  virtual Result<bool> tidy() { return false; }
  /// When damage keeps a log from being replaced or removed (`protocol`): writes all that can be read anew. What cannot
  /// is missing from then on, and is an error of its log as before.
  virtual Result<void> rewrite() { return boost::outcome_v2::success(); }

  /// Brings to the disk what Durability::interval left in memory. To be called every limits::store_sync_interval.
  virtual Result<void> sync() { return boost::outcome_v2::success(); }

 private:
  /// The whole content with this hash; a store that gives no stand-ins is not asked.
  virtual Result<Payload> fetch_content(const std::string& /*hash*/) {
    return fail(ErrorCode::protocol, "there is none");
  }

  /// What was fetched last: the next to be loaded is often a part of it.
  struct Recent {
    std::string hash;
    Payload content;
  };
  std::deque<Recent> recent_;
  std::size_t recent_bytes_ = 0;
};

/// SHA-256 in 64 hexadecimal digits (net::content_hash; this layer has no OpenSSL).
using ContentHash = std::function<std::string(std::span<const std::byte>)>;

/// What `--store` names.
struct StoreOptions {
  /// "" or "sqlite" (the file of this head in the state directory), "sqlite:///path/to/file.db", "memory" (tests),
  /// "redis://[user:password@]host[:port][/db]", "rediss://…" (TLS), "redis+unix:///path/to/socket[?db=n]"
  /// (redis_address.hpp); "none": named pools are refused.
  std::string url;
  std::string password = {};  ///< for a Redis whose URL has none
  bool of_same_user = false;  ///< of a Redis behind a Unix socket: nothing is sent to a listener of another user
  std::string default_path;   ///< of the SQLite file
  Durability durability = Durability::always;
  ContentHash content_hash;  ///< must be set
  DialTls dial_tls = {};     ///< for rediss://; without it such a URL is refused
};

/// Opens what the URL names, without taking it. `invalid`: the URL is wrong; the message says how. Null for "none".
Result<std::unique_ptr<Store>> open_store(const StoreOptions& options);

/// What stands in it now, to be read (acquired already) while a head may have it and write on. Null: such a store
/// cannot be read beside a head, which is all but SQLite. Errors: those of open_store(), and `not_found`.
Result<std::unique_ptr<Store>> open_snapshot(const StoreOptions& options);

}  // namespace dc::store

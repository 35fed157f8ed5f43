// The store on a Redis or Valkey server (6.2 or later), for heads that share it.
//
// Keys beside those of redis_lease.hpp: log:ID:entries (hash: number -> entry, see redis_record.hpp),
// log:ID:attachments (hash: number -> hashes of its attachments, for entries that have some; 0 -> those of entries that
// are lost), entries (hash: id of a log -> how many entries it has), contents (hash: content -> how often entries refer
// to it), content:HASH (list of parts), sizes (hash: content -> its bytes; those that format 1 stored are missing
// there), uploads (set of keys upload:TERM:NUMBER that are not yet, or no more, in use), last (which transaction was
// the last one).
//
// Formats 1 and 2 had streams instead (redis_convert.cpp): logs (set of ids), log:ID (stream of records of entries),
// log:ID:contents (hash: content -> how often its entries refer to it).
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/limits.hpp"
#include "store/redis_lease.hpp"
#include "store/redis_record.hpp"
#include "store/store.hpp"

namespace dc::store {

/// A machine that hashes no faster than this is not stuck.
inline constexpr std::size_t slow_hash_bytes_per_s = std::size_t{50} << 20;

class RedisStore : public Store {
 public:
  explicit RedisStore(RedisOptions options);
  ~RedisStore() override;

  [[nodiscard]] std::string description() const override;
  Result<std::uint64_t> acquire(const Owner& owner) override;
  [[nodiscard]] bool may_be_gone() const override { return lease_.may_be_gone(); }
  [[nodiscard]] bool leased() const override { return true; }
  [[nodiscard]] Hold hold() const override { return lease_.hold(); }
  Result<void> check_hold() override { return lease_.check_hold(); }
  [[nodiscard]] Duration silence_left() const override { return lease_.silence_left(); }
  void moved(Part part) override { lease_.moved(part); }
  Result<std::uint64_t> raise_term(std::uint64_t above) override { return lease_.raise_term(above); }
  void release() override;
  Result<std::vector<LogId>> logs() override;
  std::map<LogId, std::uint64_t> sizes() override { return {unread_.begin(), unread_.end()}; }
  Result<void> write(std::span<Change> changes) override;
  Result<bool> read(LogId log, Position& position, Attachments attachments,
                    const std::function<void(EntryNumber, Entry&&)>& each) override;
  Result<void> replace(LogId log, std::span<const Entry> entries) override;
  Result<void> remove(LogId log) override;

 private:
  Result<Payload> fetch_content(const std::string& hash) override;
  using Counts = std::map<std::string, std::int64_t>;      ///< how many references to a content come or go
  using Contents = std::map<std::string, const Payload*>;  ///< by hash
  /// What is to stand in a log under these numbers; none: nothing.
  using Wanted = std::map<EntryNumber, std::optional<HashedEntry>>;
  /// What stands in a log of that which is to be changed.
  struct Standing {
    std::map<EntryNumber, std::vector<std::string>> hashes;  ///< of the attachments of each entry
    std::vector<std::string> of_lost_entries;
    std::int64_t entries = 0;  ///< in all; not asked for when none of these can stand
  };
  /// Of entries that are being read, by hash.
  using Loaded = std::map<std::string, Payload>;

  Result<void> ready();
  [[nodiscard]] std::optional<LogId> listed_id(std::string_view text) const;
  Result<void> look_for_what_was_certain();
  Result<void> commit(std::vector<RedisCommand> commands);
  Result<void> collect_uploads();

  HashedEntry hash_entry(const Entry& entry, Contents& contents);
  Result<void> find_highest(const std::map<LogId, Wanted>& changes);
  Result<std::map<LogId, Standing>> find_standing(const std::map<LogId, Wanted>& changes);
  void change_log(LogId id, const Wanted& wanted, const Standing& standing, Counts& counts,
                  std::vector<RedisCommand>& commands) const;
  void drop_log(LogId id, std::vector<RedisCommand>& commands) const;
  /// Brings contents that are not there yet to the server; adds the commands that give them their names, and those that
  /// change what refers to them and drop what nothing refers to.
  Result<void> count_contents(const Counts& counts, const Contents& contents, std::vector<RedisCommand>& commands);
  Result<void> drop_uploads();
  std::string new_upload();
  Result<void> announce(const std::vector<std::string>& uploads);
  Result<void> upload(const std::map<std::string, const Payload*>& contents);
  void use_upload(const std::string& upload, const std::string& as, std::vector<RedisCommand>& commands) const;

  /// A log that is written beside the one whose place it is to take, under keys of uploads.
  struct Beside {
    std::string entries_key = {}, attachments_key = {};
    std::size_t entries = 0;
    bool with_attachments = false;
    std::vector<RedisCommand> commands = {};  ///< not sent yet
    std::size_t bytes = 0;                    ///< in those
  };
  Result<void> put_beside(Beside& beside, EntryNumber number, std::string value,
                          const std::vector<std::string>& hashes);
  Result<void> send(Beside& beside);
  void use_beside(LogId id, const Beside& beside, std::vector<RedisCommand>& commands) const;

  // redis_convert.cpp
  Result<void> convert_earlier();
  Result<void> convert(LogId id);
  Result<Counts> copy_stream(LogId id, Beside& beside);
  Result<void> keep_lost_references(LogId id, Counts counts, Beside& beside);

  /// A log that is being read, or will be soon. (redis_reading.cpp)
  struct Reading {
    EntryNumber behind = 0;             ///< this begins behind that number
    std::deque<EntryNumber> numbers;    ///< those that were not brought here yet
    std::deque<std::size_t> sizes;      ///< of the first of them
    std::deque<RedisRecord> brought;    ///< what stands before those
    bool lost = false;                  ///< there should be more
    std::optional<Error> problem = {};  ///< it cannot be read at all
  };
  using Readings = std::map<LogId, Reading>;
  Result<void> bring(LogId id, EntryNumber behind, Attachments attachments);
  Result<void> list(LogId id, EntryNumber behind, Readings& readings);
  Result<void> measure(Readings& readings);
  Result<void> fetch(Readings& readings);
  Result<void> refer_to(const Readings& readings);
  void forget_readings();
  Result<void> deliver(LogId id, Reading& reading, Position& position, Attachments attachments,
                       const std::function<void(EntryNumber, Entry&&)>& each);
  Result<void> load(std::span<const HashedEntry> entries, Loaded& into);
  Result<void> refer(std::span<const HashedEntry> entries, Loaded& into);
  Result<std::size_t> load_group(std::span<const std::string> hashes, Loaded& into);
  Result<Payload> load_rest(const std::string& hash, std::string content, std::int64_t parts);

  [[nodiscard]] std::string entries_key(LogId id) const;
  [[nodiscard]] std::string attachments_key(LogId id) const;
  [[nodiscard]] Error missing_content() const;
  [[nodiscard]] Error broken(LogId id, std::string_view what) const;

  RedisOptions options_;
  RedisLease lease_;
  std::map<LogId, EntryNumber> highest_;  ///< no entry of a higher number stands; of logs that were asked for
  std::optional<std::string> last_;       ///< name of the last transaction that is certain
  std::set<std::string> may_have_been_;   ///< later ones
  std::vector<std::string> uploads_;      ///< of the call under way, or of one that failed
  Readings readings_;                     ///< forgotten before any change
  Loaded stand_ins_;                      ///< for the attachments of what was brought
  Attachments brought_for_{};
  std::map<LogId, std::int64_t> unread_;  ///< those that logs() told last and that were not listed yet, with counts
  std::uint64_t counter_ = 0;             ///< of transactions and uploads of this term; never used again
};

}  // namespace dc::store

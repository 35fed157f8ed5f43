// The store on a Redis or Valkey server (6.2 or later), for heads that share it.
//
// Keys beside those of redis_lease.hpp: logs (set of ids), log:ID (stream of records), log:ID:contents (hash: content
// -> how often its entries refer to it), contents (the same over all logs), content:HASH (list of parts), sizes (hash:
// content -> its bytes; those that earlier versions stored are missing there), uploads (set of keys upload:TERM:NUMBER
// that are not yet, or no more, in use).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/limits.hpp"
#include "store/redis_lease.hpp"
#include "store/redis_record.hpp"
#include "store/store.hpp"

namespace dc::store {

inline constexpr std::size_t records_page = 16;
/// First pages are asked for of so many logs at once, where they are small.
inline constexpr std::size_t first_pages_max = limits::store_group_items_max / records_page;
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
  Result<void> append(std::span<Addressed> batch) override;
  Result<bool> read(LogId log, Position& position, Attachments attachments,
                    const std::function<void(Entry&&)>& each) override;
  Result<void> replace(LogId log, std::span<const Entry> entries) override;
  Result<void> remove(LogId log) override;

 private:
  Result<Payload> fetch(const std::string& hash) override;
  /// What is known of a log; learned at its first use.
  struct Log {
    std::string last_id = "0-0";  ///< of its last record that is certain
    std::uint64_t entries = 0;    ///< in all of those
    bool unsure = false;          ///< an append failed: records after last_id do not count, and are to be taken out
  };
  using Counts = std::map<std::string, std::int64_t>;      ///< how many references to a content come or go
  using Contents = std::map<std::string, const Payload*>;  ///< by hash
  struct Hashed {
    std::vector<HashedEntry> entries;
    Counts counts;
    Contents contents;  ///< those that are not in the store already
  };
  /// Of entries that are being read, by hash.
  using Loaded = std::map<std::string, Payload>;

  Result<void> ready();
  Result<void> look_for_what_was_certain();
  Result<void> collect_uploads();
  Result<void> take_out(LogId id, Log& log);
  Result<Log*> known(LogId id);

  void hash_entry(const Entry& entry, Hashed& into);
  /// Commands that add `entries` to the stream `key`; moves `log` on.
  void add_records(const std::string& key, const std::vector<HashedEntry>& entries, Log& log,
                   std::vector<RedisCommand>& commands);
  void count_in_log(LogId id, const Counts& counts, std::vector<RedisCommand>& commands) const;
  void drop_log(LogId id, std::vector<RedisCommand>& commands) const;
  /// Brings contents that are not there yet to the server; adds the commands that give them their names, and those that
  /// change what refers to them and drop what nothing refers to.
  Result<void> count_contents(const Counts& counts, const Contents& contents, std::vector<RedisCommand>& commands);
  Result<void> drop_uploads();
  std::string new_upload();
  Result<void> announce(const std::vector<std::string>& uploads);
  Result<void> upload(const std::map<std::string, const Payload*>& contents);
  void use_upload(const std::string& upload, const std::string& as, std::vector<RedisCommand>& commands) const;

  /// Some records of a log.
  struct Page {
    std::vector<RedisRecord> records;
    bool last = false;  ///< there are no more
  };
  static Page page_of(const RedisReply& reply, std::size_t asked, std::size_t& bytes);
  Result<Page> page(LogId id, const std::string& after);
  /// From the beginning; while all logs are read in their order, those of the next ones are asked for with it.
  Result<Page> first_page(LogId id);
  Result<Page> ask_for_first_pages(LogId id);
  void forget_pages() {
    unread_.clear();
    pages_.clear();
  }
  Result<void> deliver(LogId id, const RedisRecord& record, Position& position, Attachments attachments,
                       const std::function<void(Entry&&)>& each);
  Result<void> load(std::span<const HashedEntry> entries, Loaded& into);
  Result<void> refer(std::span<const HashedEntry> entries, Loaded& into);
  Result<std::size_t> load_group(std::span<const std::string> hashes, Loaded& into);
  Result<Payload> load_rest(const std::string& hash, std::string content, std::int64_t parts);

  [[nodiscard]] std::string log_key(LogId id) const;
  [[nodiscard]] std::string next_id();
  [[nodiscard]] Error missing_content() const;
  [[nodiscard]] Error broken(LogId id, std::string_view what) const;

  RedisOptions options_;
  RedisLease lease_;
  std::map<LogId, Log> logs_;
  std::vector<std::string> uploads_;  ///< of the call under way, or of one that failed
  std::size_t page_ = records_page;   ///< so many records are asked for at once
  std::vector<LogId> unread_;         ///< those that logs() told last and of which nothing was asked for yet
  std::map<LogId, Page> pages_;       ///< first ones that were asked for ahead; forgotten before any change
  std::size_t ahead_ = 1;             ///< of so many logs
  std::uint64_t counter_ = 0;         ///< of records and uploads of this term; never used again
};

}  // namespace dc::store

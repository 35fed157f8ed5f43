// See redis_store.hpp. Appends and what they leave when they fail; redis_contents.cpp has the rest.
#include "store/redis_store.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.hpp"

namespace dc::store {
namespace {

/// Appends of one log are cut into records of about this size.
constexpr std::size_t record_bytes = std::size_t{1} << 20;
constexpr std::size_t records_page = 16;

}  // namespace

RedisStore::RedisStore(RedisOptions options) : options_(std::move(options)), lease_(options_) {}
RedisStore::~RedisStore() { RedisStore::release(); }

std::string RedisStore::description() const {
  const std::string survives = lease_.survives();
  return options_.address.name() + (survives.empty() ? "" : " (" + survives + ")");
}

std::string RedisStore::log_key(LogId id) const { return lease_.key(fmt::format("log:{}", id)); }

/// Terms grow, and so does the counter: larger than every id before.
std::string RedisStore::next_id() { return fmt::format("{}-{}", lease_.term(), ++counter_); }

Error RedisStore::broken(LogId id, std::string_view what) const {
  return fail(
      ErrorCode::protocol,
      fmt::format("the store ({}) is broken ({} of pool {:016x}): bring a copy of its data back, or name another "
                  "database with --store; named pools in it are lost then",
                  options_.address.name(), what, id));
}

Result<std::uint64_t> RedisStore::acquire(const Owner& owner) {
  BOOST_OUTCOME_TRY(term, lease_.acquire(owner));
  logs_.clear();
  uploads_.clear();
  counter_ = 0;
  const Result<void> collected = collect_uploads();
  if (collected) return term;
  lease_.release();
  return collected.error();
}

Result<void> RedisStore::renew() {
  if (lease_.term() != 0) return lease_.renew();
  return ready();
}

void RedisStore::release() {
  lease_.release();
  logs_.clear();
}

/// What every call that reads or writes begins with.
Result<void> RedisStore::ready() {
  if (lease_.term() == 0) {
    return fail(ErrorCode::fenced, fmt::format("the store ({}) was given up by this head", options_.address.name()));
  }
  for (auto& [id, log] : logs_) {
    if (!log.unsure) continue;
    const Result<void> taken_out = take_out(id, log);
    if (taken_out) continue;
    // `full` would mean that nothing of what the caller tries again stands there.
    const bool full = taken_out.error().code == ErrorCode::full;
    return fail(full ? ErrorCode::unreachable : taken_out.error().code, taken_out.error().message);
  }
  return drop_uploads();
}

Result<std::vector<LogId>> RedisStore::logs() {
  BOOST_OUTCOME_TRYV(ready());
  BOOST_OUTCOME_TRY(reply, lease_.ask(RedisCommand{"SMEMBERS", lease_.key("logs")}));
  std::vector<LogId> ids;
  for (std::size_t i = 0; i < reply.size(); ++i) ids.push_back(std::stoull(std::string(reply[i].text())));
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<std::vector<RedisRecord>> RedisStore::records(LogId id, const std::string& after) {
  BOOST_OUTCOME_TRY(
      reply, lease_.ask(RedisCommand{"XRANGE", log_key(id), "(" + after, "+", "COUNT", std::to_string(records_page)}));
  std::vector<RedisRecord> found;
  for (std::size_t i = 0; i < reply.size(); ++i) {
    std::optional<RedisRecord> record = decode_record(reply[i]);
    if (!record) return broken(id, "an entry is damaged");
    found.push_back(std::move(*record));
  }
  return found;
}

Result<RedisStore::Log*> RedisStore::known(LogId id) {
  if (const auto found = logs_.find(id); found != logs_.end()) return &found->second;
  BOOST_OUTCOME_TRY(reply, lease_.ask(RedisCommand{"XREVRANGE", log_key(id), "+", "-", "COUNT", "1"}));
  Log log;
  if (reply.size() > 0) {
    const std::optional<RedisRecord> last = decode_record(reply[0]);
    if (!last) return broken(id, "the last entry is damaged");
    log.last_id = last->id;
    log.entries = last->first + last->entries.size();
  }
  return &(logs_[id] = log);
}

void RedisStore::hash_entry(const Entry& entry, Hashed& into) const {
  HashedEntry hashed{entry.bytes, {}};
  for (const Payload& attachment : entry.attachments) {
    std::string hash = options_.content_hash(attachment.bytes());
    ++into.counts[hash];
    into.contents[hash] = &attachment;
    hashed.hashes.push_back(std::move(hash));
  }
  into.entries.push_back(std::move(hashed));
}

void RedisStore::add_records(const std::string& key, const std::vector<HashedEntry>& entries, Log& log,
                             std::vector<RedisCommand>& commands) {
  std::vector<HashedEntry> part;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    part.push_back(entries[i]);
    bytes += entries[i].bytes.size();
    if (bytes < record_bytes && i + 1 < entries.size()) continue;
    log.last_id = next_id();
    RedisCommand command{"XADD", key, log.last_id};
    for (std::string& field : encode_record(log.entries, part)) command.push_back(std::move(field));
    commands.push_back(std::move(command));
    log.entries += part.size();
    part.clear();
    bytes = 0;
  }
}

Result<void> RedisStore::append(std::span<const Addressed> batch) {
  BOOST_OUTCOME_TRYV(ready());
  if (batch.empty()) return boost::outcome_v2::success();
  std::map<LogId, Hashed> by_log;
  for (const Addressed& addressed : batch) hash_entry(addressed.entry, by_log[addressed.log]);

  std::map<LogId, Log> after;
  std::vector<RedisCommand> commands;
  Counts counts;
  Contents contents;
  for (const auto& [id, hashed] : by_log) {
    BOOST_OUTCOME_TRY(log, known(id));
    after[id] = *log;
    add_records(log_key(id), hashed.entries, after[id], commands);
    commands.push_back({"SADD", lease_.key("logs"), std::to_string(id)});
    count_in_log(id, hashed.counts, commands);
    for (const auto& [hash, count] : hashed.counts) counts[hash] += count;
    contents.insert(hashed.contents.begin(), hashed.contents.end());
  }
  BOOST_OUTCOME_TRYV(count_contents(counts, contents, commands));
  for (const auto& [id, log] : after) logs_[id].unsure = true;
  BOOST_OUTCOME_TRYV(lease_.transact(std::move(commands)));
  uploads_.clear();
  for (const auto& [id, log] : after) logs_[id] = log;
  return boost::outcome_v2::success();
}

/// Takes the records of failed appends out again, if there are any.
Result<void> RedisStore::take_out(LogId id, Log& log) {
  RedisCommand erase{"XDEL", log_key(id)};
  Counts counts;
  for (std::string after = log.last_id;;) {
    BOOST_OUTCOME_TRY(found, records(id, after));
    if (found.empty()) break;
    after = found.back().id;
    for (const RedisRecord& record : found) {
      erase.push_back(record.id);
      for (const HashedEntry& entry : record.entries) {
        for (const std::string& hash : entry.hashes) --counts[hash];
      }
    }
  }
  if (erase.size() > 2) {
    std::vector<RedisCommand> commands{std::move(erase)};
    count_in_log(id, counts, commands);
    if (log.entries == 0) drop_log(id, commands);
    BOOST_OUTCOME_TRYV(count_contents(counts, {}, commands));
    BOOST_OUTCOME_TRYV(lease_.transact(std::move(commands)));
  }
  log.unsure = false;
  return boost::outcome_v2::success();
}

void RedisStore::count_in_log(LogId id, const Counts& counts, std::vector<RedisCommand>& commands) const {
  for (const auto& [hash, count] : counts) {
    commands.push_back({"HINCRBY", log_key(id) + ":contents", hash, std::to_string(count)});
  }
}

void RedisStore::drop_log(LogId id, std::vector<RedisCommand>& commands) const {
  commands.push_back({"UNLINK", log_key(id), log_key(id) + ":contents"});
  commands.push_back({"SREM", lease_.key("logs"), std::to_string(id)});
}

Result<void> RedisStore::replay(LogId log, const std::function<void(Entry&&)>& each) {
  BOOST_OUTCOME_TRYV(ready());
  std::uint64_t number = 0;
  for (std::string after = "0-0";;) {
    BOOST_OUTCOME_TRY(found, records(log, after));
    if (found.empty()) return boost::outcome_v2::success();
    after = found.back().id;
    for (const RedisRecord& record : found) {
      if (record.first != number) return broken(log, "an entry is missing");
      number += record.entries.size();
      BOOST_OUTCOME_TRYV(deliver(log, record, each));
    }
  }
}

Result<void> RedisStore::deliver(LogId id, const RedisRecord& record, const std::function<void(Entry&&)>& each) {
  for (const HashedEntry& hashed : record.entries) {
    Entry entry{std::string(hashed.bytes), {}};
    for (const std::string& hash : hashed.hashes) {
      BOOST_OUTCOME_TRY(payload, load(id, hash));
      entry.attachments.push_back(std::move(payload));
    }
    each(std::move(entry));
  }
  return boost::outcome_v2::success();
}

}  // namespace dc::store

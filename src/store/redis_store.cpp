// See redis_store.hpp. Appends and what they leave when they fail; redis_contents.cpp has the rest.
#include "store/redis_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/check.hpp"
#include "core/log.hpp"
#include "core/printable.hpp"
#include "store/stored_content.hpp"

namespace dc::store {
namespace {

/// Appends of one log are cut into records of about this size.
constexpr std::size_t record_bytes = std::size_t{1} << 20;

std::optional<LogId> log_id(std::string_view text) {
  LogId id = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (problem != std::errc() || end != text.data() + text.size() || text != std::to_string(id)) return std::nullopt;
  return id;
}

}  // namespace

RedisStore::RedisStore(RedisOptions options) : options_(std::move(options)), lease_(options_) {
  lease_.on_reconnect([this] { return look_for_what_was_certain(); });
}
RedisStore::~RedisStore() { RedisStore::release(); }

std::string RedisStore::description() const {
  const std::string survives = lease_.survives();
  return options_.address.name() + (survives.empty() ? "" : " (" + survives + ")");
}

std::string RedisStore::log_key(LogId id) const { return lease_.key(fmt::format("log:{}", id)); }

/// Terms grow, and so does the counter: larger than every id before.
std::string RedisStore::next_id() { return fmt::format("{}-{}", lease_.term(), ++counter_); }

Error RedisStore::broken(LogId id, std::string_view what) const {
  return fail(ErrorCode::protocol,
              fmt::format("the store ({}) is broken ({} of pool {:016x})", options_.address.name(), what, id));
}

Result<std::uint64_t> RedisStore::acquire(const Owner& owner) {
  BOOST_OUTCOME_TRY(term, lease_.acquire(owner));
  logs_.clear();
  uploads_.clear();
  forget_pages();
  counter_ = 0;
  const Result<void> collected = collect_uploads();
  if (collected) return term;
  lease_.release();
  return collected.error();
}

void RedisStore::release() {
  lease_.release();
  logs_.clear();
}

/// A server that was put in the place of another, or lost power, may have less than it said to have: then what this
/// head knows is not what stands there, and must not be written on. Whoever starts again reads what there is.
Result<void> RedisStore::look_for_what_was_certain() {
  forget_pages();
  std::vector<RedisCommand> questions;
  for (const auto& [id, log] : logs_) {
    if (log.entries > 0) questions.push_back({"XRANGE", log_key(id), log.last_id, log.last_id, "COUNT", "1"});
  }
  if (questions.empty()) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(found, lease_.ask(questions));
  for (const RedisReply& one : found) {
    if (one.size() > 0) continue;
    return fail(ErrorCode::fenced,
                fmt::format("the store ({}) fell back to an earlier state, without entries that it had taken: start "
                            "this head again, so that it reads what is left",
                            options_.address.name()));
  }
  return boost::outcome_v2::success();
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
  for (std::size_t i = 0; i < reply.size(); ++i) {
    if (const auto id = log_id(reply[i].text())) {
      ids.push_back(*id);
    } else {
      log::warning("the store ({}) lists \"{}\" among its pools, which is no pool's id: it is left alone",
                   options_.address.name(), printable(reply[i].text()));
    }
  }
  std::sort(ids.begin(), ids.end());
  forget_pages();
  unread_ = ids;
  ahead_ = 1;
  return ids;
}

RedisStore::Page RedisStore::page_of(const RedisReply& reply, std::size_t asked, std::size_t& bytes) {
  Page found;
  for (std::size_t i = 0; i < reply.size(); ++i) {
    found.records.push_back(decode_record(reply[i]));
    for (const HashedEntry& entry : found.records.back().entries) bytes += entry.bytes.size();
  }
  found.last = reply.size() < asked;
  return found;
}

Result<RedisStore::Page> RedisStore::page(LogId id, const std::string& after) {
  const std::size_t asked = page_;
  BOOST_OUTCOME_TRY(reply,
                    lease_.ask(RedisCommand{"XRANGE", log_key(id), "(" + after, "+", "COUNT", std::to_string(asked)}));
  std::size_t bytes = 0;
  Page found = page_of(reply, asked, bytes);
  // Small ones do not wait for a round trip each.
  if (bytes < record_bytes) page_ = std::min(2 * page_, 8 * records_page);
  if (bytes > records_page * record_bytes) page_ = records_page;
  return found;
}

Result<RedisStore::Page> RedisStore::first_page(LogId id) {
  auto asked_for = pages_.extract(id);
  if (!asked_for.empty()) return std::move(asked_for.mapped());
  Result<Page> first = ask_for_first_pages(id);
  if (first || first.error().code != ErrorCode::protocol) return first;
  return page(id, "0-0");  // perhaps it is another one that is broken
}

Result<RedisStore::Page> RedisStore::ask_for_first_pages(LogId id) {
  pages_.clear();
  const auto from = std::find(unread_.begin(), unread_.end(), id);
  if (from == unread_.end()) return page(id, "0-0");
  const auto to = from + std::min(static_cast<std::ptrdiff_t>(ahead_), unread_.end() - from);
  const std::vector<LogId> wanted(from, to);
  unread_.erase(unread_.begin(), to);
  std::vector<RedisCommand> commands;
  for (const LogId log : wanted) {
    commands.push_back({"XRANGE", log_key(log), "-", "+", "COUNT", std::to_string(records_page)});
  }
  BOOST_OUTCOME_TRY(replies, lease_.ask(commands));
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) pages_[wanted[i]] = page_of(replies[i], records_page, bytes);
  ahead_ = bytes < limits::store_group_bytes ? std::min(2 * ahead_, first_pages_max) : 1;
  return std::move(pages_.extract(id).mapped());
}

Result<RedisStore::Log*> RedisStore::known(LogId id) {
  if (const auto found = logs_.find(id); found != logs_.end()) return &found->second;
  BOOST_OUTCOME_TRY(reply, lease_.ask(RedisCommand{"XREVRANGE", log_key(id), "+", "-", "COUNT", "1"}));
  Log log;
  if (reply.size() > 0) {
    const RedisRecord last = decode_record(reply[0]);
    if (last.damaged) return broken(id, "the last entry is damaged");
    log.last_id = last.id;
    log.entries = last.first + last.entries.size();
  }
  return &(logs_[id] = log);
}

void RedisStore::hash_entry(const Entry& entry, Hashed& into) {
  HashedEntry hashed{entry.bytes, {}};
  for (const Payload& attachment : entry.attachments) {
    const std::string* stored = stored_hash(attachment);
    if (!stored) lease_.moved(Part::journal, 1s * (attachment.size() / slow_hash_bytes_per_s));
    std::string hash = stored ? *stored : options_.content_hash(attachment.bytes());
    ++into.counts[hash];
    if (!stored) into.contents[hash] = &attachment;
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

Result<void> RedisStore::append(std::span<Addressed> batch) {
  forget_pages();
  BOOST_OUTCOME_TRYV(ready());
  if (batch.empty()) return boost::outcome_v2::success();
  if (std::string why = lease_.trouble(); !why.empty()) return fail(ErrorCode::full, std::move(why));
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
  std::map<LogId, std::size_t> seen;
  for (Addressed& addressed : batch) {
    std::vector<std::string>& hashes = by_log[addressed.log].entries[seen[addressed.log]++].hashes;
    auto hash = hashes.begin();
    for (Payload& attachment : addressed.entry.attachments)
      attachment = stored_content(std::move(*hash++), attachment.size());
  }
  return boost::outcome_v2::success();
}

/// Takes the records of failed appends out again, if there are any.
Result<void> RedisStore::take_out(LogId id, Log& log) {
  RedisCommand erase{"XDEL", log_key(id)};
  Counts counts;
  for (std::string after = log.last_id;;) {
    BOOST_OUTCOME_TRY(found, page(id, after));
    if (found.records.empty()) break;
    after = found.records.back().id;
    for (const RedisRecord& record : found.records) {
      if (record.damaged) return broken(id, "an entry is damaged");
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

// --- Reading ----------------------------------------------------------------------------------------------------

Result<bool> RedisStore::read(LogId log, Position& position, Attachments attachments,
                              const std::function<void(Entry&&)>& each) {
  BOOST_OUTCOME_TRYV(ready());
  const bool first = position.mark.empty();
  if (first) position.mark = "0-0";
  BOOST_OUTCOME_TRY(found, first ? first_page(log) : page(log, position.mark));
  for (const RedisRecord& record : found.records) {
    if (record.damaged) {
      position.mark = record.id;
      return broken(log, "an entry is damaged");
    }
    if (record.first != position.entries) {
      position.entries = record.first;
      return broken(log, "an entry is missing");
    }
    position.mark = record.id;
    BOOST_OUTCOME_TRYV(deliver(log, record, position, attachments, each));
  }
  if (found.last && position.entries > 0) logs_.try_emplace(log, Log{position.mark, position.entries, false});
  return !found.last;
}

Result<void> RedisStore::deliver(LogId id, const RedisRecord& record, Position& position, Attachments attachments,
                                 const std::function<void(Entry&&)>& each) {
  Loaded loaded;
  const std::uint64_t end = record.first + record.entries.size();
  std::span<const HashedEntry> left = record.entries;
  while (!left.empty()) {
    // So many that their contents, if they are small, come in one group.
    const std::span<const HashedEntry> some = left.first(std::min(left.size(), limits::store_group_items_max));
    BOOST_OUTCOME_TRYV(attachments == Attachments::load ? load(some, loaded) : refer(some, loaded));
    for (const HashedEntry& hashed : some) {
      Entry entry{std::string(hashed.bytes), {}};
      for (const std::string& hash : hashed.hashes) {
        const auto found = loaded.find(hash);
        if (found == loaded.end()) {
          position.entries = end;
          return broken(id, "a payload is missing or damaged");
        }
        entry.attachments.push_back(found->second);
      }
      ++position.entries;
      each(std::move(entry));
    }
    loaded.clear();
    left = left.subspan(some.size());
  }
  return boost::outcome_v2::success();
}

}  // namespace dc::store

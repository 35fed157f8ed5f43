// See redis_store.hpp. Writing; redis_contents.cpp has the contents of attachments, redis_reading.cpp how logs are
// read.
#include "store/redis_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/log.hpp"
#include "core/printable.hpp"
#include "store/stored_content.hpp"

namespace dc::store {
namespace {

/// So many of the last transactions are noted.
constexpr std::size_t noted_transactions = 100;
/// A long log that is written at once is cut into commands of about this size.
constexpr std::size_t command_bytes = std::size_t{1} << 20;

}  // namespace

/// Of what the server lists among the logs; none: something else, which is said.
std::optional<LogId> RedisStore::listed_id(std::string_view text) const {
  LogId id = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (problem == std::errc() && end == text.data() + text.size() && text == std::to_string(id)) return id;
  log::warning("the store ({}) lists \"{}\" among its pools, which is no pool's id: it is left alone",
               options_.address.name(), printable(text));
  return std::nullopt;
}

RedisStore::RedisStore(RedisOptions options) : options_(std::move(options)), lease_(options_) {
  lease_.on_reconnect([this] { return look_for_what_was_certain(); });
}
RedisStore::~RedisStore() { RedisStore::release(); }

std::string RedisStore::description() const {
  const std::string survives = lease_.survives();
  return options_.address.name() + (survives.empty() ? "" : " (" + survives + ")");
}

std::string RedisStore::entries_key(LogId id) const { return lease_.key(fmt::format("log:{}:entries", id)); }
std::string RedisStore::attachments_key(LogId id) const { return lease_.key(fmt::format("log:{}:attachments", id)); }

Error RedisStore::broken(LogId id, std::string_view what) const {
  return fail(ErrorCode::protocol,
              fmt::format("the store ({}) is broken ({} of pool {:016x})", options_.address.name(), what, id));
}

Result<std::uint64_t> RedisStore::acquire(const Owner& owner) {
  last_.reset();
  BOOST_OUTCOME_TRY(term, lease_.acquire(owner));
  highest_.clear();
  may_have_been_.clear();
  uploads_.clear();
  forget_readings();
  unread_.clear();
  counter_ = 0;
  const auto begin = [this]() -> Result<void> {
    BOOST_OUTCOME_TRY(last, lease_.ask(RedisCommand{"LINDEX", lease_.key("last"), "0"}));
    last_ = std::string(last.text());
    BOOST_OUTCOME_TRYV(collect_uploads());
    return convert_earlier();
  };
  const Result<void> begun = begin();
  if (begun) return term;
  lease_.release();
  return begun.error();
}

void RedisStore::release() {
  lease_.release();
  highest_.clear();
  forget_readings();
}

/// A server that was put in the place of another, or lost power, may have less than it said to have: then what this
/// head knows is not what stands there, and must not be written on. Whoever starts again reads what there is.
Result<void> RedisStore::look_for_what_was_certain() {
  if (!last_) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(noted, lease_.ask(RedisCommand{"LRANGE", lease_.key("last"), "0", "-1"}));
  std::size_t later = 0;  // those of which it was not known whether they would be
  while (later < noted.size() && may_have_been_.contains(std::string(noted[later].text()))) ++later;
  const bool found =
      later < noted.size() ? noted[later].text() == *last_ : last_->empty() || later == noted_transactions;
  if (!found) {
    return fail(ErrorCode::fenced,
                fmt::format("the store ({}) fell back to an earlier state, without entries that it had taken: start "
                            "this head again, so that it reads what is left",
                            options_.address.name()));
  }
  return boost::outcome_v2::success();
}

/// Carries out all or none: see RedisLease::transact(). Notes that it was.
Result<void> RedisStore::commit(std::vector<RedisCommand> commands) {
  const std::string name = fmt::format("{}:{}", lease_.term(), ++counter_);
  may_have_been_.insert(name);
  commands.push_back({"LPUSH", lease_.key("last"), name});
  commands.push_back({"LTRIM", lease_.key("last"), "0", std::to_string(noted_transactions - 1)});
  BOOST_OUTCOME_TRYV(lease_.transact(std::move(commands)));
  last_ = name;
  may_have_been_.clear();
  uploads_.clear();
  return boost::outcome_v2::success();
}

/// What every call that reads or writes begins with.
Result<void> RedisStore::ready() {
  if (lease_.term() == 0) {
    return fail(ErrorCode::fenced, fmt::format("the store ({}) was given up by this head", options_.address.name()));
  }
  return drop_uploads();
}

Result<std::vector<LogId>> RedisStore::logs() {
  BOOST_OUTCOME_TRYV(ready());
  BOOST_OUTCOME_TRY(reply, lease_.ask(RedisCommand{"HGETALL", lease_.key("entries")}));
  forget_readings();
  unread_.clear();
  std::vector<LogId> ids;
  for (std::size_t i = 0; i + 1 < reply.size(); i += 2) {
    if (const auto id = listed_id(reply[i].text())) {
      ids.push_back(*id);
      unread_[*id] = reply[i + 1].integer();
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

// --- Some entries -----------------------------------------------------------------------------------------------

HashedEntry RedisStore::hash_entry(const Entry& entry, Contents& contents) {
  HashedEntry hashed{entry.bytes, {}};
  for (const Payload& attachment : entry.attachments) {
    const std::string* stored = stored_hash(attachment);
    if (!stored) lease_.moved(Part::journal, 1s * (attachment.size() / slow_hash_bytes_per_s));
    std::string hash = stored ? *stored : options_.content_hash(attachment.bytes());
    if (!stored) contents[hash] = &attachment;
    hashed.hashes.push_back(std::move(hash));
  }
  return hashed;
}

/// Of logs that this head has neither read nor written to.
Result<void> RedisStore::find_highest(const std::map<LogId, Wanted>& changes) {
  std::vector<LogId> unknown;
  std::vector<RedisCommand> questions;
  for (const auto& [id, wanted] : changes) {
    if (highest_.contains(id)) continue;
    unknown.push_back(id);
    questions.push_back({"HKEYS", entries_key(id)});
  }
  if (questions.empty()) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(answers, lease_.ask(questions));
  for (std::size_t i = 0; i < unknown.size(); ++i) {
    EntryNumber highest = 0;
    for (std::size_t j = 0; j < answers[i].size(); ++j) {
      highest = std::max(highest, static_cast<EntryNumber>(answers[i][j].integer()));
    }
    highest_[unknown[i]] = highest;
  }
  return boost::outcome_v2::success();
}

/// Nothing is asked of numbers that are new.
Result<std::map<LogId, RedisStore::Standing>> RedisStore::find_standing(const std::map<LogId, Wanted>& changes) {
  BOOST_OUTCOME_TRYV(find_highest(changes));
  std::vector<RedisCommand> questions;
  for (const auto& [id, wanted] : changes) {
    const auto end = wanted.upper_bound(highest_[id]);
    if (end == wanted.begin()) continue;
    questions.push_back({"HGET", lease_.key("entries"), std::to_string(id)});
    RedisCommand hashes{"HMGET", attachments_key(id), "0"};
    for (auto one = wanted.begin(); one != end; ++one) {
      hashes.push_back(std::to_string(one->first));
      questions.push_back({"HEXISTS", entries_key(id), hashes.back()});
    }
    questions.push_back(std::move(hashes));
  }
  std::map<LogId, Standing> standing;
  if (questions.empty()) return standing;
  BOOST_OUTCOME_TRY(answers, lease_.ask(questions));
  auto answer = answers.begin();
  for (const auto& [id, wanted] : changes) {
    const auto end = wanted.upper_bound(highest_[id]);
    if (end == wanted.begin()) continue;
    Standing& found = standing[id];
    found.entries = (answer++)->integer();
    const auto exists = answer;
    const RedisReply hashes = *(answer += std::distance(wanted.begin(), end));
    ++answer;
    found.of_lost_entries = split_hashes(hashes[0].text());
    std::size_t index = 0;
    for (auto one = wanted.begin(); one != end; ++one, ++index) {
      if (exists[static_cast<std::ptrdiff_t>(index)].integer() == 0) continue;
      found.hashes[one->first] = split_hashes(hashes[index + 1].text());
    }
  }
  return standing;
}

void RedisStore::change_log(LogId id, const Wanted& wanted, const Standing& standing, Counts& counts,
                            std::vector<RedisCommand>& commands) const {
  RedisCommand put{"HSET", entries_key(id)};
  RedisCommand erase{"HDEL", entries_key(id)};
  RedisCommand attach{"HSET", attachments_key(id)};
  RedisCommand detach{"HDEL", attachments_key(id)};
  std::int64_t more = 0;
  for (const auto& [number, entry] : wanted) {
    const std::string field = std::to_string(number);
    const auto stood = standing.hashes.find(number);
    if (stood != standing.hashes.end()) {
      --more;
      for (const std::string& hash : stood->second) --counts[hash];
      if (!entry) erase.push_back(field);
      if (!stood->second.empty()) detach.push_back(field);
    }
    if (!entry) continue;
    ++more;
    for (const std::string& hash : entry->hashes) ++counts[hash];
    put.insert(put.end(), {field, encode_entry(number, *entry)});
    if (!entry->hashes.empty()) attach.insert(attach.end(), {field, join_hashes(entry->hashes)});
  }
  // Removed before anything is put under the same number.
  for (RedisCommand* command : {&erase, &detach, &put, &attach}) {
    if (command->size() > 2) commands.push_back(std::move(*command));
  }
  if (more < 0 && standing.entries + more <= 0) {
    for (const std::string& hash : standing.of_lost_entries) --counts[hash];
    drop_log(id, commands);
  } else if (more != 0) {
    commands.push_back({"HINCRBY", lease_.key("entries"), std::to_string(id), std::to_string(more)});
  }
}

Result<void> RedisStore::write(std::span<Change> changes) {
  forget_readings();
  BOOST_OUTCOME_TRYV(ready());
  if (changes.empty()) return boost::outcome_v2::success();
  if (std::string why = lease_.trouble(); !why.empty()) return fail(ErrorCode::full, std::move(why));
  std::map<LogId, Wanted> by_log;
  Contents contents;
  std::vector<std::string> hashes;
  for (const Change& change : changes) {
    std::optional<HashedEntry>& wanted = by_log[change.log][change.number];
    wanted = change.entry ? std::optional(hash_entry(*change.entry, contents)) : std::nullopt;
    if (wanted) hashes.insert(hashes.end(), wanted->hashes.begin(), wanted->hashes.end());
  }
  BOOST_OUTCOME_TRY(standing, find_standing(by_log));
  std::vector<RedisCommand> commands;
  Counts counts;
  for (const auto& [id, wanted] : by_log) change_log(id, wanted, standing[id], counts, commands);
  BOOST_OUTCOME_TRYV(count_contents(counts, contents, commands));
  for (const auto& [id, wanted] : by_log) highest_[id] = std::max(highest_[id], wanted.rbegin()->first);
  BOOST_OUTCOME_TRYV(commit(std::move(commands)));
  stand_in_for_attachments(changes, std::move(hashes));
  return boost::outcome_v2::success();
}

// --- Whole logs -------------------------------------------------------------------------------------------------

void RedisStore::drop_log(LogId id, std::vector<RedisCommand>& commands) const {
  commands.push_back({"UNLINK", entries_key(id), attachments_key(id)});
  commands.push_back({"HDEL", lease_.key("entries"), std::to_string(id)});
}

Result<void> RedisStore::replace(LogId log, std::span<const Entry> entries) {
  forget_readings();
  BOOST_OUTCOME_TRYV(ready());
  Counts counts;
  BOOST_OUTCOME_TRY(old, lease_.ask(RedisCommand{"HVALS", attachments_key(log)}));
  for (std::size_t i = 0; i < old.size(); ++i) {
    for (const std::string& hash : split_hashes(old[i].text())) --counts[hash];
  }
  std::vector<RedisCommand> commands;
  drop_log(log, commands);
  Contents contents;
  // Beside the old log first: it may be long, and the server does nothing else during a transaction.
  Beside beside;
  EntryNumber number = 0;
  for (const Entry& entry : entries) {
    const HashedEntry hashed = hash_entry(entry, contents);
    for (const std::string& hash : hashed.hashes) ++counts[hash];
    ++number;
    BOOST_OUTCOME_TRYV(put_beside(beside, number, encode_entry(number, hashed), hashed.hashes));
  }
  BOOST_OUTCOME_TRYV(send(beside));
  use_beside(log, beside, commands);
  BOOST_OUTCOME_TRYV(count_contents(counts, contents, commands));
  highest_.erase(log);
  BOOST_OUTCOME_TRYV(commit(std::move(commands)));
  highest_[log] = number;
  return boost::outcome_v2::success();
}

Result<void> RedisStore::remove(LogId log) { return replace(log, {}); }

// --- A log beside the one that it is to replace -----------------------------------------------------------------

Result<void> RedisStore::put_beside(Beside& beside, EntryNumber number, std::string value,
                                    const std::vector<std::string>& hashes) {
  if (beside.entries_key.empty()) {
    beside.entries_key = new_upload();
    beside.attachments_key = new_upload();
    BOOST_OUTCOME_TRYV(announce({beside.entries_key, beside.attachments_key}));
  }
  beside.bytes += value.size();
  if (number > 0) {
    ++beside.entries;
    beside.commands.push_back({"HSET", beside.entries_key, std::to_string(number), std::move(value)});
  }
  if (!hashes.empty()) {
    beside.with_attachments = true;
    beside.commands.push_back({"HSET", beside.attachments_key, std::to_string(number), join_hashes(hashes)});
  }
  if (beside.bytes < command_bytes && beside.commands.size() < limits::store_group_items_max) {
    return boost::outcome_v2::success();
  }
  return send(beside);
}

Result<void> RedisStore::send(Beside& beside) {
  if (beside.commands.empty()) return boost::outcome_v2::success();
  beside.bytes = 0;
  BOOST_OUTCOME_TRYV(lease_.ask(std::exchange(beside.commands, {})));
  return boost::outcome_v2::success();
}

void RedisStore::use_beside(LogId id, const Beside& beside, std::vector<RedisCommand>& commands) const {
  if (beside.entries == 0) return;
  use_upload(beside.entries_key, entries_key(id), commands);
  if (beside.with_attachments) {
    use_upload(beside.attachments_key, attachments_key(id), commands);
  } else {
    commands.push_back({"SREM", lease_.key("uploads"), beside.attachments_key});
  }
  commands.push_back({"HSET", lease_.key("entries"), std::to_string(id), std::to_string(beside.entries)});
}

}  // namespace dc::store

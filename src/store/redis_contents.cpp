// The contents of attachments on the server, and the exchange of a whole log; see redis_store.hpp.
#include <fmt/format.h>

#include "core/limits.hpp"
#include "store/redis_store.hpp"

namespace dc::store {

/// The key is remembered on the server before it exists, so that the next head can delete it.
Result<std::string> RedisStore::new_upload() {
  std::string key = lease_.key(fmt::format("upload:{}:{}", lease_.term(), ++counter_));
  uploads_.push_back(key);
  BOOST_OUTCOME_TRYV(lease_.ask(RedisCommand{"SADD", lease_.key("uploads"), key}));
  return key;
}

void RedisStore::use_upload(const std::string& upload, const std::string& as,
                            std::vector<RedisCommand>& commands) const {
  commands.push_back({"RENAME", upload, as});
  commands.push_back({"SREM", lease_.key("uploads"), upload});
}

/// Outside of any transaction, part by part, so that nobody waits long for the server.
Result<std::string> RedisStore::upload(const Payload& content) {
  BOOST_OUTCOME_TRY(key, new_upload());
  std::string_view left = content.view();
  do {
    const std::string_view part = left.substr(0, limits::store_part_bytes);
    BOOST_OUTCOME_TRYV(lease_.ask(RedisCommand{"RPUSH", key, std::string(part)}));
    left.remove_prefix(part.size());
  } while (!left.empty());
  return std::move(key);
}

/// Of a call that failed. If it was carried out all the same, they bear other names by now.
Result<void> RedisStore::drop_uploads() {
  if (uploads_.empty()) return boost::outcome_v2::success();
  RedisCommand unlink{"UNLINK"};
  RedisCommand forget{"SREM", lease_.key("uploads")};
  unlink.insert(unlink.end(), uploads_.begin(), uploads_.end());
  forget.insert(forget.end(), uploads_.begin(), uploads_.end());
  BOOST_OUTCOME_TRYV(lease_.ask(std::vector<RedisCommand>{std::move(unlink), std::move(forget)}));
  uploads_.clear();
  return boost::outcome_v2::success();
}

/// Left by heads that ended in the middle.
Result<void> RedisStore::collect_uploads() {
  BOOST_OUTCOME_TRY(keys, lease_.ask(RedisCommand{"SMEMBERS", lease_.key("uploads")}));
  if (keys.size() == 0) return boost::outcome_v2::success();
  std::vector<RedisCommand> commands{{"DEL", lease_.key("uploads")}};
  for (std::size_t i = 0; i < keys.size(); ++i) commands.push_back({"UNLINK", std::string(keys[i].text())});
  return lease_.transact(std::move(commands));
}

Result<void> RedisStore::count_contents(const Counts& counts, const Contents& contents,
                                        std::vector<RedisCommand>& commands) {
  if (counts.empty()) return boost::outcome_v2::success();
  const std::string all = lease_.key("contents");
  RedisCommand question{"HMGET", all};
  for (const auto& [hash, count] : counts) question.push_back(hash);
  BOOST_OUTCOME_TRY(before, lease_.ask(question));
  std::size_t index = 0;
  for (const auto& [hash, count] : counts) {
    const std::int64_t had = before[index++].integer();
    const std::string key = lease_.key("content:" + hash);
    if (had <= 0 && count > 0) {
      BOOST_OUTCOME_TRY(uploaded, upload(*contents.at(hash)));
      use_upload(uploaded, key, commands);
    }
    if (had + count > 0) {
      commands.push_back({"HINCRBY", all, hash, std::to_string(count)});
    } else {
      commands.push_back({"HDEL", all, hash});
      commands.push_back({"UNLINK", key});
    }
  }
  return boost::outcome_v2::success();
}

Result<Payload> RedisStore::load(LogId id, const std::string& hash) {
  const std::string key = lease_.key("content:" + hash);
  BOOST_OUTCOME_TRY(parts, lease_.ask(RedisCommand{"LLEN", key}));
  std::string content;
  for (std::int64_t part = 0; part < parts.integer(); ++part) {
    BOOST_OUTCOME_TRY(bytes, lease_.ask(RedisCommand{"LINDEX", key, std::to_string(part)}));
    content += bytes.text();
  }
  Payload payload(std::move(content));
  if (parts.integer() == 0 || options_.content_hash(payload.bytes()) != hash) {
    return broken(id, "a payload is missing or damaged");
  }
  return payload;
}

Result<void> RedisStore::replace(LogId log, std::span<const Entry> entries) {
  BOOST_OUTCOME_TRYV(ready());
  Hashed fresh;
  for (const Entry& entry : entries) hash_entry(entry, fresh);
  Counts counts = fresh.counts;
  BOOST_OUTCOME_TRY(old, lease_.ask(RedisCommand{"HGETALL", log_key(log) + ":contents"}));
  for (std::size_t i = 0; i + 1 < old.size(); i += 2) counts[std::string(old[i].text())] -= old[i + 1].integer();

  Log after;
  std::vector<RedisCommand> commands;
  drop_log(log, commands);
  if (!entries.empty()) {
    // Beside the old log first: it may be long, and the server does nothing else during a transaction.
    BOOST_OUTCOME_TRY(beside, new_upload());
    std::vector<RedisCommand> adding;
    add_records(beside, fresh.entries, after, adding);
    for (const RedisCommand& command : adding) {
      BOOST_OUTCOME_TRYV(lease_.ask(command));
    }
    use_upload(beside, log_key(log), commands);
    count_in_log(log, fresh.counts, commands);
    commands.push_back({"SADD", lease_.key("logs"), std::to_string(log)});
  }
  BOOST_OUTCOME_TRYV(count_contents(counts, fresh.contents, commands));
  logs_.erase(log);
  BOOST_OUTCOME_TRYV(lease_.transact(std::move(commands)));
  uploads_.clear();
  logs_[log] = after;
  return boost::outcome_v2::success();
}

Result<void> RedisStore::remove(LogId log) { return replace(log, {}); }

}  // namespace dc::store

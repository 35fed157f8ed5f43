// The contents of attachments on the server; see redis_store.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/limits.hpp"
#include "store/redis_store.hpp"
#include "store/stored_content.hpp"

namespace dc::store {
namespace {

/// Each once.
std::vector<std::string> hashes_in(std::span<const HashedEntry> entries) {
  std::set<std::string> wanted;
  for (const HashedEntry& entry : entries) wanted.insert(entry.hashes.begin(), entry.hashes.end());
  return {wanted.begin(), wanted.end()};
}

}  // namespace

std::string RedisStore::new_upload() {
  std::string key = lease_.key(fmt::format("upload:{}:{}", lease_.term(), ++counter_));
  uploads_.push_back(key);
  return key;
}

/// Keys are remembered on the server before they exist, so that the next head can delete them.
Result<void> RedisStore::announce(const std::vector<std::string>& uploads) {
  RedisCommand remember{"SADD", lease_.key("uploads")};
  remember.insert(remember.end(), uploads.begin(), uploads.end());
  BOOST_OUTCOME_TRYV(lease_.ask(remember));
  return boost::outcome_v2::success();
}

void RedisStore::use_upload(const std::string& upload, const std::string& as,
                            std::vector<RedisCommand>& commands) const {
  commands.push_back({"RENAME", upload, as});
  commands.push_back({"SREM", lease_.key("uploads"), upload});
}

/// Outside of any transaction and part by part, so that nobody waits long for the server; in groups, so that small ones
/// do not wait for a round trip each.
Result<void> RedisStore::upload(const std::map<std::string, const Payload*>& contents) {
  std::vector<std::string> keys;
  for (const auto& [key, content] : contents) keys.push_back(key);
  BOOST_OUTCOME_TRYV(announce(keys));
  std::vector<RedisCommand> group;
  std::size_t bytes = 0;
  const auto send = [&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(lease_.ask(std::exchange(group, {})));
    bytes = 0;
    return boost::outcome_v2::success();
  };
  for (const auto& [key, content] : contents) {
    std::string_view left = content->view();
    do {
      const std::string_view part = left.substr(0, limits::store_part_bytes);
      group.push_back({"RPUSH", key, std::string(part)});
      bytes += part.size();
      left.remove_prefix(part.size());
      if (bytes < limits::store_group_bytes && group.size() < limits::store_group_items_max) continue;
      BOOST_OUTCOME_TRYV(send());
    } while (!left.empty());
  }
  if (group.empty()) return boost::outcome_v2::success();
  return send();
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
  const std::string all = lease_.key("contents");
  RedisCommand question{"HMGET", all};
  for (const auto& [hash, count] : counts) {
    if (count != 0) question.push_back(hash);
  }
  if (question.size() == 2) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(before, lease_.ask(question));
  std::map<std::string, const Payload*> uploads;
  std::size_t index = 0;
  for (const auto& [hash, count] : counts) {
    if (count == 0) continue;
    const std::int64_t had = before[index++].integer();
    const std::string key = lease_.key("content:" + hash);
    if (had <= 0 && count > 0) {
      const auto content = contents.find(hash);
      if (content == contents.end()) return missing_content();
      const std::string uploaded = new_upload();
      uploads[uploaded] = content->second;
      use_upload(uploaded, key, commands);
      commands.push_back({"HSET", lease_.key("sizes"), hash, std::to_string(content->second->size())});
    }
    if (had + count > 0) {
      commands.push_back({"HINCRBY", all, hash, std::to_string(count)});
    } else {
      commands.push_back({"HDEL", all, hash});
      commands.push_back({"HDEL", lease_.key("sizes"), hash});
      commands.push_back({"UNLINK", key});
    }
  }
  if (uploads.empty()) return boost::outcome_v2::success();
  return upload(uploads);
}

Error RedisStore::missing_content() const {
  return fail(ErrorCode::protocol, fmt::format("the store ({}) is broken: it does not know a payload that its entries "
                                               "refer to",
                                               options_.address.name()));
}

// --- Reading ----------------------------------------------------------------------------------------------------

Result<Payload> RedisStore::fetch_content(const std::string& hash) {
  BOOST_OUTCOME_TRYV(ready());
  Loaded loaded;
  BOOST_OUTCOME_TRYV(load_group(std::span(&hash, 1), loaded));
  if (loaded.empty()) {
    return fail(ErrorCode::protocol,
                fmt::format("a payload is missing or damaged in the store ({})", options_.address.name()));
  }
  return std::move(loaded.begin()->second);
}

/// What stands for the contents of these entries. Those that are missing are left out.
Result<void> RedisStore::refer(std::span<const HashedEntry> entries, Loaded& into) {
  const std::vector<std::string> hashes = hashes_in(entries);
  if (hashes.empty()) return boost::outcome_v2::success();
  std::vector<RedisCommand> questions{{"HMGET", lease_.key("sizes")}};
  questions[0].insert(questions[0].end(), hashes.begin(), hashes.end());
  for (const std::string& hash : hashes) questions.push_back({"LLEN", lease_.key("content:" + hash)});
  BOOST_OUTCOME_TRY(answers, lease_.ask(questions));
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    const std::int64_t parts = answers[1 + i].integer();
    if (parts == 0) continue;
    auto size = static_cast<std::size_t>(answers[0][i].is_nil() ? 0 : answers[0][i].integer());
    if (answers[0][i].is_nil()) {  // of an earlier version
      BOOST_OUTCOME_TRY(last, lease_.ask(RedisCommand{"LINDEX", lease_.key("content:" + hashes[i]), "-1"}));
      size = static_cast<std::size_t>(parts - 1) * limits::store_part_bytes + last.text().size();
    }
    into.emplace(hashes[i], stored_content(hashes[i], size));
  }
  return boost::outcome_v2::success();
}

/// Contents of these entries, each once. Those that are missing or damaged are left out.
Result<void> RedisStore::load(std::span<const HashedEntry> entries, Loaded& into) {
  const std::vector<std::string> hashes = hashes_in(entries);
  std::span<const std::string> left = hashes;
  // Sizes are not known before, so that groups grow as long as their contents turn out to be small.
  for (std::size_t group = 4; !left.empty();) {
    const std::span<const std::string> some = left.first(std::min(left.size(), group));
    BOOST_OUTCOME_TRY(bytes, load_group(some, into));
    left = left.subspan(some.size());
    if (bytes < limits::store_group_bytes) group = std::min(2 * group, limits::store_group_items_max);
    if (bytes > 4 * limits::store_group_bytes) group = std::max<std::size_t>(1, group / 2);
  }
  return boost::outcome_v2::success();
}

/// Returns how many bytes these were.
Result<std::size_t> RedisStore::load_group(std::span<const std::string> hashes, Loaded& into) {
  std::vector<RedisCommand> questions;
  for (const std::string& hash : hashes) {
    questions.push_back({"LLEN", lease_.key("content:" + hash)});
    questions.push_back({"LINDEX", lease_.key("content:" + hash), "0"});
  }
  BOOST_OUTCOME_TRY(parts, lease_.ask(questions));
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if (parts[2 * i + 1].is_nil()) continue;
    const std::string_view first = parts[2 * i + 1].text();
    BOOST_OUTCOME_TRY(payload, load_rest(hashes[i], std::string(first), parts[2 * i].integer()));
    bytes += payload.size();
    lease_.moved(Part::journal);
    if (options_.content_hash(payload.bytes()) == hashes[i]) into.emplace(hashes[i], std::move(payload));
  }
  return bytes;
}

/// What follows after the first part, of so many.
Result<Payload> RedisStore::load_rest(const std::string& hash, std::string content, std::int64_t parts) {
  for (std::int64_t part = 1; part < parts; ++part) {
    BOOST_OUTCOME_TRY(bytes, lease_.ask(RedisCommand{"LINDEX", lease_.key("content:" + hash), std::to_string(part)}));
    content += bytes.text();
  }
  lease_.moved(Part::journal, 1s * (content.size() / slow_hash_bytes_per_s));
  return Payload(std::move(content));
}

}  // namespace dc::store

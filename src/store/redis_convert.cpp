// Logs of formats 1 and 2, which were streams, become hashes when a head takes the store: one after the other, each in
// one transaction, so that a head that ends in the middle leaves the rest to the next one. What is damaged becomes an
// entry that is.
#include <fmt/format.h>

#include <algorithm>

#include "store/redis_store.hpp"

namespace dc::store {
namespace {

constexpr std::size_t records_at_once = 16;
/// Stands where entries are lost: it has no checksum.
constexpr std::string_view lost_entry = "lost";

}  // namespace

Result<void> RedisStore::convert_earlier() {
  BOOST_OUTCOME_TRY(ids, lease_.ask(RedisCommand{"SMEMBERS", lease_.key("logs")}));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto id = listed_id(ids[i].text());
    if (!id) continue;
    BOOST_OUTCOME_TRYV(convert(*id));
  }
  return boost::outcome_v2::success();
}

Result<void> RedisStore::convert(LogId id) {
  const std::string stream = lease_.key(fmt::format("log:{}", id));
  Beside beside;
  const Result<Counts> counts = copy_stream(id, beside);
  const bool foreign = !counts && counts.error().code == ErrorCode::protocol;
  if (!counts && !foreign) return counts.error();
  if (foreign || beside.entries == 0) {
    BOOST_OUTCOME_TRYV(put_beside(beside, beside.entries + 1, std::string(lost_entry), {}));
  }
  BOOST_OUTCOME_TRYV(keep_lost_references(id, foreign ? Counts{} : counts.value(), beside));
  BOOST_OUTCOME_TRYV(send(beside));
  std::vector<RedisCommand> commands;
  use_beside(id, beside, commands);
  commands.push_back({"SREM", lease_.key("logs"), std::to_string(id)});
  commands.push_back({"UNLINK", stream + ":contents"});
  if (!foreign) commands.push_back({"UNLINK", stream});
  return commit(std::move(commands));
}

/// Entries of those logs counted from 0; here from 1. Returns how often they refer to each content.
Result<RedisStore::Counts> RedisStore::copy_stream(LogId id, Beside& beside) {
  Counts counts;
  EntryNumber next = 1;
  bool lost = false;  // what stood before
  for (std::string after = "-";;) {
    BOOST_OUTCOME_TRY(found, lease_.ask(RedisCommand{"XRANGE", lease_.key(fmt::format("log:{}", id)), after, "+",
                                                     "COUNT", std::to_string(records_at_once)}));
    for (std::size_t i = 0; i < found.size(); ++i) {
      const StreamRecord record = decode_stream_record(found[i]);
      after = "(" + record.id;
      if (record.damaged || (record.first + 1 > next && !lost)) {
        BOOST_OUTCOME_TRYV(put_beside(beside, next++, std::string(lost_entry), {}));
      }
      lost = record.damaged;
      if (lost) continue;
      next = std::max(next, record.first + 1);
      for (const HashedEntry& entry : record.entries) {
        for (const std::string& hash : entry.hashes) ++counts[hash];
        BOOST_OUTCOME_TRYV(put_beside(beside, next, encode_entry(next, entry), entry.hashes));
        ++next;
      }
    }
    if (found.size() < records_at_once) return counts;
  }
}

/// Those of entries that are lost, so that their contents go with the log.
Result<void> RedisStore::keep_lost_references(LogId id, Counts counts, Beside& beside) {
  const std::string counted = lease_.key(fmt::format("log:{}:contents", id));
  BOOST_OUTCOME_TRY(all, lease_.ask(RedisCommand{"HGETALL", counted}));
  std::vector<std::string> lost;
  for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
    const std::string hash(all[i].text());
    for (std::int64_t left = all[i + 1].integer() - counts[hash]; left > 0; --left) lost.push_back(hash);
  }
  if (lost.empty()) return boost::outcome_v2::success();
  return put_beside(beside, 0, "", lost);
}

}  // namespace dc::store

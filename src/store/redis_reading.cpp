// How logs are read from a Redis; see redis_store.hpp. While all logs are read in their order, those that follow are
// asked for with one, so that a head that starts with many small logs does not wait for round trips of each.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/limits.hpp"
#include "store/redis_store.hpp"

namespace dc::store {
namespace {

/// Of so many entries the sizes are asked for at once.
constexpr std::size_t measured_max = 4096;

}  // namespace

void RedisStore::forget_readings() {
  readings_.clear();
  stand_ins_.clear();
}

Result<bool> RedisStore::read(LogId log, Position& position, Attachments attachments,
                              const std::function<void(EntryNumber, Entry&&)>& each) {
  BOOST_OUTCOME_TRYV(ready());
  const auto known = readings_.find(log);
  const bool here = known != readings_.end() && known->second.behind == position.behind && brought_for_ == attachments;
  if (!here || known->second.brought.empty()) {
    BOOST_OUTCOME_TRYV(bring(log, position.behind, attachments));
  }
  Reading& reading = readings_[log];
  const Result<void> delivered =
      reading.problem ? Result<void>(*reading.problem) : deliver(log, reading, position, attachments, each);
  if (delivered && !reading.numbers.empty()) return true;
  const bool lost = reading.lost && !position.loss_told;
  if (!delivered) {
    if (reading.problem) readings_.erase(log);
    return delivered.error();
  }
  readings_.erase(log);
  if (!lost) return false;
  position.loss_told = true;
  return broken(log, "an entry is missing");
}

Result<void> RedisStore::deliver(LogId id, Reading& reading, Position& position, Attachments attachments,
                                 const std::function<void(EntryNumber, Entry&&)>& each) {
  Loaded loaded;
  std::size_t loaded_for = 0;
  while (!reading.brought.empty()) {
    if (attachments == Attachments::load && loaded_for == 0) {
      // So many that their contents, if they are small, come in one group.
      std::vector<HashedEntry> some;
      for (const RedisRecord& record : reading.brought) {
        if (some.size() == limits::store_group_items_max) break;
        some.push_back(record.entry.value_or(HashedEntry{}));
      }
      loaded.clear();
      BOOST_OUTCOME_TRYV(load(some, loaded));
      loaded_for = some.size();
    }
    --loaded_for;
    const RedisRecord record = std::move(reading.brought.front());
    reading.brought.pop_front();
    reading.behind = position.behind = record.number;
    if (!record.entry) return broken(id, "an entry is damaged");
    Entry entry{std::string(record.entry->bytes), {}};
    const Loaded& contents = attachments == Attachments::load ? loaded : stand_ins_;
    for (const std::string& hash : record.entry->hashes) {
      const auto found = contents.find(hash);
      if (found == contents.end()) return broken(id, "a payload is missing or damaged");
      entry.attachments.push_back(found->second);
    }
    each(record.number, std::move(entry));
  }
  return boost::outcome_v2::success();
}

/// Some entries behind that number, and of the logs that follow. They are kept aside meanwhile: a new connection
/// forgets what was read over another.
Result<void> RedisStore::bring(LogId id, EntryNumber behind, Attachments attachments) {
  Readings readings = std::exchange(readings_, {});
  stand_ins_.clear();
  readings.erase(readings.begin(), readings.lower_bound(id));
  const auto known = readings.find(id);
  if (known != readings.end() && known->second.behind != behind) readings.erase(known);
  BOOST_OUTCOME_TRYV(list(id, behind, readings));
  BOOST_OUTCOME_TRYV(measure(readings));
  BOOST_OUTCOME_TRYV(fetch(readings));
  brought_for_ = attachments;
  if (attachments == Attachments::refer) {
    BOOST_OUTCOME_TRYV(refer_to(readings));
  }
  readings_ = std::move(readings);
  return boost::outcome_v2::success();
}

/// What stands in this log, and in as many of the next ones as can be measured at once.
Result<void> RedisStore::list(LogId id, EntryNumber behind, Readings& readings) {
  std::size_t numbers = 0;
  for (const auto& [log, reading] : readings) numbers += reading.numbers.size();
  std::vector<LogId> wanted;
  if (!readings.contains(id)) wanted.push_back(id);
  const auto from = unread_.lower_bound(id);
  auto to = from;
  for (; to != unread_.end() && readings.size() + wanted.size() < limits::store_group_items_max; ++to) {
    if (to->first == id) continue;
    numbers += static_cast<std::size_t>(std::max<std::int64_t>(to->second, 0));
    if (numbers > measured_max) break;
    wanted.push_back(to->first);
  }
  unread_.erase(from, to);
  if (wanted.empty()) return boost::outcome_v2::success();
  std::vector<RedisCommand> questions{{"HMGET", lease_.key("entries")}};
  for (const LogId log : wanted) {
    questions.front().push_back(std::to_string(log));
    questions.push_back({"HKEYS", entries_key(log)});
  }
  BOOST_OUTCOME_TRY(answers, lease_.exchange(questions));
  if (answers.front().is_error()) return redis_error(options_.address.name(), answers.front().text());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const RedisReply& found = answers[i + 1];
    Reading& reading = readings[wanted[i]];
    reading.behind = wanted[i] == id ? behind : 0;
    if (found.is_error()) {
      reading.problem = redis_error(options_.address.name(), found.text());
      continue;
    }
    std::vector<EntryNumber> all;
    for (std::size_t j = 0; j < found.size(); ++j) all.push_back(static_cast<EntryNumber>(found[j].integer()));
    std::sort(all.begin(), all.end());
    reading.lost = all.size() < static_cast<std::size_t>(answers.front()[i].integer());
    highest_[wanted[i]] = all.empty() ? 0 : all.back();
    reading.numbers.assign(std::upper_bound(all.begin(), all.end(), reading.behind), all.end());
  }
  return boost::outcome_v2::success();
}

Result<void> RedisStore::measure(Readings& readings) {
  std::vector<RedisCommand> questions;
  std::vector<Reading*> asked;
  for (auto& [log, reading] : readings) {
    for (std::size_t i = reading.sizes.size(); i < reading.numbers.size() && questions.size() < measured_max; ++i) {
      questions.push_back({"HSTRLEN", entries_key(log), std::to_string(reading.numbers[i])});
      asked.push_back(&reading);
    }
  }
  if (questions.empty()) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(sizes, lease_.ask(questions));
  for (std::size_t i = 0; i < asked.size(); ++i) {
    asked[i]->sizes.push_back(static_cast<std::size_t>(sizes[i].integer()));
  }
  return boost::outcome_v2::success();
}

Result<void> RedisStore::fetch(Readings& readings) {
  std::vector<RedisCommand> questions;
  std::vector<Reading*> asked;
  std::size_t bytes = 0;
  for (auto& [log, reading] : readings) {
    RedisCommand question{"HMGET", entries_key(log)};
    for (std::size_t i = 0; i < reading.sizes.size(); ++i) {
      if (bytes > 0 && bytes + reading.sizes[i] > limits::store_group_bytes) break;
      bytes += reading.sizes[i] + 1;
      question.push_back(std::to_string(reading.numbers[i]));
    }
    if (question.size() == 2) continue;
    questions.push_back(std::move(question));
    asked.push_back(&reading);
  }
  if (questions.empty()) return boost::outcome_v2::success();
  BOOST_OUTCOME_TRY(answers, lease_.ask(questions));
  for (std::size_t i = 0; i < asked.size(); ++i) {
    Reading& reading = *asked[i];
    for (std::size_t j = 0; j < answers[i].size(); ++j) {
      const EntryNumber number = reading.numbers.front();
      reading.brought.push_back({number, decode_entry(number, answers[i][j].text()), answers[i]});
      reading.numbers.pop_front();
      reading.sizes.pop_front();
    }
  }
  return boost::outcome_v2::success();
}

/// What stands for the contents of all that was brought.
Result<void> RedisStore::refer_to(const Readings& readings) {
  std::vector<HashedEntry> some;
  std::size_t hashes = 0;
  for (const auto& [log, reading] : readings) {
    for (const RedisRecord& record : reading.brought) {
      if (!record.entry || record.entry->hashes.empty()) continue;
      some.push_back(*record.entry);
      hashes += record.entry->hashes.size();
      if (hashes < measured_max) continue;
      BOOST_OUTCOME_TRYV(refer(some, stand_ins_));
      some.clear();
      hashes = 0;
    }
  }
  return refer(some, stand_ins_);
}

}  // namespace dc::store

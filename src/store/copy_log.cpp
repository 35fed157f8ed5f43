// See copy_log.hpp.
#include "store/copy_log.hpp"

#include <fmt/format.h>

#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/limits.hpp"
#include "core/payload.hpp"
#include "store/stored_content.hpp"

namespace dc::store {
namespace {

struct NumberedEntry {
  EntryNumber number{};
  Entry entry;
};

/// Reads a log entry by entry; attachments are stood for.
class LogReader {
 public:
  LogReader(Store& store, LogId log) : store_(store), log_(log) {}

  /// None: that was the last. An error comes behind what can be read before it.
  Result<std::optional<NumberedEntry>> next() {
    while (page_.empty()) {
      if (!more_) return more_.error();
      if (!more_.value()) return std::optional<NumberedEntry>();
      const auto each = [&](EntryNumber number, Entry&& entry) { page_.push_back({number, std::move(entry)}); };
      more_ = store_.read(log_, position_, Attachments::refer, each);
    }
    std::optional<NumberedEntry> entry(std::move(page_.front()));
    page_.pop_front();
    return entry;
  }

 private:
  Store& store_;
  LogId log_;
  Position position_;
  Result<bool> more_ = true;
  std::deque<NumberedEntry> page_;
};

/// Puts entries of one store into another: small ones together, the attachments of a large one one by one.
class LogWriter {
 public:
  LogWriter(Store& from, Store& to, LogId as, const GoOn& go_on) : from_(from), to_(to), as_(as), go_on_(go_on) {}

  Result<void> put(EntryNumber number, Entry&& entry) {
    const std::size_t bytes = size_of(entry);
    ++copied_.entries;
    copied_.bytes += bytes;
    if (bytes_ + bytes > limits::store_batch_bytes_max || batch_.size() == limits::store_batch_entries_max) {
      BOOST_OUTCOME_TRYV(flush());
    }
    if (bytes > limits::store_batch_bytes_max) return put_piecewise(number, std::move(entry));
    for (Payload& attachment : entry.attachments) {
      BOOST_OUTCOME_TRY(loaded, load(attachment));
      attachment = std::move(loaded);
    }
    bytes_ += bytes;
    batch_.push_back({as_, number, std::move(entry)});
    return boost::outcome_v2::success();
  }

  Result<void> flush() {
    if (batch_.empty()) return boost::outcome_v2::success();
    BOOST_OUTCOME_TRYV(write(batch_));
    batch_.clear();
    bytes_ = 0;
    return boost::outcome_v2::success();
  }

  [[nodiscard]] const CopiedLog& copied() const { return copied_; }

 private:
  /// The entry grows by one attachment at a time, which the store then has: together they may be larger than the
  /// memory.
  Result<void> put_piecewise(EntryNumber number, Entry&& entry) {
    Change change{as_, number, Entry{std::move(entry.bytes), {}}};
    BOOST_OUTCOME_TRYV(write({&change, 1}));
    for (const Payload& attachment : entry.attachments) {
      BOOST_OUTCOME_TRY(loaded, load(attachment));
      change.entry->attachments.push_back(std::move(loaded));
      BOOST_OUTCOME_TRYV(write({&change, 1}));
    }
    return boost::outcome_v2::success();
  }

  Result<Payload> load(const Payload& payload) {
    BOOST_OUTCOME_TRYV(go_on());
    return from_.load(payload);
  }

  Result<void> write(std::span<Change> changes) {
    BOOST_OUTCOME_TRYV(go_on());
    return to_.write(changes);
  }

  /// Stores that are leased want to hear of their holder.
  Result<void> go_on() {
    for (Store* store : {&from_, &to_}) {
      store->moved(Part::loop);
      store->moved(Part::journal);
    }
    return go_on_();
  }

  Store &from_, &to_;
  LogId as_;
  const GoOn& go_on_;
  std::vector<Change> batch_;
  std::size_t bytes_ = 0;  ///< in the batch
  CopiedLog copied_;
};

/// Of payloads that may be stood for by two stores.
Result<bool> same_payload(Store& one, const Payload& mine, Store& other, const Payload& its) {
  if (mine.size() != its.size()) return false;
  const std::string* hash = stored_hash(mine);
  const std::string* other_hash = stored_hash(its);
  if (hash && other_hash) return *hash == *other_hash;
  BOOST_OUTCOME_TRY(content, one.load(mine));
  BOOST_OUTCOME_TRY(other_content, other.load(its));
  return content.view() == other_content.view();
}

Result<bool> same_entry(Store& one, const NumberedEntry& mine, Store& other, const NumberedEntry& its) {
  const std::vector<Payload>& attachments = mine.entry.attachments;
  const std::vector<Payload>& others = its.entry.attachments;
  if (mine.number != its.number || mine.entry.bytes != its.entry.bytes || attachments.size() != others.size())
    return false;
  for (std::size_t i = 0; i < attachments.size(); ++i) {
    BOOST_OUTCOME_TRY(same, same_payload(one, attachments[i], other, others[i]));
    if (!same) return false;
  }
  return true;
}

}  // namespace

Result<Entry> first_entry(Store& store, LogId log) {
  BOOST_OUTCOME_TRY(first, LogReader(store, log).next());
  if (first) return std::move(first->entry);
  return fail(ErrorCode::protocol, fmt::format("the store {} has no entries of it", store.description()));
}

Result<bool> same_log(Store& one, Store& other, LogId log) {
  LogReader mine(one, log), its(other, log);
  while (true) {
    BOOST_OUTCOME_TRY(next, mine.next());
    BOOST_OUTCOME_TRY(other_next, its.next());
    if (!next || !other_next) return !next && !other_next;
    BOOST_OUTCOME_TRY(same, same_entry(one, *next, other, *other_next));
    if (!same) return false;
  }
}

Result<CopiedLog> copy_log(Store& from, LogId log, Store& to, LogId as, std::optional<Entry> first, const GoOn& go_on) {
  LogWriter writer(from, to, as, go_on);
  const auto copy = [&]() -> Result<void> {
    LogReader reader(from, log);
    BOOST_OUTCOME_TRY(begin, reader.next());
    if (!begin) return boost::outcome_v2::success();
    while (true) {
      BOOST_OUTCOME_TRY(next, reader.next());
      if (!next) break;
      BOOST_OUTCOME_TRYV(writer.put(next->number, std::move(next->entry)));
    }
    BOOST_OUTCOME_TRYV(writer.flush());
    BOOST_OUTCOME_TRYV(writer.put(begin->number, std::move(first ? *first : begin->entry)));
    return writer.flush();
  };
  const Result<void> copied = copy();
  if (copied) return writer.copied();
  const Result<void> removed = to.remove(as);
  if (removed) return copied.error();
  return fail(copied.error().code, fmt::format("{}. What was written of it could not be removed again: {}",
                                               copied.error().message, removed.error().message));
}

}  // namespace dc::store

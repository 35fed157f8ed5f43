// What comes back through a named pool: outcomes into the journal, and from there to the client; and what the client
// has, which is over.
#include <fmt/format.h>

#include <algorithm>

#include "core/check.hpp"
#include "core/mutation.hpp"
#include "head/kept_pool.hpp"
#include "head/stand_in.hpp"

namespace dc::head {
namespace {

/// Outcomes that come in one turn share an entry of about this size.
constexpr std::size_t values_entry_bytes = std::size_t{256} << 10;
/// So many payloads that lie elsewhere may be in an entry, whose attachments are numbered by one byte.
constexpr std::size_t stored_in_entry_max = 128;

}  // namespace

/// The scheduler says how a job ended. Others with the same key end with it if it has a value; if not, the next of
/// them runs.
void KeptPool::ended(scheduler::DeliverOutcome&& command, PoolEffects& out) {
  const JobSequence sequence = command.sequence;
  std::vector<SubmittedJob> freed;
  std::string key_of_value;
  if (const auto key = keys_of_running_.find(sequence); key != keys_of_running_.end()) {
    if (auto found = followers_.extract(sequence)) freed = std::move(found.mapped());
    running_keys_.erase(key->second);
    if (const Payload& value = command.outcome.payload; !command.outcome.error) {
      if (value.size() > limits::payload_in_memory_max) keys_of_large_[sequence] = key->second;
      if (key_has_value(key->second, value, out)) key_of_value = key->second;
    }
    keys_of_running_.erase(key);
  }
  keep_outcome(sequence, std::move(command.outcome), out, std::move(key_of_value));
  if (!freed.empty()) start(std::move(freed), out);
}

/// `key`: whose value it is from here on; or empty.
void KeptPool::keep_outcome(JobSequence sequence, Outcome&& outcome, PoolEffects& out, std::string&& key) {
  const auto found = records_.find(sequence);
  if (found == records_.end() || found->second.has_outcome()) return;
  Record& record = found->second;
  if (!in_memory_.empty()) forget_arguments(sequence);
  ++done_;
  set_outcome(record, StoredOutcome(outcome));
  if (mutation::deliver_unstored && sequence >= first_own_) deliver(sequence, record, out);
  if (mutation::release_unstored) out.emplace_back(scheduler::OutcomesAcknowledged{id, {sequence}});
  if (outcome.error) {
    end_turn(out);
    Pending pending{Pending::Kind::outcomes};
    pending.sequences = {sequence};
    const std::size_t beside = lies_beside(outcome.payload) ? outcome.payload.size() : 0;
    const ErrorCame entry{sequence, *outcome.error, std::move(outcome.payload)};
    store::Entry encoded = encode_beside(entry, beside, pending);
    const KeptEntry kept = put(std::move(pending), std::move(encoded), false, out);
    entries_.add(kept, 1);
    record.outcome_entry = kept.number;
  } else {
    keep_value(sequence, std::move(key), std::move(outcome.payload), out);
  }
}

/// `sequence` 0: of a job that is over; `key`: empty: it is no key's.
void KeptPool::keep_value(JobSequence sequence, std::string&& key, Payload&& value, PoolEffects& out) {
  if (key.empty())
    gather(values_, wire::ValueItem{sequence, std::move(value)}, out);
  else
    gather(keyed_values_, KeyedCame::Item{sequence, std::move(key), std::move(value)}, out);
}

template <class Entry>
bool KeptPool::Gathered<Entry>::is_full() const {
  return bytes > values_entry_bytes || stored >= stored_in_entry_max;
}

/// Large ones have an entry of their own.
template <class Entry, class Item>
void KeptPool::gather(Gathered<Entry>& gathered, Item&& item, PoolEffects& out) {
  constexpr std::size_t overhead = 16;
  const bool large = item.value.size() > limits::inline_payload_max;
  if (large) end_turn(out);
  if (values_.entry.items.empty() && keyed_values_.entry.items.empty()) out.emplace_back(EndTurn{});
  gathered.bytes += item.value.size() + overhead;
  gathered.beside += lies_beside(item.value) ? item.value.size() : 0;
  gathered.stored += item.value.is_elsewhere() ? 1 : 0;
  gathered.entry.items.push_back(std::forward<Item>(item));
  if (large || gathered.is_full()) end_turn(out);
}

/// The outcomes so far become an entry, or two.
void KeptPool::end_turn(PoolEffects& out) {
  if (!keyed_values_.entry.items.empty()) {
    const Gathered<KeyedCame> keyed = std::exchange(keyed_values_, {});
    const store::EntryNumber entry = keep_gathered(keyed, out);
    keys_stand_in(entry, keyed.entry);
    entries_.release(entry);
  }
  if (!values_.entry.items.empty()) {
    const Gathered<ValuesCame> values = std::exchange(values_, {});
    entries_.release(keep_gathered(values, out));
  }
}

/// Returns the number of the entry, which has one reason more than those who are to take its outcomes.
template <class Entry>
store::EntryNumber KeptPool::keep_gathered(const Gathered<Entry>& gathered, PoolEffects& out) {
  Pending pending{Pending::Kind::outcomes};
  std::vector<Record*> records;
  for (const auto& item : gathered.entry.items) {
    if (item.sequence == 0) continue;
    pending.sequences.push_back(item.sequence);
    if (const auto record = records_.find(item.sequence); record != records_.end()) records.push_back(&record->second);
  }
  store::Entry encoded = encode_beside(gathered.entry, gathered.beside, pending);
  const KeptEntry kept = put(std::move(pending), std::move(encoded), false, out);
  entries_.add(kept, static_cast<std::uint32_t>(records.size() + 1));
  for (Record* record : records) record->outcome_entry = kept.number;
  return kept.number;
}

/// The journal has the record's outcome: who told of the job is not needed for that any more, unless its outcome is the
/// pool's failure.
void KeptPool::is_durable(Record& record) {
  if (record.durable) return;
  record.durable = true;
  ++to_take_;
  if (record.outcome_entry != 0) entries_.release(record.job_entry);
}

/// The scheduler and the nodes may forget these outcomes; the client may have them.
void KeptPool::outcomes_are_kept(Pending&& pending, PoolEffects& out) {
  const bool has_client = holder_.session.value != 0;
  for (std::size_t i = 0; i < pending.sequences.size(); ++i) {
    const JobSequence sequence = pending.sequences[i];
    const auto record = records_.find(sequence);
    if (record == records_.end()) continue;
    is_durable(record->second);
    if (sequence < first_own_) {
      ready_.insert(sequence);
    } else if (has_client) {
      deliver(sequence, record->second, out);
    }
    if (!pending.stored.empty() || !keys_of_large_.empty())
      stand_in(sequence, record->second, stand_in_for(outcome_of(record->second).payload, i, pending));
  }
  erase_if_worth(out);
  deliver_earlier(out);
  if (!broken_) out.emplace_back(scheduler::OutcomesAcknowledged{id, std::move(pending.sequences)});
}

StoredOutcome KeptPool::outcome_of(const Record& record) const {
  if (record.outcome) return *record.outcome;
  const auto offset = static_cast<std::uint32_t>(record.offset);
  return {Payload::elsewhere(entries_.place(record.outcome_entry), record.bytes, offset), {}};
}

void KeptPool::set_outcome(Record& record, StoredOutcome&& outcome) {
  record.outcome = std::make_unique<StoredOutcome>(std::move(outcome));
  count_outcome(record);
}

/// What is in the store with the others of its entry is told by numbers alone.
void KeptPool::leave_in_store(Record& record) {
  if (!record.outcome || record.outcome->error || record.outcome_entry == 0) return;
  const Payload& value = record.outcome->payload;
  if (!value.is_elsewhere() || value.offset() >> Record::offset_bits != 0) return;
  if (!entries_.place(record.outcome_entry)) entries_.set_place(record.outcome_entry, value.owner());
  if (entries_.place(record.outcome_entry) != value.owner()) return;
  record.offset = value.offset();
  record.outcome.reset();
}

/// The payload of its outcome is in the store, and no longer in memory.
void KeptPool::stand_in(JobSequence sequence, Record& record, const Payload& stored) {
  if (record.outcome) record.outcome->payload = stored;
  leave_in_store(record);
  const auto key = keys_of_large_.find(sequence);
  if (key == keys_of_large_.end()) return;
  if (const auto value = values_of_keys_.find(key->second); value != values_of_keys_.end())
    value->second.value = stored;
  keys_of_large_.erase(key);
}

void KeptPool::deliver(JobSequence sequence, Record& record, PoolEffects& out) {
  record.sent = true;
  out.emplace_back(Deliver{sequence, outcome_of(record)});
}

/// The next outcome of an earlier job that may be sent now; records_.end() if none may.
KeptPool::Records::iterator KeptPool::next_earlier() {
  if (credit_ == 0 || ready_.empty()) return records_.end();
  if (!in_order_) return records_.find(*ready_.begin());
  auto next = records_.lower_bound(cursor_);
  while (next != records_.end() && next->second.sent) ++next;
  if (next == records_.end() || next->first >= first_own_) return records_.end();
  cursor_ = next->first;
  return next->second.durable ? next : records_.end();
}

void KeptPool::deliver_earlier(PoolEffects& out) {
  if (holder_.session.value == 0) return;
  for (auto next = next_earlier(); next != records_.end(); next = next_earlier()) {
    const auto [sequence, record] = *next;
    --credit_;
    ready_.erase(sequence);
    if (!in_order_) {
      deliver(sequence, record, out);
      continue;
    }
    // All in one lane, where neither errors nor small values overtake what was submitted before.
    record.sent = true;
    const StoredOutcome outcome = outcome_of(record);
    if (outcome.error) {
      tell(wire::JobError{id, sequence, *outcome.error, outcome.payload}, out, id.value);
    } else {
      tell(wire::JobValues{id, {{sequence, outcome.payload}}}, out, id.value);
    }
  }
}

void KeptPool::want_outcomes(const wire::WantOutcomes& message, PoolEffects& out) {
  if (in_order_ != message.in_order) cursor_ = 0;
  in_order_ = message.in_order;
  credit_ = std::min<std::uint64_t>(credit_ + message.count, limits::number_max);
  deliver_earlier(out);
}

void KeptPool::acknowledge(SessionId session, std::vector<JobSequence>&& sequences, PoolEffects& out) {
  Delivered entry;
  std::vector<store::EntryNumber> about, released;
  wire::AcksKept again{id, {}};
  for (const JobSequence sequence : sequences) {
    const auto record = records_.find(sequence);
    if (record == records_.end()) {
      if (!acknowledging_.contains(sequence)) again.sequences.push_back(sequence);
      continue;
    }
    if (!record->second.sent) {
      if (sequence <= restored_to_) continue;  // the journal may have lost it: it will come again
      out.emplace_back(Refuse{session, fmt::format("AckOutcomes of job {}, whose outcome was never sent", sequence)});
      break;
    }
    const Record& over = record->second;
    kept_bytes_ -= over.bytes;
    about.insert(about.end(), {over.job_entry, over.outcome_entry});
    released.push_back(over.outcome_entry != 0 ? over.outcome_entry : over.job_entry);
    records_.erase(record);
    --to_take_;
    acknowledging_.insert(sequence);
    entry.sequences.push_back(sequence);
  }
  if (!again.sequences.empty()) tell(std::move(again), out);
  if (entry.sequences.empty()) return;
  if (mutation::confirm_unstored) tell(wire::AcksKept{id, entry.sequences}, out);
  store::Entry encoded = encode(entry);
  Pending pending{Pending::Kind::acks};
  pending.sequences = std::move(entry.sequences);
  entries_.add_note(put(std::move(pending), std::move(encoded), false, out), std::move(about), released);
  erase_if_worth(out);
}

}  // namespace dc::head

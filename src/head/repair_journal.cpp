// See repair_journal.hpp.
#include "head/repair_journal.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <utility>

namespace dc::head {
namespace {

/// Entries that cannot be read are guessed from the numbers around them, as long as they leave no wider gaps than this.
constexpr JobSequence gap_max = 100'000'000;

/// What is told of jobs behind the cut.
struct Tail {
  JobNumbers named;
  JobNumbers taken;  ///< by the summaries
  std::set<JobSequence> ended, delivered;
  std::optional<ClientCame> holder;  ///< whose the pool was at last
  std::vector<KeysDropped> keys;     ///< that were forgotten
  std::optional<Summary> summary;    ///< the numbers that were taken
  bool unreadable = false;           ///< there was more
  bool open_ended = false;           ///< and no job that was accepted later tells how many it was

  void note_unreadable() { unreadable = open_ended = true; }
  [[nodiscard]] bool empty() const { return !unreadable && named.highest() == 0; }

  void add(store::Entry&& entry) {
    const auto decoded = decode(std::move(entry));
    if (!decoded) return note_unreadable();
    if (const auto* jobs = std::get_if<JobsTaken>(&decoded.value())) {
      for (const SubmittedJob& job : jobs->jobs) name(job.sequence);
      open_ended = open_ended && jobs->jobs.empty();
    } else if (const auto* values = std::get_if<ValuesCame>(&decoded.value())) {
      for (const wire::ValueItem& item : values->items) end(item.sequence);
    } else if (const auto* keyed = std::get_if<KeyedCame>(&decoded.value())) {
      for (const KeyedCame::Item& item : keyed->items) end(item.sequence);
    } else if (const auto* error = std::get_if<ErrorCame>(&decoded.value())) {
      end(error->sequence);
    } else if (const auto* acknowledged = std::get_if<Delivered>(&decoded.value())) {
      for (const JobSequence sequence : acknowledged->sequences) {
        name(sequence);
        delivered.insert(sequence);
      }
    } else if (const auto* came = std::get_if<ClientCame>(&decoded.value())) {
      holder = *came;
    } else if (const auto* dropped = std::get_if<KeysDropped>(&decoded.value())) {
      keys.push_back(*dropped);
    } else if (const auto* told = std::get_if<Summary>(&decoded.value())) {
      add(*told);
    }
  }

  [[nodiscard]] std::uint64_t lost(const JobNumbers& kept) const {
    JobNumbers all = named;
    const JobSequence first = kept.highest() + 1;
    if (unreadable && named.highest() >= first && !too_wide(kept)) {
      // Those that only a Summary tells are over, or stood in what cannot be read.
      for (JobSequence sequence = first; sequence <= named.highest(); ++sequence) {
        if (!taken.contains(sequence)) all.add(sequence);
      }
    }
    std::uint64_t count = 0;
    for (const auto& [from, to] : all.intervals()) {
      for (JobSequence sequence = from; sequence <= to; ++sequence)
        count += !kept.contains(sequence) && !delivered.contains(sequence);
    }
    return count;
  }
  /// Whether there may have been more than lost() says.
  [[nodiscard]] bool or_more(const JobNumbers& kept) const {
    return unreadable && (open_ended || summary || too_wide(kept));
  }

 private:
  [[nodiscard]] bool too_wide(const JobNumbers& kept) const {
    return named.highest() > kept.highest() && named.highest() - kept.highest() > gap_max;
  }
  void add(const Summary& told) {
    for (const auto& interval : told.taken) {
      const bool good = interval.size() == 2 && interval[0] > 0 && interval[0] <= interval[1];
      if (good && interval[1] <= limits::number_max) taken.add(interval[0], interval[1]);
    }
    summary = told;
  }
  void name(JobSequence sequence) {
    if (sequence != 0 && sequence <= limits::number_max) named.add(sequence);
  }
  void end(JobSequence sequence) {
    name(sequence);
    ended.insert(sequence);
  }
};

struct Reading {
  std::unique_ptr<JournalState> kept = std::make_unique<JournalState>();
  std::uint64_t entries = 0;  ///< that were kept
  Tail tail;
};

/// Whether they are all there and undamaged; one at a time, since together they may be larger than the memory.
Result<void> look_at_payloads(store::Store& store, const store::Entry& entry) {
  for (const Payload& payload : entry.attachments) {
    BOOST_OUTCOME_TRYV(store.load(payload));
  }
  return boost::outcome_v2::success();
}

Result<Reading> read_all(store::Store& store, store::LogId log) {
  Reading reading;
  bool cut = false;
  store::Position position;
  Result<void> damage = boost::outcome_v2::success();
  const auto each = [&](store::EntryNumber number, store::Entry&& entry) {
    if (!cut && damage) damage = look_at_payloads(store, entry);
    if (cut || !damage) {
      cut = true;
      return reading.tail.add(std::move(entry));
    }
    reading.kept->add(number, store::Entry(entry));
    cut = !reading.kept->problem().empty();
    if (cut) return reading.tail.add(std::move(entry));
    ++reading.entries;
  };
  std::optional<store::Position> failed_at;
  while (true) {
    const Result<bool> more = store.read(log, position, store::Attachments::refer, each);
    if (!damage && damage.error().code != ErrorCode::protocol) return damage.error();
    if (more && !more.value()) return reading;
    if (more) continue;
    if (more.error().code != ErrorCode::protocol) return more.error();
    cut = true;
    reading.tail.note_unreadable();
    if (failed_at && failed_at->behind == position.behind && failed_at->loss_told == position.loss_told) return reading;
    failed_at = position;  // a store that cannot read on stays there
  }
}

/// What holds also where it stood behind the cut: whose the pool is, which values are forgotten, and which numbers are
/// taken.
void take_from(const Tail& tail, JournalState& kept) {
  if (tail.holder) kept.holder = *tail.holder;
  for (const auto& [first, last] : tail.taken.intervals()) kept.taken.add(first, last);
  if (tail.summary) kept.done = std::max(kept.done, tail.summary->done);
  if (tail.summary && tail.summary->keys_told) kept.tell_keys();
  for (const KeysDropped& dropped : tail.keys) kept.drop_keys(dropped);
}

/// The first entries, in fewer that mean the same, with that of the tail which holds.
Result<std::vector<store::Entry>> shortened(store::Store& store, store::LogId log, std::uint64_t entries,
                                            const Tail& tail) {
  JournalState state;
  store::Position position;
  std::uint64_t read = 0;
  while (read < entries) {
    const auto each = [&](store::EntryNumber number, store::Entry&& entry) {
      if (read++ < entries) state.add(number, std::move(entry));
    };
    const Result<bool> more = store.read(log, position, store::Attachments::refer, each);
    if (read >= entries) break;  // what is broken often stands on the same page, behind them
    if (!more) return more.error();
    if (!more.value()) return fail(ErrorCode::io, "the store gave fewer entries than before");
  }
  take_from(tail, state);
  return state.take();
}

/// No entries: the log is removed.
Result<void> put_in_place(store::Store& store, store::LogId log, std::span<const store::Entry> entries) {
  const Result<void> replaced = store.replace(log, entries);
  if (replaced || replaced.error().code != ErrorCode::protocol) return replaced;
  BOOST_OUTCOME_TRYV(store.rewrite());
  return store.replace(log, entries);
}

}  // namespace

Result<RepairedJournal> repair_journal(store::Store& store, store::LogId log) {
  BOOST_OUTCOME_TRY(reading, read_all(store, log));
  if (reading.kept->foreign()) return fail(ErrorCode::invalid, reading.kept->problem());
  RepairedJournal repaired;
  if (!reading.kept->born && reading.tail.empty()) reading.tail.note_unreadable();  // its entries are gone
  repaired.jobs_lost = reading.tail.lost(reading.kept->taken);
  repaired.or_more = reading.tail.or_more(reading.kept->taken);
  const auto again = [&](const auto& job) {
    return reading.tail.ended.contains(job.first) || reading.tail.delivered.contains(job.first);
  };
  repaired.jobs_again = static_cast<std::uint64_t>(
      std::count_if(reading.kept->unfinished.begin(), reading.kept->unfinished.end(), again));
  if (!reading.kept->born) {
    BOOST_OUTCOME_TRYV(put_in_place(store, log, {}));
    return repaired;
  }
  reading.kept.reset();
  BOOST_OUTCOME_TRY(entries, shortened(store, log, reading.entries, reading.tail));
  BOOST_OUTCOME_TRYV(put_in_place(store, log, entries));
  repaired.state = std::make_unique<JournalState>();
  for (std::size_t i = 0; i < entries.size(); ++i) repaired.state->add(i + 1, std::move(entries[i]));
  BOOST_OUTCOME_TRYV(load_what_is_used(store, *repaired.state));
  return repaired;
}

}  // namespace dc::head

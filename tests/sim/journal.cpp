// See journal.hpp.
#include "journal.hpp"

#include <algorithm>
#include <utility>

#include "text.hpp"
#include "wire/framing.hpp"

namespace dc::sim {
namespace {

head::JournalState read_all(const std::vector<store::Entry>& log) {
  head::JournalState state;
  for (const store::Entry& entry : log) state.add(store::Entry(entry));
  return state;
}

template <class Map>
std::vector<typename Map::key_type> keys_of(const Map& map) {
  std::vector<typename Map::key_type> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

/// What differs; empty: nothing.
std::string difference(const head::JournalState& a, const head::JournalState& b) {
  if (a.taken.intervals() != b.taken.intervals()) return "the numbers taken";
  if (a.unfinished != b.unfinished) return "the jobs";
  if (keys_of(a.undelivered) != keys_of(b.undelivered)) return "the outcomes";
  for (const auto& [sequence, outcome] : a.undelivered) {
    const head::StoredOutcome& other = b.undelivered.at(sequence);
    const bool same_error = outcome.error ? other.error && *outcome.error == *other.error : !other.error;
    if (outcome.payload != other.payload || !same_error) return "an outcome";
  }
  if (a.updates != b.updates) return "the updates";
  if (a.keys != b.keys) return "the keys";
  if (a.broken != b.broken) return "its failure";
  if (a.holder != b.holder) return "its client";
  return a.done == b.done ? "" : "the number of outcomes";
}

}  // namespace

// --- Lives of the head ------------------------------------------------------------------------------------------

void Journal::begin(Head head) {
  head_ = std::move(head);
  silent_until_ = {};
  for (const auto& [pool, log] : logs_) {
    if (world_.chance.percent(plan_.shortened)) shorten(pool);
  }
}

void Journal::end(bool in_order) {
  if (in_order && !in_trouble()) {
    write(batch_);
    for (Waiting& waiting : queue_) write({std::move(waiting)});
  } else if (!batch_.empty() && world_.chance.percent(50)) {
    write(batch_);
  } else if (world_.chance.percent(50)) {
    for (const Waiting& waiting : unanswered_) {
      if (!waiting.refused || !waiting.entry) continue;
      const auto decoded = head::decode(store::Entry(*waiting.entry));
      const auto* taken = std::get_if<head::JobsTaken>(&decoded.value());
      for (const SubmittedJob& job : taken ? taken->jobs : std::vector<SubmittedJob>{})
        ledger_.haunts(waiting.pool, job_in(job.arguments.view()));
    }
    write(unanswered_);
  }
  queue_.clear();
  batch_.clear();
  unanswered_.clear();
  done_.clear();
  writing_ = waking_ = false;
  trouble_since_.reset();
}

head::JournalState Journal::read(PoolId pool) const {
  head::JournalState state = read_all(logs_.at(pool));
  if (!state.problem().empty() || !state.born)
    world_.violation("the journal of pool {} cannot be read: {}", short_name(pool.value),
                     state.born ? state.problem() : "no first entry");
  return state;
}

// --- Writing, as store/journal_thread.cpp does ------------------------------------------------------------------

void Journal::append(head::JournalAppend&& append) {
  queue_.push_back({append.ticket, append.pool, std::move(append.entry), append.refusable});
  begin_write();
}

void Journal::remove(const head::JournalRemove& remove) {
  queue_.push_back({remove.ticket, remove.pool, std::nullopt});
  begin_write();
}

/// What has come up to now is one group; a removal stands alone.
void Journal::begin_write() {
  if (writing_) return;
  while (!queue_.empty() && (batch_.empty() || (batch_.back().entry && queue_.front().entry))) {
    batch_.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  if (batch_.empty()) return;
  writing_ = true;
  head_.later(world_.chance.skewed(10us, plan_.write_max), [this] { end_write(); });
}

void Journal::end_write() {
  writing_ = false;
  if (world_.now() < silent_until_) return not_answered();
  if (world_.now() < full_until_ && batch_.front().entry && world_.chance.percent(80)) return is_full();
  trouble_since_.reset();
  unanswered_.clear();
  write(batch_);
  if (world_.chance.percent(plan_.written_twice) && batch_.front().entry) write(batch_);
  for (const Waiting& waiting : batch_) finish(waiting.ticket, "");
  for (const Waiting& waiting : std::exchange(batch_, {})) {
    if (waiting.entry && world_.chance.percent(plan_.shortened)) shorten(waiting.pool);
  }
  begin_write();
}

void Journal::try_again(Duration pause) {
  if (batch_.empty()) return begin_write();
  writing_ = true;
  head_.later(pause, [this] { end_write(); });
}

void Journal::not_answered() {
  if (world_.chance.percent(50)) unanswered_ = batch_;
  if (!trouble_since_) trouble_since_ = world_.now();
  if (world_.now() - *trouble_since_ >= limits::store_patience) {
    const std::string why = "the store does not answer";
    for (Waiting& waiting : unanswered_) waiting.refused |= waiting.refusable;
    refuse(batch_, why);
    std::vector<Waiting> queued(std::make_move_iterator(queue_.begin()), std::make_move_iterator(queue_.end()));
    refuse(queued, why);
    queue_.assign(std::make_move_iterator(queued.begin()), std::make_move_iterator(queued.end()));
  }
  try_again(limits::store_retry_delay_max);
}

/// Nothing of the group stands. What can be refused is; what is left is smaller, and may fit.
void Journal::is_full() {
  unanswered_.clear();
  const std::size_t before = batch_.size();
  refuse(batch_, "the store is full");
  try_again(batch_.size() < before ? Duration(0us) : Duration(limits::store_retry_delay_max));
}

void Journal::refuse(std::vector<Waiting>& from, const std::string& why) {
  for (const Waiting& waiting : from) {
    if (waiting.refusable) finish(waiting.ticket, why);
  }
  std::erase_if(from, [](const Waiting& waiting) { return waiting.refusable; });
}

/// The head hears of it a little later.
void Journal::finish(store::Ticket ticket, const std::string& refused) {
  done_.push_back({ticket, refused});
  if (std::exchange(waking_, true)) return;
  head_.later(world_.chance.skewed(5us, 2ms), [this] {
    waking_ = false;
    head_.done(std::exchange(done_, {}));
  });
}

void Journal::write(const std::vector<Waiting>& batch) {
  for (const Waiting& waiting : batch) {
    if (waiting.entry) {
      if (!logs_.contains(waiting.pool)) ledger_.born(waiting.pool);
      note(waiting.pool, *waiting.entry);
      logs_[waiting.pool].push_back(*waiting.entry);
    } else {
      world_.note("journal", "removes pool {}", short_name(waiting.pool.value));
      logs_.erase(waiting.pool);
      written_.erase(waiting.pool);
    }
  }
}

void Journal::shorten(PoolId pool) {
  const auto log = logs_.find(pool);
  if (log == logs_.end()) return;
  const std::size_t before = log->second.size();
  const head::JournalState long_one = read(pool);
  log->second = read_all(log->second).take();
  world_.note("journal", "shortens pool {} from {} to {} entries", short_name(pool.value), before, log->second.size());
  if (const std::string differs = difference(long_one, read(pool)); !differs.empty())
    world_.violation("a shortened journal means something else: {}", differs);
}

// --- What goes wrong --------------------------------------------------------------------------------------------

void Journal::fill(Duration time) {
  full_until_ = world_.now() + time;
  world_.note("journal", "is full for {} ms", time / 1ms);
}

void Journal::hush(Duration time) {
  silent_until_ = world_.now() + time;
  world_.note("journal", "does not answer for {} ms", time / 1ms);
}

void Journal::mend() { full_until_ = silent_until_ = {}; }

// --- What is written --------------------------------------------------------------------------------------------

void Journal::note(PoolId pool, const store::Entry& entry) {
  Written& written = written_[pool];
  const auto decoded = head::decode(store::Entry(entry));
  if (!decoded) world_.violation("an entry that cannot be read is written: {}", decoded.error().message);
  world_.note("journal", "has an entry of kind {} of pool {}", decoded.value().index() + 1, short_name(pool.value));
  const auto has_outcome = [&](JobSequence sequence) {
    if (!written.jobs.contains(sequence)) return;
    written.outcomes.insert(sequence);
    ledger_.outcome_stored(pool, sequence);
  };
  if (const auto* taken = std::get_if<head::JobsTaken>(&decoded.value())) {
    for (const SubmittedJob& job : taken->jobs) {
      written.jobs.insert(job.sequence);
      ledger_.taken(pool, job.sequence, job_in(job.arguments.view()));
    }
  } else if (const auto* values = std::get_if<head::ValuesCame>(&decoded.value())) {
    for (const wire::ValueItem& item : values->items) has_outcome(item.sequence);
  } else if (const auto* error = std::get_if<head::ErrorCame>(&decoded.value())) {
    has_outcome(error->sequence);
  } else if (const auto* update = std::get_if<head::UpdateCame>(&decoded.value())) {
    written.updates = std::max(written.updates, update->number);
  } else if (const auto* delivered = std::get_if<head::Delivered>(&decoded.value())) {
    written.delivered.insert(delivered->sequences.begin(), delivered->sequences.end());
  } else if (std::get_if<head::PoolBroke>(&decoded.value())) {
    for (const JobSequence sequence : written.jobs) has_outcome(sequence);
  }
}

void Journal::check_handed(PoolId pool, JobSequence sequence) const {
  if (!ledger_.pool(pool).named) return;
  const auto written = written_.find(pool);
  if (written == written_.end() || !written->second.jobs.contains(sequence))
    world_.violation("job {} of pool {} is handed out before it is in the journal", sequence, short_name(pool.value));
}

void Journal::check_told(const wire::Message& message) const {
  const auto check = [&](PoolId pool, const std::vector<JobSequence>& sequences, std::set<JobSequence> Written::*in) {
    const auto written = written_.find(pool);
    for (const JobSequence sequence : sequences) {
      if (in == &Written::outcomes && written != written_.end() && written->second.delivered.contains(sequence))
        world_.violation("{} of job {} of pool {} is sent after its acknowledgement was kept", wire::name_of(message),
                         sequence, short_name(pool.value));
      if (written == written_.end() || !(written->second.*in).contains(sequence))
        world_.violation("{} of job {} of pool {} is sent before that is in the journal", wire::name_of(message),
                         sequence, short_name(pool.value));
    }
  };
  const auto check_updates = [&](PoolId pool, UpdateNumber updates) {
    const auto written = written_.find(pool);
    if (updates > (written == written_.end() ? 0 : written->second.updates))
      world_.violation("{} with {} updates of pool {} is sent before they are in the journal", wire::name_of(message),
                       updates, short_name(pool.value));
  };
  if (const auto* accepted = std::get_if<wire::JobsAccepted>(&message)) {
    check(accepted->pool, accepted->sequences, &Written::jobs);
  } else if (const auto* kept = std::get_if<wire::AcksKept>(&message)) {
    check(kept->pool, kept->sequences, &Written::delivered);
  } else if (const auto* error = std::get_if<wire::JobError>(&message)) {
    if (ledger_.pool(error->pool).named) check(error->pool, {error->sequence}, &Written::outcomes);
  } else if (const auto* errors = std::get_if<wire::JobErrors>(&message)) {
    if (ledger_.pool(errors->pool).named) check(errors->pool, errors->sequences, &Written::outcomes);
  } else if (const auto* values = std::get_if<wire::JobValues>(&message)) {
    if (!ledger_.pool(values->pool).named) return;
    for (const wire::ValueItem& item : values->items) check(values->pool, {item.sequence}, &Written::outcomes);
  } else if (const auto* update = std::get_if<wire::UpdateAccepted>(&message)) {
    if (ledger_.pool(update->pool).named) check_updates(update->pool, update->number);
  } else if (const auto* known = std::get_if<wire::NamedPoolKnown>(&message)) {
    check_updates(known->pool, known->updates);
  }
}

}  // namespace dc::sim

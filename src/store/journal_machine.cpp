// See journal_machine.hpp.
#include "store/journal_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/mutation.hpp"

namespace dc::store {
namespace {

/// Those that are not there any more stay what they are.
Result<void> load(Store& store, Loaded& wanted) {
  for (Payload& payload : wanted.payloads) {
    Result<Payload> found = store.load(payload);
    if (found) {
      payload = std::move(found.value());
    } else if (found.error().code == ErrorCode::protocol) {
      wanted.problem = found.error().message;
    } else {
      return found.error();
    }
  }
  return boost::outcome_v2::success();
}

struct CallMaker {
  Store& store;
  StoreAnswer operator()(CheckHold&) const { return {store.check_hold()}; }
  StoreAnswer operator()(RaiseTerm& call) const {
    const Result<std::uint64_t> raised = store.raise_term(call.above);
    if (!raised) return {raised.error()};
    return {boost::outcome_v2::success(), raised.value()};
  }
  StoreAnswer operator()(Sync&) const { return {store.sync()}; }
  StoreAnswer operator()(Write& call) const { return {store.write(call.changes)}; }
  StoreAnswer operator()(Remove& call) const { return {store.remove(call.log)}; }
  StoreAnswer operator()(Load& call) const { return {load(store, call.wanted)}; }
  StoreAnswer operator()(Work& call) const { return {call.work(store)}; }
  StoreAnswer operator()(Rewrite&) const { return {store.rewrite()}; }
  StoreAnswer operator()(Tidy&) const {
    const Result<bool> more = store.tidy();
    if (!more) return {more.error()};
    return {boost::outcome_v2::success(), 0, more.value()};
  }
};

}  // namespace

StoreAnswer make_call(Store& store, StoreCall& call) { return std::visit(CallMaker{store}, call); }

JournalMachine::JournalMachine(Duration patience, TimePoint now)
    : patience_(patience), check_at_(now + limits::store_renew_interval), sync_at_(now + limits::store_sync_interval) {}

// --- What is to be done -----------------------------------------------------------------------------------------

void JournalMachine::write(Ticket ticket, LogId log, EntryNumber number, Entry entry, std::vector<EntryNumber> erased,
                           bool refusable) {
  queue_.push_back({ticket, log, std::move(entry), refusable, number, std::move(erased)});
}

void JournalMachine::remove(Ticket ticket, LogId log) { queue_.push_back({ticket, log, std::nullopt}); }

void JournalMachine::load(Ticket ticket, std::vector<Payload> payloads) {
  loads_.push_back({ticket, std::move(payloads)});
}

void JournalMachine::run(Ticket ticket, std::function<Result<void>(Store&)> work) {
  queue_.push_back({.ticket = ticket, .entry = std::nullopt, .work = std::move(work)});
}

// --- The next call ----------------------------------------------------------------------------------------------

TimePoint JournalMachine::next_at() const {
  if (fenced_ || term_to_pass_ != 0 || for_rewrite_) return TimePoint{};
  TimePoint next = check_at_;
  if (has_writes()) next = std::min(next, retry_at_);
  if (unsynced_) next = std::min(next, sync_at_);
  if (close_by_) return has_writes() ? std::min(next, *close_by_) : TimePoint{};
  if (!loads_.empty()) next = std::min(next, load_retry_at_);
  if (tidy_due_) next = std::min(next, tidy_at_);
  return next;
}

std::optional<StoreCall> JournalMachine::next(TimePoint now) {
  if (over(now)) return std::nullopt;
  if (for_rewrite_) return Rewrite{};
  if (now >= check_at_) return CheckHold{};
  if (term_to_pass_ != 0) return RaiseTerm{std::exchange(term_to_pass_, 0)};
  if (unsynced_ && now >= sync_at_) return Sync{};
  const bool writes = has_writes() && now >= retry_at_;
  const bool loads = !close_by_ && !loads_.empty() && now >= load_retry_at_;
  if (loads && (loads_next_ || !writes)) {
    loads_next_ = false;
    Load call{std::move(loads_.front())};
    loads_.pop_front();
    return call;
  }
  const bool tidies = !close_by_ && tidy_due_ && now >= tidy_at_;
  if (tidies && (tidies_next_ || !writes)) {
    tidies_next_ = false;
    return Tidy{};
  }
  return writes ? std::optional(next_write()) : std::nullopt;
}

StoreCall JournalMachine::next_write() {
  tidies_next_ = loads_next_ = true;
  if (batch_.empty() && !queue_.empty()) fill_batch();
  const Waiting* first = batch_.empty() ? nullptr : &batch_.front();
  if (first && !first->entry && !first->work) return Remove{first->log};
  if (first && first->work && given_up_.empty()) return Work{first->work};
  Write call{given_up_, given_up_.size()};
  // Other work may give the numbers of what was given up to other entries: it is done behind this.
  if (!first || first->work) return call;
  for (Waiting& waiting : batch_) {
    call.changes.push_back({waiting.log, waiting.number, std::move(waiting.entry)});
    for (const EntryNumber number : waiting.erased) call.changes.push_back({waiting.log, number, std::nullopt});
  }
  return call;
}

/// Takes the entries at the head of the queue, or what stands there alone: a removal, other work.
void JournalMachine::fill_batch() {
  batch_may_stand_ = false;
  std::size_t bytes = 0;
  do {
    if (queue_.front().entry) bytes += size_of(*queue_.front().entry);
    batch_.push_back(std::move(queue_.front()));
    queue_.pop_front();
  } while (batch_.front().entry && !queue_.empty() && queue_.front().entry &&
           batch_.size() < limits::store_batch_entries_max &&
           bytes + size_of(*queue_.front().entry) <= limits::store_batch_bytes_max);
}

// --- Its end ----------------------------------------------------------------------------------------------------

void JournalMachine::ended(StoreCall&& call, const StoreAnswer& answer, TimePoint now) {
  std::visit([&](auto& body) { end(body, answer, now); }, call);
}

/// What is wrong with the store is told also while nothing is written.
void JournalMachine::end(CheckHold&, const StoreAnswer& answer, TimePoint now) {
  const bool well = answer.result.has_value();
  check_at_ = now + (well ? Duration(limits::store_renew_interval) : Duration(limits::store_retry_delay_max));
  if (!well) return note(answer.result.error(), now);
  if (batch_.empty()) went_well();
}

void JournalMachine::end(RaiseTerm& call, const StoreAnswer& answer, TimePoint) {
  if (!answer.result) {
    warnings_.push_back(fmt::format("a peer knows term {}, and this head's could not be raised above it: {}",
                                    call.above, answer.result.error().message));
    return;
  }
  raised_term_ = answer.term;
  news_ = true;
}

void JournalMachine::end(Sync&, const StoreAnswer& answer, TimePoint now) {
  sync_at_ = now + limits::store_sync_interval;
  if (!answer.result) return note(answer.result.error(), now);
  unsynced_ = false;
}

void JournalMachine::end(Write& call, const StoreAnswer& answer, TimePoint now) {
  const bool of_batch = call.changes.size() > call.given_up;
  if (answer.result) {
    given_up_.clear();
    for (const Change& change : call.changes) note_change(change);
    if (!of_batch) return went_well();
  }
  // A batch that failed is tried again.
  auto change = call.changes.begin() + static_cast<std::ptrdiff_t>(call.given_up);
  for (Waiting& waiting : batch_) {
    if (!of_batch) break;
    waiting.entry = std::move(change->entry);
    change += 1 + static_cast<std::ptrdiff_t>(waiting.erased.size());
  }
  if (of_batch && !answer.result && answer.result.error().code != ErrorCode::full) batch_may_stand_ = true;
  write_ended(answer.result, now);
}

/// What is erased or replaced may leave something to delete.
void JournalMachine::note_change(const Change& change) {
  EntryNumber& highest = highest_[change.log];
  if (!change.entry || change.number <= highest) tidy_due_ = true;
  highest = std::max(highest, change.number);
}

void JournalMachine::end(Remove&, const StoreAnswer& answer, TimePoint now) { write_ended(answer.result, now); }

/// One that fails is tried again: whoever waits for it can do nothing without it.
void JournalMachine::end(Load& call, const StoreAnswer& answer, TimePoint now) {
  if (answer.result) {
    loaded_.push_back(std::move(call.wanted));
    news_ = true;
    return;
  }
  note(answer.result.error(), now);
  loads_.push_front(std::move(call.wanted));
  load_retry_at_ = now + limits::store_retry_delay_max;
}

void JournalMachine::end(Work&, const StoreAnswer& answer, TimePoint now) {
  const Result<void>& result = answer.result;
  if (!result && result.error().code == ErrorCode::fenced) return note(result.error(), now);
  finish(batch_.front(), result ? "" : result.error().message);
  batch_.clear();
  unsynced_ = tidy_due_ = true;
}

void JournalMachine::end(Rewrite&, const StoreAnswer& answer, TimePoint now) {
  const Error first = *std::exchange(for_rewrite_, std::nullopt);
  if (!answer.result) return not_written(first, now);
  tidies_next_ = false;  // what was not written is tried again at once
}

void JournalMachine::write_ended(const Result<void>& result, TimePoint now) {
  if (result) return written(now);
  // Damage beside the log that is written; the logs that it concerns stay refused.
  if (result.error().code == ErrorCode::protocol && !std::exchange(rewritten_, true))
    for_rewrite_ = result.error();
  else
    not_written(result.error(), now);
}

void JournalMachine::written(TimePoint now) {
  if (!batch_.front().entry) {
    std::erase_if(given_up_, [&](const Change& change) { return change.log == batch_.front().log; });
    highest_.erase(batch_.front().log);
    tidy_due_ = true;
  }
  for (Waiting& waiting : batch_) finish(waiting, "");
  batch_.clear();
  if (!unsynced_) sync_at_ = std::min(sync_at_, now + limits::store_sync_interval);
  unsynced_ = true;
  went_well();
}

void JournalMachine::not_written(const Error& error, TimePoint now) {
  note(error, now);
  if (fenced_) return;
  retry_at_ = now + retry_delay_;
  retry_delay_ = std::min<Duration>(2 * retry_delay_, limits::store_retry_delay_max);
  const bool some_refusable =
      std::any_of(batch_.begin(), batch_.end(), [](const Waiting& waiting) { return waiting.refusable; });
  const bool full = error.code == ErrorCode::full;
  if (full && some_refusable && !batch_may_stand_) {
    // What is left is smaller and may fit.
    refuse_batch(error.message);
    retry_at_ = TimePoint{};
  } else if (now - *trouble_since_ >= patience_) {
    refuse_batch(error.message);
    refuse_queue(error.message);
  } else if (full) {
    refuse_queue(error.message);
  }
}

void JournalMachine::refuse_batch(const std::string& reason) {
  for (Waiting& waiting : batch_) {
    if (!waiting.refusable) continue;
    if (batch_may_stand_ && !mutation::leave_given_up) given_up_.push_back({waiting.log, waiting.number, std::nullopt});
    finish(waiting, reason);
  }
  std::erase_if(batch_, [](const Waiting& waiting) { return waiting.refusable && !mutation::write_refused; });
}

void JournalMachine::refuse_queue(const std::string& reason) {
  for (Waiting& waiting : queue_) {
    if (waiting.refusable) finish(waiting, reason);
  }
  std::erase_if(queue_, [](const Waiting& waiting) { return waiting.refusable; });
}

/// One that fails is tried again much later: the store is only larger than it need be.
void JournalMachine::end(Tidy&, const StoreAnswer& answer, TimePoint now) {
  if (answer.result) {
    tidy_due_ = answer.more;
    return;
  }
  if (answer.result.error().code == ErrorCode::fenced) return note(answer.result.error(), now);
  warnings_.push_back(
      fmt::format("what is over could not be deleted from the store: {}", answer.result.error().message));
  tidy_at_ = now + limits::store_patience;
}

/// Does not put off the next write: renewals that fail, as often as writes are tried again, would do so for ever.
void JournalMachine::note(const Error& error, TimePoint now) {
  news_ = news_ || trouble_ != error.message;
  trouble_ = error.message;
  if (error.code == ErrorCode::fenced) {
    fenced_ = true;
    news_ = true;
    return;
  }
  if (!trouble_since_) trouble_since_ = now;
}

void JournalMachine::went_well() {
  news_ = news_ || !trouble_.empty();
  trouble_.clear();
  trouble_since_.reset();
  retry_at_ = TimePoint{};
  retry_delay_ = limits::store_retry_delay_min;
  rewritten_ = false;
}

void JournalMachine::finish(Waiting& waiting, std::string refused) {
  std::vector<Payload> stored;
  if (waiting.entry && refused.empty()) stored = std::move(waiting.entry->attachments);
  done_.push_back({waiting.ticket, std::move(refused), std::move(stored)});
  news_ = true;
}

}  // namespace dc::store

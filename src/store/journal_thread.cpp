// See journal_thread.hpp.
#include "store/journal_thread.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "core/log.hpp"

namespace dc::store {
namespace {

TimePoint now() { return std::chrono::steady_clock::now(); }

}  // namespace

struct JournalThread::Impl {
  struct Waiting {
    Ticket ticket{};
    LogId log{};
    std::optional<Entry> entry;  ///< none: the log is to be removed, or `work` done
    bool refusable = false;
    std::function<Result<void>(Store&)> work = {};  ///< this instead
  };
  struct Compaction {
    LogId log{};
    TimePoint not_before;
  };
  /// The one under way. It reads a piece of the log at a time, so that what is to be written does not wait for it.
  struct Shortening {
    LogId log{};
    Position position;
    std::unique_ptr<Reducer> reducer;
  };

  Impl(std::unique_ptr<Store> given, Handler handlers) : store(std::move(given)), handler(std::move(handlers)) {
    check_at = now() + limits::store_renew_interval;
    sync_at = now() + limits::store_sync_interval;
    thread = std::thread([this] { run(); });
  }

  void push(Waiting waiting);
  void run();
  [[nodiscard]] TimePoint next_turn() const;
  [[nodiscard]] bool has_writes() const { return !batch.empty() || !queue.empty(); }
  void turn(std::unique_lock<std::mutex>& lock);
  void check();
  void raise_term();
  void sync();
  void write(std::unique_lock<std::mutex>& lock);
  void fill_batch();
  Result<void> write_batch();
  void do_work(std::unique_lock<std::mutex>& lock);
  void written();
  void not_written(const Error& error);
  void refuse_batch(const std::string& reason);
  void refuse_queue(const std::string& reason);
  void compact(std::unique_lock<std::mutex>& lock);
  void begin_compaction();
  Result<bool> go_on();
  void note(const Error& error);
  void went_well();
  void finish(const Waiting& waiting, std::string refused);

  // Only the thread uses these.
  std::unique_ptr<Store> store;
  Handler handler;
  std::vector<Waiting> batch;  ///< taken from the queue and not yet written: appends, or one removal
  TimePoint check_at, sync_at, retry_at{};
  Duration retry_delay = limits::store_retry_delay_min;
  std::optional<TimePoint> trouble_since;
  bool unsynced = false;
  bool rewritten = false;  ///< in this trouble
  std::optional<Shortening> shortening;

  std::atomic<std::size_t> queued_bytes{0};
  std::atomic<bool> is_fenced{false};
  std::atomic<std::uint64_t> term_to_pass{0}, raised_to{0};

  mutable std::mutex mutex;  ///< guards all below
  std::condition_variable changed;
  std::deque<Waiting> queue;
  std::deque<Compaction> compactions;
  std::vector<Done> done;
  std::string trouble;
  std::optional<TimePoint> close_by;
  bool news = false;  ///< the loop is to be woken

  std::thread thread;
};

void JournalThread::Impl::push(Waiting waiting) {
  if (waiting.entry) queued_bytes += size_of(*waiting.entry);
  const std::lock_guard lock(mutex);
  queue.push_back(std::move(waiting));
  changed.notify_one();
}

/// The next time at which something is to be done; in the past when it is now.
TimePoint JournalThread::Impl::next_turn() const {
  if (term_to_pass != 0) return TimePoint{};
  TimePoint next = check_at;
  if (has_writes()) next = std::min(next, retry_at);
  if (unsynced) next = std::min(next, sync_at);
  if (shortening && !close_by) return TimePoint{};
  for (const Compaction& compaction : compactions) next = std::min(next, compaction.not_before);
  if (close_by) next = has_writes() ? std::min(next, *close_by) : TimePoint{};
  return next;
}

void JournalThread::Impl::run() {
  std::unique_lock lock(mutex);
  while (!is_fenced) {
    for (TimePoint next = next_turn(); now() < next; next = next_turn()) changed.wait_until(lock, next);
    if (close_by && (!has_writes() || now() >= *close_by)) break;
    turn(lock);
    if (std::exchange(news, false)) {
      lock.unlock();
      handler.wake();
      lock.lock();
    }
  }
}

/// All that is due, once. The lock is not held during calls of the store.
void JournalThread::Impl::turn(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  // After a freeze this comes before any write.
  store->moved(Part::journal);
  if (now() >= check_at) check();
  raise_term();
  if (unsynced && now() >= sync_at) sync();
  lock.lock();
  if (!is_fenced && has_writes() && now() >= retry_at) write(lock);
  if (!is_fenced && !close_by) compact(lock);
}

/// What is wrong with the store is told also while nothing is written.
void JournalThread::Impl::check() {
  const Result<void> well = store->check_hold();
  check_at = now() + (well ? Duration(limits::store_renew_interval) : Duration(limits::store_retry_delay_max));
  const std::lock_guard lock(mutex);
  if (!well) return note(well.error());
  if (batch.empty()) went_well();
}

void JournalThread::Impl::raise_term() {
  const std::uint64_t above = term_to_pass.exchange(0);
  if (above == 0) return;
  const Result<std::uint64_t> raised = store->raise_term(above);
  if (!raised) {
    log::warning("a peer knows term {}, and this head's could not be raised above it: {}", above,
                 raised.error().message);
    return;
  }
  raised_to = raised.value();
  const std::lock_guard lock(mutex);
  news = true;
}

void JournalThread::Impl::sync() {
  const Result<void> synced = store->sync();
  sync_at = now() + limits::store_sync_interval;
  if (synced) {
    unsynced = false;
    return;
  }
  const std::lock_guard lock(mutex);
  note(synced.error());
}

void JournalThread::Impl::write(std::unique_lock<std::mutex>& lock) {
  if (batch.empty()) fill_batch();
  lock.unlock();
  if (batch.front().work) return do_work(lock);
  const auto attempt = [this] { return batch.front().entry ? write_batch() : store->remove(batch.front().log); };
  Result<void> result = attempt();
  // Damage beside the log that is written; the logs that it concerns stay refused.
  if (!result && result.error().code == ErrorCode::protocol && !std::exchange(rewritten, true) && store->rewrite())
    result = attempt();
  lock.lock();
  if (result) {
    written();
  } else {
    not_written(result.error());
  }
}

void JournalThread::Impl::do_work(std::unique_lock<std::mutex>& lock) {
  const Result<void> result = batch.front().work(*store);
  lock.lock();
  if (!result && result.error().code == ErrorCode::fenced) return note(result.error());
  finish(batch.front(), result ? "" : result.error().message);
  batch.clear();
  unsynced = true;
}

/// Takes the appends at the head of the queue, or what stands there alone: a removal, other work.
void JournalThread::Impl::fill_batch() {
  std::size_t bytes = 0;
  do {
    if (queue.front().entry) bytes += size_of(*queue.front().entry);
    batch.push_back(std::move(queue.front()));
    queue.pop_front();
  } while (batch.front().entry && !queue.empty() && queue.front().entry &&
           batch.size() < limits::store_batch_entries_max &&
           bytes + size_of(*queue.front().entry) <= limits::store_batch_bytes_max);
}

Result<void> JournalThread::Impl::write_batch() {
  std::vector<Addressed> entries;
  entries.reserve(batch.size());
  for (Waiting& waiting : batch) entries.push_back({waiting.log, std::move(*waiting.entry)});
  Result<void> appended = store->append(entries);
  // A batch that failed is tried again.
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i].entry = std::move(entries[i].entry);
  return appended;
}

void JournalThread::Impl::written() {
  if (!batch.front().entry) {
    std::erase_if(compactions, [&](const Compaction& compaction) { return compaction.log == batch.front().log; });
    if (shortening && shortening->log == batch.front().log) shortening.reset();
  }
  for (const Waiting& waiting : batch) finish(waiting, "");
  batch.clear();
  if (!unsynced) sync_at = std::min(sync_at, now() + limits::store_sync_interval);
  unsynced = true;
  went_well();
}

void JournalThread::Impl::not_written(const Error& error) {
  note(error);
  if (is_fenced) return;
  retry_at = now() + retry_delay;
  retry_delay = std::min<Duration>(2 * retry_delay, limits::store_retry_delay_max);
  const bool some_refusable =
      std::any_of(batch.begin(), batch.end(), [](const Waiting& waiting) { return waiting.refusable; });
  if (error.code == ErrorCode::full && some_refusable) {
    // What is left is smaller and may fit.
    refuse_batch(error.message);
    retry_at = TimePoint{};
  } else if (error.code == ErrorCode::full) {
    refuse_queue(error.message);
  } else if (now() - *trouble_since >= handler.patience) {
    refuse_batch(error.message);
    refuse_queue(error.message);
  }
}

void JournalThread::Impl::refuse_batch(const std::string& reason) {
  for (const Waiting& waiting : batch) {
    if (waiting.refusable) finish(waiting, reason);
  }
  std::erase_if(batch, [](const Waiting& waiting) { return waiting.refusable; });
}

void JournalThread::Impl::refuse_queue(const std::string& reason) {
  for (const Waiting& waiting : queue) {
    if (waiting.refusable) finish(waiting, reason);
  }
  std::erase_if(queue, [](const Waiting& waiting) { return waiting.refusable; });
}

/// A step of a compaction, if one is due. One that fails is tried again much later: the log is only longer than it need
/// be.
void JournalThread::Impl::compact(std::unique_lock<std::mutex>& lock) {
  if (!shortening) begin_compaction();
  if (!shortening) return;
  lock.unlock();
  const Result<bool> more = go_on();
  lock.lock();
  if (more && more.value()) return;
  const LogId log = shortening->log;
  shortening.reset();
  if (more) {
    unsynced = true;
    return;
  }
  if (more.error().code == ErrorCode::fenced) return note(more.error());
  log::warning("the journal of pool {:016x} could not be shortened: {}", log, more.error().message);
  compactions.push_back({log, now() + limits::store_patience});
}

void JournalThread::Impl::begin_compaction() {
  const auto due = std::find_if(compactions.begin(), compactions.end(),
                                [](const Compaction& compaction) { return compaction.not_before <= now(); });
  if (due == compactions.end()) return;
  shortening = Shortening{due->log, {}, handler.make_reducer()};
  compactions.erase(due);
}

/// Reads on. True: there is more, perhaps what was appended meanwhile.
Result<bool> JournalThread::Impl::go_on() {
  Shortening& under_way = *shortening;
  BOOST_OUTCOME_TRY(more, store->read(under_way.log, under_way.position, Attachments::refer,
                                      [&](Entry&& entry) { under_way.reducer->add(std::move(entry)); }));
  if (more) return true;
  // Nothing can be appended between this and the last look.
  if (under_way.position.entries == 0) return false;  // it was removed meanwhile, and must stay so
  if (std::string problem = under_way.reducer->problem(); !problem.empty()) {
    return fail(ErrorCode::protocol, std::move(problem));
  }
  const std::vector<Entry> entries = under_way.reducer->take();
  BOOST_OUTCOME_TRYV(store->replace(under_way.log, entries));
  return false;
}

/// Does not put off the next write: renewals that fail, as often as writes are tried again, would do so for ever.
void JournalThread::Impl::note(const Error& error) {
  news = news || trouble != error.message;
  trouble = error.message;
  if (error.code == ErrorCode::fenced) {
    is_fenced = true;
    news = true;
    return;
  }
  if (!trouble_since) trouble_since = now();
}

void JournalThread::Impl::went_well() {
  news = news || !trouble.empty();
  trouble.clear();
  trouble_since.reset();
  retry_at = TimePoint{};
  retry_delay = limits::store_retry_delay_min;
  rewritten = false;
}

void JournalThread::Impl::finish(const Waiting& waiting, std::string refused) {
  if (waiting.entry) queued_bytes -= size_of(*waiting.entry);
  done.push_back({waiting.ticket, std::move(refused)});
  news = true;
}

JournalThread::JournalThread(std::unique_ptr<Store> store, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(store), std::move(handler))) {}

JournalThread::~JournalThread() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->close_by = now() + limits::store_close_patience;
    impl_->changed.notify_one();
  }
  impl_->thread.join();
  impl_->store->release();  // here, since others ask it until then
}

void JournalThread::append(Ticket ticket, LogId log, Entry entry, bool refusable) {
  impl_->push({ticket, log, std::move(entry), refusable, {}});
}

void JournalThread::remove(Ticket ticket, LogId log) { impl_->push({ticket, log, std::nullopt, false, {}}); }

void JournalThread::run(Ticket ticket, std::function<Result<void>(Store&)> work) {
  impl_->push({ticket, 0, std::nullopt, false, std::move(work)});
}

void JournalThread::compact(LogId log) {
  const std::lock_guard lock(impl_->mutex);
  const bool waits = std::any_of(impl_->compactions.begin(), impl_->compactions.end(),
                                 [log](const Impl::Compaction& compaction) { return compaction.log == log; });
  if (!waits) impl_->compactions.push_back({log, TimePoint{}});
  impl_->changed.notify_one();
}

std::vector<JournalThread::Done> JournalThread::take_done() {
  const std::lock_guard lock(impl_->mutex);
  return std::exchange(impl_->done, {});
}

std::string JournalThread::trouble() const {
  if (impl_->store->hold() == Hold::lost) {
    if (const Result<void> well = impl_->store->check_hold(); !well) return well.error().message;
  }
  const std::lock_guard lock(impl_->mutex);
  return impl_->trouble;
}

bool JournalThread::fenced() const { return impl_->is_fenced || impl_->store->hold() == Hold::lost; }

bool JournalThread::certain() const { return !impl_->is_fenced && impl_->store->hold() == Hold::ours; }

void JournalThread::loop_moved() { impl_->store->moved(Part::loop); }

void JournalThread::raise_term(std::uint64_t above) {
  const std::lock_guard lock(impl_->mutex);
  impl_->term_to_pass = above;
  impl_->changed.notify_one();
}

std::uint64_t JournalThread::raised_term() const { return impl_->raised_to; }

std::size_t JournalThread::queued_bytes() const { return impl_->queued_bytes; }

}  // namespace dc::store

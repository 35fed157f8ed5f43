// What to ask of the store next, and what its answers mean: the decisions of JournalThread, without its thread, its
// clock and the store.
//
// Whoever runs it asks for a call (next), makes it, which may take long, and tells how it ended (ended); meanwhile
// entries may come in. What arrives while one write is under way becomes the next: group commit.
//
// An entry that is given up although a write of it may have happened is erased with the next write that is made: see
// Store.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/limits.hpp"
#include "store/store.hpp"

namespace dc::store {

/// Number of what the caller wants done, rising, chosen by it.
using Ticket = std::uint64_t;

/// What came of a ticket.
struct Journaled {
  Ticket ticket{};
  std::string refused;               ///< why it was given up, as a sentence for the user; empty: it is durable
  std::vector<Payload> stored = {};  ///< the attachments of the entry, as Store::write() left them
};
/// What was loaded for a ticket.
struct Loaded {
  Ticket ticket{};
  std::vector<Payload> payloads;  ///< those that cannot be read are elsewhere still
  std::string problem = {};       ///< why, as a sentence; empty: all are here
};

// --- Calls of the store -----------------------------------------------------------------------------------------
struct CheckHold {};
struct RaiseTerm {
  std::uint64_t above{};
};
struct Sync {};
struct Write {
  std::vector<Change> changes;
  std::size_t given_up = 0;  ///< the first so many erase entries that were given up
};
struct Remove {
  LogId log{};
};
/// Payloads are brought here.
struct Load {
  Loaded wanted;
};
struct Work {
  std::function<Result<void>(Store&)> work;
};
/// Damage beside what was to be written.
struct Rewrite {};
struct Tidy {};
using StoreCall = std::variant<CheckHold, RaiseTerm, Sync, Write, Remove, Load, Work, Rewrite, Tidy>;

/// How a call ended.
struct StoreAnswer {
  Result<void> result = boost::outcome_v2::success();
  std::uint64_t term = 0;  ///< of RaiseTerm
  bool more = false;       ///< of Tidy: there is more to delete
};

/// Makes the call.
StoreAnswer make_call(Store& store, StoreCall& call);

class JournalMachine {
 public:
  /// `patience`: for a store that cannot be reached, before entries are refused.
  JournalMachine(Duration patience, TimePoint now);

  /// See JournalThread for these.
  void write(Ticket ticket, LogId log, EntryNumber number, Entry entry, std::vector<EntryNumber> erased,
             bool refusable);
  void remove(Ticket ticket, LogId log);
  void load(Ticket ticket, std::vector<Payload> payloads);
  void run(Ticket ticket, std::function<Result<void>(Store&)> work);
  void raise_term(std::uint64_t above) { term_to_pass_ = above; }
  /// It is to end: what waits is written, until then at most.
  void close(TimePoint by) { close_by_ = by; }

  /// The time of the next call; in the past when there is one now.
  [[nodiscard]] TimePoint next_at() const;
  /// It has ended: nothing is left to do, or no time for it, or another head has the store.
  [[nodiscard]] bool over(TimePoint now) const {
    return fenced_ || (close_by_ && (!has_writes() || now >= *close_by_));
  }
  /// What is due.
  std::optional<StoreCall> next(TimePoint now);
  void ended(StoreCall&& call, const StoreAnswer& answer, TimePoint now);

  /// Whether there is something for take_done(), or the state has changed, since this was asked last.
  bool take_news() { return std::exchange(news_, false); }
  /// In the order of completion.
  std::vector<Journaled> take_done() { return std::exchange(done_, {}); }
  std::vector<Loaded> take_loaded() { return std::exchange(loaded_, {}); }
  /// What the log of this head should say.
  std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] bool fenced() const { return fenced_; }
  [[nodiscard]] std::uint64_t raised_term() const { return raised_term_; }

 private:
  struct Waiting {
    Ticket ticket{};
    LogId log{};
    std::optional<Entry> entry;  ///< none: the log is to be removed, or `work` done
    bool refusable = false;
    EntryNumber number{};
    std::vector<EntryNumber> erased = {};
    std::function<Result<void>(Store&)> work = {};  ///< this instead
  };

  [[nodiscard]] bool has_writes() const { return !batch_.empty() || !queue_.empty() || !given_up_.empty(); }
  void fill_batch();
  StoreCall next_write();
  void end(CheckHold&, const StoreAnswer& answer, TimePoint now);
  void end(RaiseTerm& call, const StoreAnswer& answer, TimePoint now);
  void end(Sync&, const StoreAnswer& answer, TimePoint now);
  void end(Write& call, const StoreAnswer& answer, TimePoint now);
  void end(Remove&, const StoreAnswer& answer, TimePoint now);
  void end(Load& call, const StoreAnswer& answer, TimePoint now);
  void end(Work& call, const StoreAnswer& answer, TimePoint now);
  void end(Rewrite&, const StoreAnswer& answer, TimePoint now);
  void end(Tidy&, const StoreAnswer& answer, TimePoint now);
  void write_ended(const Result<void>& result, TimePoint now);
  void written(TimePoint now);
  void note_change(const Change& change);
  void not_written(const Error& error, TimePoint now);
  void refuse_batch(const std::string& reason);
  void refuse_queue(const std::string& reason);
  void note(const Error& error, TimePoint now);
  void went_well();
  void finish(Waiting& waiting, std::string refused);

  const Duration patience_;
  std::deque<Waiting> queue_;
  std::vector<Waiting> batch_;    ///< taken from the queue and not yet written: entries, or one removal, or one work
  bool batch_may_stand_ = false;  ///< a write of it failed in a way that may have happened
  std::vector<Change> given_up_;  ///< erases what was given up and may stand
  std::deque<Loaded> loads_;      ///< to be done
  bool loads_next_ = false;       ///< a write has had its turn
  TimePoint load_retry_at_{};
  std::map<LogId, EntryNumber> highest_;  ///< number that was written to each log
  bool tidy_due_ = true;                  ///< who was here before may have left something
  bool tidies_next_ = false;              ///< a write has had its turn
  TimePoint tidy_at_{};                   ///< not before
  TimePoint check_at_, sync_at_, retry_at_{};
  Duration retry_delay_ = limits::store_retry_delay_min;
  std::optional<TimePoint> trouble_since_;
  bool unsynced_ = false;
  bool rewritten_ = false;            ///< in this trouble
  std::optional<Error> for_rewrite_;  ///< why the batch was not written: damage, which a rewrite may mend
  std::uint64_t term_to_pass_ = 0, raised_term_ = 0;
  std::vector<Journaled> done_;
  std::vector<Loaded> loaded_;
  std::vector<std::string> warnings_;
  std::string trouble_;
  std::optional<TimePoint> close_by_;
  bool fenced_ = false;
  bool news_ = false;
};

}  // namespace dc::store

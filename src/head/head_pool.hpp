// A pool as the head has it, between its client and the scheduler. There are two kinds: a DirectPool hands on what it
// hears and ends with its client; a KeptPool (one with a name) keeps what it accepts in the journal before it says so.
//
// Both are pure machines. What happens to the pool is a call, what is to be done is appended to `out`, in the order in
// which HeadMachine carries it out. Nothing here calls the scheduler or the head back.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "core/job.hpp"
#include "head/effects.hpp"
#include "scheduler/events.hpp"
#include "scheduler/scheduler.hpp"
#include "wire/messages.hpp"

namespace dc::head {

// --- Effects, beside Send, CloseSession and Log --------------------------------------------------------------------

/// How a job ended, to the client that has the pool. Those of one turn travel together.
struct Deliver {
  JobSequence sequence{};
  Outcome outcome;
};
/// The number of its workers, to the client that has the pool.
struct TellState {};
/// The session has the pool, or waits for it: the pool hears when the session ends.
struct Joins {
  SessionId session;
};
/// The pool is not, or will not be, the session's.
struct Leaves {
  SessionId session;
};
/// What the session asked for, calling the pool `asked`, cannot be.
struct Fail {
  SessionId session;
  PoolId asked;
  ErrorKind kind{};
  std::string text;
};
/// The session broke the protocol.
struct Refuse {
  SessionId session;
  std::string what;
};
/// What an entry on its way to the journal was for; goes back to the pool with the answer.
struct Pending {
  enum class Kind : std::uint8_t { birth, client, jobs, outcomes, update, acks, failure, keys, summary } kind{};
  store::EntryNumber entry = 0;             ///< its number
  std::vector<SubmittedJob> jobs = {};      ///< jobs
  std::vector<JobSequence> sequences = {};  ///< outcomes, acks
  UpdateNumber number = {};                 ///< update; keys: so many are forgotten
  Payload payload = {};                     ///< update
  SessionId leaver = {};                    ///< client: who hears then that it has left; keys: who has asked
  PoolId asked = {};                        ///< keys: by what id
  std::vector<std::int64_t> offsets = {};   ///< jobs, outcomes: where each payload lies in the entry's bundle; or none
  std::vector<Payload> stored = {};         ///< what stands for the attachments of its entry from then on
};
/// Into the journal of the pool; HeadPool::journaled() says when it is there, or was refused.
struct Keep {
  store::LogId log{};
  Pending pending;
  store::Entry entry;
  std::vector<store::EntryNumber> erased;  ///< with it
  bool refusable = false;
};
/// Nothing of the pool is kept any longer. The session hears PoolClosed for `asked` when that is done.
struct RemoveJournal {
  store::LogId log{};
  SessionId session;
  PoolId asked;
};
/// The pool has something for end_turn().
struct EndTurn {};
/// The pool is over: the head forgets it. Nothing comes after it.
struct Over {
  std::string log = {};  ///< said in the log; empty: nothing
};

using PoolEffect = std::variant<Send, CloseSession, Log, Deliver, TellState, Joins, Leaves, Fail, Refuse, Keep,
                                RemoveJournal, EndTurn, Over, scheduler::Event>;
using PoolEffects = std::vector<PoolEffect>;

/// What `status` says of a pool beside the scheduler's counts.
struct KeptFigures {
  std::uint64_t done = 0;        ///< outcomes so far
  std::uint64_t to_deliver = 0;  ///< jobs whose outcome nobody has
  std::uint64_t to_take = 0;     ///< of these, those that have one
  UpdateNumber updates = 0;      ///< in the journal or on their way to it
  std::uint64_t kept_bytes = 0;  ///< what counts against PoolBounds::bytes_max
  std::uint64_t keys = 0;        ///< that have a value
};

/// The client that has a pool, or had it last.
struct Holder {
  SessionId session;         ///< value 0: it is away
  PeerInfo peer;             ///< id 0: nobody is known
  PoolId asked;              ///< the id by which it asked for the pool
  std::string process = {};  ///< the name of its process, see core/process_name.hpp; may be empty
};

class HeadPool {
 public:
  enum class Stage : std::uint8_t {
    waits_for_program,
    being_kept,  ///< its first entry is on its way to the journal
    open,        ///< the scheduler has it
    failed       ///< the scheduler has it no more, and what it has done so far can be had
  };

  virtual ~HeadPool() = default;
  HeadPool(const HeadPool&) = delete;
  HeadPool& operator=(const HeadPool&) = delete;

  // --- Sessions. The head has sent what was collected for the one that has the pool. ---

  /// All that its workers need is here.
  virtual void open(const Payload& program, PoolEffects& out) = 0;
  /// OpenPool of this pool, which exists.
  virtual void asked_for(SessionId session, const PeerInfo& peer, wire::OpenPool&& message, TimePoint now,
                         PoolEffects& out) = 0;
  virtual void resume(SessionId session, const PeerInfo& peer, wire::ResumePool&& message, PoolEffects& out) = 0;
  /// What its client sends after ResumePool is complete.
  virtual void resumed(PoolEffects& out) = 0;
  /// A session that has the pool, or waits for it, is over. `for_good`: its client does not come back.
  virtual void session_lost(SessionId session, bool for_good, TimePoint now, PoolEffects& out) = 0;
  /// ClosePool that leaves the pool as it is. It answers.
  virtual void leave(SessionId session, TimePoint now, PoolEffects& out) = 0;
  /// ClosePool of a session that may do so. It answers.
  virtual void close(SessionId session, PoolId asked, PoolEffects& out) = 0;
  [[nodiscard]] virtual bool may_close(SessionId session, std::uint64_t client) const = 0;
  /// Somebody who waits for the pool has seen that the process of its client is gone.
  virtual void holder_gone(SessionId /*session*/, const wire::HolderGone& /*message*/, TimePoint /*now*/,
                           PoolEffects& /*out*/) {}
  /// Peers can come from now on: its client's time to come back begins.
  virtual void door_opened(TimePoint /*now*/) {}
  /// When it gives somebody up who is away; `never`: it waits for nobody.
  [[nodiscard]] virtual TimePoint deadline() const = 0;
  virtual void expired(PoolEffects& out) = 0;
  /// Nobody could be heard for so long; what was due before `last_flush` stays due.
  virtual void thaw(Duration gap, TimePoint last_flush) = 0;

  // --- What the client that has it says ---

  virtual void submit(SessionId session, std::vector<SubmittedJob>&& jobs, PoolEffects& out) = 0;
  virtual void update(SessionId session, wire::AddUpdate&& message, PoolEffects& out) = 0;
  virtual void acknowledge(SessionId session, std::vector<JobSequence>&& sequences, PoolEffects& out) = 0;
  /// It takes so many outcomes of earlier jobs.
  virtual void want_outcomes(const wire::WantOutcomes& /*message*/, PoolEffects& /*out*/) {}
  /// Of what it has submitted, what counts against its window.
  [[nodiscard]] virtual scheduler::Load load(const scheduler::Scheduler& scheduler) const = 0;

  // --- What the scheduler says ---

  virtual void ended(scheduler::DeliverOutcome&& command, PoolEffects& out) = 0;
  /// The scheduler has given the pool up.
  virtual void failed(ErrorInfo&& error, PoolEffects& out) = 0;
  /// Its client waits for what cannot come.
  virtual void client_stuck(ErrorInfo&& /*error*/, PoolEffects& /*out*/) {}
  /// An update failed: said now, and again to a client that has missed it.
  void update_failed(wire::UpdateFailed&& failed, PoolEffects& out);

  // --- What the journal says; and the turn ends ---

  /// `refused`: why it is not there; empty: it is.
  virtual void journaled(Pending&& /*pending*/, const std::string& /*refused*/, PoolEffects& /*out*/) {}
  virtual void end_turn(PoolEffects& /*out*/) {}
  /// After end_turn(): what came in this turn, and is kept for a time, came now.
  virtual void stamp_keys(WallTime /*wall*/, PoolEffects& /*out*/) {}

  // --- What is known of it ---

  [[nodiscard]] Stage stage() const { return stage_; }
  [[nodiscard]] const Holder& holder() const { return holder_; }
  [[nodiscard]] const std::string& name() const { return name_; }  ///< empty: it has none
  [[nodiscard]] bool keeps() const { return !name_.empty(); }      ///< what it accepts, beyond its client
  /// The key of a job that is to run; null: it has none.
  [[nodiscard]] virtual const std::string* key_of(JobSequence /*sequence*/) const { return nullptr; }
  [[nodiscard]] virtual KeptFigures figures() const { return {}; }
  /// Why it takes no more jobs; null: it does.
  [[nodiscard]] virtual const ErrorInfo* broken() const { return nullptr; }
  /// Everybody who has it or waits for it.
  [[nodiscard]] virtual std::vector<SessionId> sessions() const = 0;
  /// For tests and the simulator: stops the process when its parts do not agree.
  virtual void check_invariants() const = 0;

  const PoolId id;
  PoolOptions options;
  Payload spec;
  bool resuming = false;           ///< its client sends again what this head lacks
  std::uint64_t most_workers = 1;  ///< that its client was told, or as many jobs as it may have had before

 protected:
  explicit HeadPool(PoolId pool) : id(pool) {}
  /// To the client that has the pool. One that is away will ask for it.
  void tell(wire::Message message, PoolEffects& out, wire::Lane lane = wire::control_lane) const {
    if (holder_.session.value != 0) out.emplace_back(Send{holder_.session, std::move(message), lane});
  }
  void tell_of_updates(PoolEffects& out);
  /// The session has the pool from now on. Another one that did is of the past, even if it was not seen to end.
  void move_to(SessionId session, const PeerInfo& peer, PoolEffects& out);

  Stage stage_ = Stage::waits_for_program;
  Holder holder_;
  std::string name_;
  std::deque<wire::UpdateFailed> update_failures_;  ///< the latest
};

/// A pool that ends with its client, or limits::client_return_grace after that went away. All that its client sends
/// goes to the scheduler, and all outcomes to the client.
class DirectPool final : public HeadPool {
 public:
  /// As `message` asks for it.
  DirectPool(SessionId session, const PeerInfo& peer, wire::OpenPool&& message);

  void open(const Payload& program, PoolEffects& out) override;
  void asked_for(SessionId session, const PeerInfo& peer, wire::OpenPool&& message, TimePoint now,
                 PoolEffects& out) override;
  void resume(SessionId session, const PeerInfo& peer, wire::ResumePool&& message, PoolEffects& out) override;
  void resumed(PoolEffects& out) override;
  void session_lost(SessionId session, bool for_good, TimePoint now, PoolEffects& out) override;
  void leave(SessionId session, TimePoint now, PoolEffects& out) override;
  void close(SessionId session, PoolId asked, PoolEffects& out) override;
  [[nodiscard]] bool may_close(SessionId session, std::uint64_t client) const override;
  [[nodiscard]] TimePoint deadline() const override { return close_at_; }
  void expired(PoolEffects& out) override;
  void thaw(Duration gap, TimePoint last_flush) override;
  void submit(SessionId session, std::vector<SubmittedJob>&& jobs, PoolEffects& out) override;
  void update(SessionId session, wire::AddUpdate&& message, PoolEffects& out) override;
  void acknowledge(SessionId session, std::vector<JobSequence>&& sequences, PoolEffects& out) override;
  [[nodiscard]] scheduler::Load load(const scheduler::Scheduler& scheduler) const override;
  void ended(scheduler::DeliverOutcome&& command, PoolEffects& out) override;
  void failed(ErrorInfo&& error, PoolEffects& out) override;
  [[nodiscard]] std::vector<SessionId> sessions() const override { return {holder_.session}; }
  void check_invariants() const override;

 private:
  void comes_to(SessionId session, const PeerInfo& peer, PoolEffects& out);
  [[nodiscard]] std::string closed_text() const;

  bool resumed_ = false;        ///< an earlier head had it
  TimePoint close_at_ = never;  ///< its client is away: over then
};

/// What is wrong with the options of a pool, as a sentence; empty when nothing is.
std::string problem_of(const PoolOptions& options);

}  // namespace dc::head

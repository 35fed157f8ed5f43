// A named pool: its head keeps what it accepts, so that it outlives its client. Jobs, updates, outcomes and
// acknowledgements go into the journal before anybody is told of them. Towards the scheduler it acts as the pool's
// client: it hands jobs in when they are in the journal, and acknowledges outcomes when they are.
//
// kept_pool.cpp has its birth, its ends and the journal's answers, kept_pool_holder.cpp whose it is,
// kept_pool_jobs.cpp what goes in and kept_pool_outcomes.cpp what comes back, kept_pool_keys.cpp the values of keys and
// how they are forgotten, kept_pool_bounds.cpp how much it keeps, kept_pool_seen.cpp what others may look at.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/job_table.hpp"
#include "head/head_pool.hpp"
#include "head/journal.hpp"
#include "head/pool_bounds.hpp"

namespace dc::head {

/// How much of the arguments that are in the store stays in memory too, of all pools of a head.
class KeptMemory {
 public:
  /// Whether there is room for so many bytes, which are taken then. There always is for one job.
  bool take(std::size_t bytes) {
    if (bytes_ > 0 && bytes_ + bytes > limits::arguments_in_memory_max) return false;
    bytes_ += bytes;
    return true;
  }
  void give_back(std::size_t bytes) { bytes_ -= bytes; }

 private:
  std::size_t bytes_ = 0;
};

class KeptPool final : public HeadPool {
 public:
  /// A new one, as `message` asks for it. `log`: where its journal is to stand. `memory` outlives the pool.
  KeptPool(PoolId pool, store::LogId log, const PoolBounds& bounds, KeptMemory& memory, SessionId session,
           const PeerInfo& peer, wire::OpenPool&& message);
  /// One that an earlier head kept. The scheduler is told all of it.
  KeptPool(JournalState&& state, store::LogId log, const PoolBounds& bounds, KeptMemory& memory, WallTime wall,
           TimePoint now, PoolEffects& out);
  ~KeptPool() override;

  void open(const Payload& program, PoolEffects& out) override;
  void asked_for(SessionId session, const PeerInfo& peer, wire::OpenPool&& message, TimePoint now,
                 PoolEffects& out) override;
  void resume(SessionId session, const PeerInfo& peer, wire::ResumePool&& message, PoolEffects& out) override;
  void resumed(PoolEffects&) override {}  // its jobs are here
  void session_lost(SessionId session, bool for_good, TimePoint now, PoolEffects& out) override;
  void leave(SessionId session, TimePoint now, PoolEffects& out) override;
  void close(SessionId session, PoolId asked, PoolEffects& out) override;
  [[nodiscard]] bool may_close(SessionId session, std::uint64_t client) const override;
  void holder_gone(SessionId session, const wire::HolderGone& message, TimePoint now, PoolEffects& out) override;
  void door_opened(TimePoint now) override { return_by_ = now + limits::client_return_grace; }
  [[nodiscard]] TimePoint deadline() const override { return waiting_.empty() ? never : return_by_; }
  void expired(PoolEffects& out) override { give_to_the_next(out); }
  void thaw(Duration gap, TimePoint last_flush) override;
  void submit(SessionId session, std::vector<SubmittedJob>&& jobs, PoolEffects& out) override;
  void update(SessionId session, wire::AddUpdate&& message, PoolEffects& out) override;
  void acknowledge(SessionId session, std::vector<JobSequence>&& sequences, PoolEffects& out) override;
  void want_outcomes(const wire::WantOutcomes& message, PoolEffects& out) override;
  [[nodiscard]] scheduler::Load load(const scheduler::Scheduler&) const override { return unaccepted_; }
  void ended(scheduler::DeliverOutcome&& command, PoolEffects& out) override;
  void failed(ErrorInfo&& error, PoolEffects& out) override;
  void client_stuck(ErrorInfo&& error, PoolEffects& out) override;
  void journaled(Pending&& pending, const std::string& refused, PoolEffects& out) override;
  void end_turn(PoolEffects& out) override;
  void stamp_keys(WallTime wall, PoolEffects& out) override;
  [[nodiscard]] const std::string* key_of(JobSequence sequence) const override;
  [[nodiscard]] KeptFigures figures() const override {
    return {done_, records_.size(), to_take_, updates_, kept_bytes_, values_of_keys_.size()};
  }
  [[nodiscard]] const ErrorInfo* broken() const override { return broken_ ? &*broken_ : nullptr; }
  [[nodiscard]] std::vector<SessionId> sessions() const override;
  void check_invariants() const override;

  /// Whoever asked so in this session, calling the pool `asked`, hears KeysForgotten when the journal has it. Jobs that
  /// run go on, and the value of one that has such a key is the key's again.
  void forget_keys(SessionId session, PoolId asked, std::vector<std::string>&& keys, bool all_keys, PoolEffects& out);
  /// The values that came PoolBounds::key_ttl ago and earlier.
  void forget_old_keys(WallTime wall, PoolEffects& out);

  /// What of it can be had after job `message.after`; takes nothing from anybody.
  [[nodiscard]] wire::OutcomesSeen see(const wire::SeeOutcomes& message) const;
  [[nodiscard]] wire::DefinitionsSeen see(const wire::SeeDefinitions& message) const;
  [[nodiscard]] std::string quoted() const { return "'" + name_ + "'"; }

 private:
  /// A job that was accepted and whose outcome nobody has so far.
  struct Record {
    static constexpr int offset_bits = 26;
    static constexpr int number_bits = 38;   ///< of an entry: so many come in 8 years, at a thousand a second
    std::unique_ptr<StoredOutcome> outcome;  ///< null: none so far, or it is told by the numbers below alone
    std::uint64_t bytes : 48 = 0;            ///< that count for it, see PoolBounds::bytes_max
    std::uint64_t durable : 1 = 0;           ///< the outcome is in the journal
    std::uint64_t sent : 1 = 0;              ///< to the client that is there now
    store::EntryNumber job_entry : number_bits = 0;
    /// 0: none so far, or PoolBroke.
    store::EntryNumber outcome_entry : number_bits = 0;
    std::uint64_t offset : offset_bits = 0;  ///< of a value that is in the store: where it begins in that entry's place
    [[nodiscard]] bool has_outcome() const { return outcome || outcome_entry != 0; }
  };
  static_assert(sizeof(Record) == 32, "there may be millions");
  using Records = JobTable<Record>;
  /// Outcomes for the next entry.
  template <class Entry>
  struct Gathered {
    Entry entry;
    std::size_t bytes = 0;
    std::size_t beside = 0;  ///< of these, those that need not stay in memory
    std::size_t stored = 0;  ///< payloads that are in the store already: each may be an attachment
    [[nodiscard]] bool is_full() const;
  };
  template <class Body>
  KeptEntry keep(Pending&& pending, const Body& entry, bool refusable, PoolEffects& out) {
    return put(std::move(pending), encode(entry), refusable, out);
  }
  /// An entry of jobs or outcomes, whose payloads of this many bytes need not stay in memory. `pending` goes with it.
  template <class Body>
  static store::Entry encode_beside(const Body& entry, std::size_t bytes, Pending& pending) {
    wire::Bundle bundle;
    const bool beside = bytes >= limits::bundle_bytes_min;
    if (beside) bundle.bytes.reserve(bytes);
    store::Entry encoded = encode(entry, beside ? &bundle : nullptr);
    pending.offsets = std::move(bundle.offsets);
    return encoded;
  }
  KeptEntry put(Pending&& pending, store::Entry&& entry, bool refusable, PoolEffects& out);
  void keep_holder(Pending&& pending, PoolEffects& out);

  // Birth and ends.
  void is_born(PoolEffects& out);
  void is_not_stored(const std::string& why, PoolEffects& out);
  void failure_is_kept(PoolEffects& out);
  // Whose it is.
  [[nodiscard]] ClientCame client_entry() const;
  [[nodiscard]] std::string busy_text() const;
  [[nodiscard]] std::string taken_over_by(const PeerInfo& peer) const;
  void stop_waiting(SessionId session);
  void leaves(SessionId session, PoolEffects& out);
  void fail(SessionId session, PoolId asked, ErrorKind kind, std::string text, PoolEffects& out) const;
  void wait_for_holder(Holder&& who, TimePoint now, PoolEffects& out);
  void give(Holder&& to, PoolEffects& out);
  void give_to_the_next(PoolEffects& out);
  void hand_over(PoolEffects& out);
  void tell_waiting(ErrorKind kind, const std::string& text, PoolEffects& out);
  void is_nobodys(SessionId leaver, PoolEffects& out);
  void has_left(SessionId leaver, PoolEffects& out) const;
  void attach(JobSequence first);
  [[nodiscard]] std::string cannot_be_received(const std::vector<JobSequence>& sequences) const;
  void take_received(const std::vector<JobSequence>& received);
  void tell_what_is_known(const std::vector<JobSequence>& unaccepted, PoolEffects& out);
  void tell_confirmed(PoolEffects& out);
  [[nodiscard]] std::vector<JobSequence> earlier() const;
  // What goes through it.
  void take(std::vector<SubmittedJob>&& jobs, PoolEffects& out);
  void keep_jobs(std::vector<SubmittedJob>&& jobs, PoolEffects& out);
  void jobs_are_taken(Pending&& pending, PoolEffects& out);
  void stand_in(SubmittedJob& job, const Payload& stored);
  void forget_arguments(JobSequence sequence);
  void jobs_are_refused(const std::vector<SubmittedJob>& jobs, const std::string& why, PoolEffects& out);
  void start(std::vector<SubmittedJob>&& jobs, PoolEffects& out);
  void settled(const std::vector<SubmittedJob>& jobs);
  void update_is_kept(UpdateNumber number, Payload&& update, PoolEffects& out);
  void remember_definition(const Payload& update);
  void keep_outcome(JobSequence sequence, Outcome&& outcome, PoolEffects& out, std::string&& key = {});
  void keep_value(JobSequence sequence, std::string&& key, Payload&& value, PoolEffects& out);
  template <class Entry, class Item>
  void gather(Gathered<Entry>& gathered, Item&& item, PoolEffects& out);
  template <class Entry>
  store::EntryNumber keep_gathered(const Gathered<Entry>& gathered, PoolEffects& out);
  void outcomes_are_kept(Pending&& pending, PoolEffects& out);
  void stand_in(JobSequence sequence, Record& record, const Payload& stored);
  void is_durable(Record& record);
  [[nodiscard]] StoredOutcome outcome_of(const Record& record) const;
  void set_outcome(Record& record, StoredOutcome&& outcome);
  void leave_in_store(Record& record);
  void deliver(JobSequence sequence, Record& record, PoolEffects& out);
  void deliver_earlier(PoolEffects& out);
  Records::iterator next_earlier();
  void erase_if_worth(PoolEffects& out);
  void erase_dead(PoolEffects& out);
  // The values of keys.
  void restore_keys(JournalState& state, WallTime wall, PoolEffects& out);
  void tell_keys(PoolEffects& out);
  [[nodiscard]] bool key_has_value(const std::string& key, const Payload& value, PoolEffects& out);
  void keys_stand_in(store::EntryNumber entry, const KeyedCame& keyed);
  std::optional<store::EntryNumber> drop_value(const std::string& key);
  void keep_dropped(Pending&& pending, std::vector<std::string>&& keys, std::vector<store::EntryNumber>&& told_by,
                    PoolEffects& out);
  void set_times_back(WallTime wall);
  void keys_are_dropped(const Pending& pending, PoolEffects& out);
  // How much it keeps.
  [[nodiscard]] bool is_beyond(const SubmittedJob& job) const;
  void refuse_beyond(const std::vector<SubmittedJob>& jobs, PoolEffects& out) const;
  void count_arguments(Record& record, std::size_t bytes);
  void count_outcome(Record& record);
  void check_bytes() const;

  store::LogId log_{};  ///< its journal
  PoolBounds bounds_;
  KeptMemory& memory_;
  std::unordered_map<JobSequence, std::size_t> in_memory_;  ///< arguments that are in the store too: their bytes
  JobNumbers taken_;                                        ///< in the journal or on their way to it
  JobSequence restored_to_ = 0;       ///< jobs up to this one are from the journal, which may have lost what came after
  JobSequence highest_ = 0;           ///< number of a job so far, refused or not: none is used again
  Records records_;                   ///< in the journal
  UpdateNumber updates_ = 0;          ///< so many are in the journal or on their way
  UpdateNumber updates_kept_ = 0;     ///< so many are in the journal
  std::vector<Payload> definitions_;  ///< updates that are none of the user's, see definitions_mark
  std::uint64_t done_ = 0;            ///< outcomes so far
  std::uint64_t to_take_ = 0;         ///< records whose outcome is durable
  SharedError broken_;                ///< it failed: the scheduler does not know it any more

  // Jobs with a key: the value of one is the value of all.
  std::unordered_map<std::string, KeyValue> values_of_keys_;
  std::unordered_map<std::string, JobSequence> running_keys_;
  std::unordered_map<JobSequence, std::string> keys_of_running_;
  std::unordered_map<JobSequence, std::string> keys_of_large_;            ///< whose value is on its way to the store
  std::unordered_map<JobSequence, std::vector<SubmittedJob>> followers_;  ///< that wait for the value of this one
  std::uint64_t keys_dropped_ = 0;                                        ///< number of the latest KeysDropped
  // Where values are kept for a time: each of them stands in one of these.
  struct KeyTime {
    WallTime came;
    std::string key;
  };
  std::deque<KeyTime> key_times_;      ///< the earliest first
  std::vector<std::string> new_keys_;  ///< came in this turn

  std::uint64_t kept_bytes_ = 0;  ///< in the journal or on their way to it, see PoolBounds::bytes_max

  // The journal.
  LiveEntries entries_;
  JobNumbers kept_;                   ///< numbers of jobs that were taken: those in the journal
  std::vector<KeptEntry> summaries_;  ///< that are the latest ones
  KeptEntry holder_entry_;
  Gathered<ValuesCame> values_;
  Gathered<KeyedCame> keyed_values_;
  std::size_t unsettled_ = 0;  ///< entries with jobs or updates, or of who leaves, on their way to the journal
  std::unordered_set<JobSequence> acknowledging_;  ///< Delivered of these is on its way to the journal

  // Whose it is.
  bool left_ = false;            ///< its client has left: nobody waits for it
  TimePoint return_by_{};        ///< its client is away: others wait for it until then
  std::vector<Holder> waiting_;  ///< who wants the pool meanwhile, the first one first
  SessionId next_;               ///< has the pool as soon as what its forerunner sent is in the journal

  // The client that is there now.
  scheduler::Load unaccepted_;          ///< jobs that it has sent, and that are neither accepted nor refused
  std::vector<SubmittedJob> early_;     ///< that came before an update that they must not run without
  std::vector<JobSequence> confirmed_;  ///< that its ResumePool named so far, and that are acknowledged
  JobSequence first_own_ = 1;           ///< its jobs begin here
  std::uint64_t credit_ = 0;            ///< outcomes of earlier jobs that it may be sent
  bool in_order_ = false;               ///< it wants those in the order of submission
  JobSequence cursor_ = 0;              ///< in order: all before this were sent
  std::set<JobSequence> ready_;         ///< earlier jobs whose outcome is durable and not sent
};

}  // namespace dc::head

// The journal of one head: the machine that decides what is asked of the store, and the one that says how long the
// store is this head's, in simulated time (store/journal_thread.cpp and store/lease_thread.cpp run them in the
// product).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "journal_record.hpp"
#include "store/journal_machine.hpp"

namespace dc::sim {

class Journal {
 public:
  /// In this life of the head.
  struct Head {
    std::function<void(Duration, World::Action)> later;    ///< what it does
    std::function<void(Duration, World::Action)> happens;  ///< what happens to what it has sent, even if it is frozen
    std::function<void(World::Action)> run;                ///< now, or when it is thawed
    std::function<void()> moved;                           ///< there is news
  };
  /// `machine`: see SimStore.
  Journal(World& world, Ledger& ledger, const Plan& plan, JournalRecord& record, std::size_t machine)
      : world_(world), ledger_(ledger), plan_(plan), record_(record), place_(machine) {}

  /// A life of the head begins. It has no store yet.
  void begin(Head head);
  /// Its store. When it has that, it keeps it from then on.
  [[nodiscard]] SimStore& store() { return *store_; }
  void keep();
  /// It has read what is there, and writes from now on.
  void start();
  /// It ends: in order, and all is written if the store can; or not, and what is under way is written, or not.
  void end(bool in_order);

  void write(head::JournalWrite&& write);
  void remove(const head::JournalRemove& remove);
  void raise_term(std::uint64_t above);

  [[nodiscard]] store::Hold hold() const;
  [[nodiscard]] std::uint64_t raised_term() const { return machine_ ? machine_->raised_term() : 0; }
  std::vector<store::Journaled> take_done();

  /// The way between this head's machine and the store is cut.
  void cut(Duration time);
  void mend();

 private:
  void renew_when_due();
  void renew();
  void go_on();
  store::StoreAnswer make_call();
  void call_arrives();
  void wake();
  /// See SimStore::Haunts. The head has told its client perhaps that it refuses the job.
  void stands_after_all(store::LogId log, const store::Entry& entry);

  World& world_;
  Ledger& ledger_;
  const Plan& plan_;
  JournalRecord& record_;
  const std::size_t place_;
  TimePoint cut_until_{};

  // Of this life of the head:
  Head head_;
  std::optional<SimStore> store_;
  std::optional<store::JournalMachine> machine_;
  std::optional<store::StoreCall> call_;  ///< under way
  bool arrived_ = false;                  ///< and has had its effect
  TimePoint armed_for_ = never;
  bool waking_ = false;
  std::map<store::Ticket, std::vector<JobId>> under_way_;  ///< jobs
  std::set<JobId> refused_;                                ///< and those that were
};

}  // namespace dc::sim

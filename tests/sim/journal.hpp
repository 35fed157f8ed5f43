// The journal of named pools: the machine that decides what is asked of the store, in simulated time, and a store in
// which things go wrong. It outlives the head. Knows what is written, and checks that the head says nothing of a pool
// that is not.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "head/head_machine.hpp"
#include "ledger.hpp"
#include "plan.hpp"
#include "sim_store.hpp"
#include "store/journal_machine.hpp"

namespace dc::sim {

class Journal final : private SimStore::Reader {
 public:
  struct Head {
    std::function<void(Duration, World::Action)> later;  ///< in this life of it
    std::function<void(const std::vector<store::Journaled>&)> done;
  };
  Journal(World& world, Ledger& ledger, const Plan& plan)
      : world_(world), ledger_(ledger), plan_(plan), store_(world, plan, *this) {}

  /// A life of the head begins. A store that did not answer does so now: a head would wait for it.
  void begin(Head head);
  /// And ends: in order, and all is written if the store can; or not, and what is under way is written, or not.
  void end(bool in_order);

  void append(head::JournalAppend&& append);
  void remove(const head::JournalRemove& remove);
  void shorten(store::LogId log);

  [[nodiscard]] const std::map<store::LogId, std::vector<store::Entry>>& logs() const { return store_.all(); }
  /// What a head that starts reads.
  [[nodiscard]] head::JournalState read(store::LogId log) const;
  /// By what id the ledger knows the pool that a head knows by this one.
  [[nodiscard]] PoolId pool_of(PoolId id) const;

  // What goes wrong.
  void fill(Duration time);
  void hush(Duration time);
  void mend() { store_.mend(); }

  /// The head says this: it must be written.
  void check_told(const wire::Message& message) const;
  void check_handed(PoolId pool, JobSequence sequence) const;

 private:
  /// What was ever written of a pool.
  struct Written {
    std::set<JobSequence> jobs, outcomes, delivered;
    UpdateNumber updates = 0;
  };
  void go_on();
  void make_call();
  void wake();
  void tell_head();
  void written(store::LogId log, const store::Entry& entry) override;
  void removed(store::LogId log) override;
  void replaced(const std::vector<store::Entry>& before, const std::vector<store::Entry>& now) override;
  void stands_after_all(store::LogId log, const store::Entry& entry) override;
  void note_written(PoolId pool, const head::JournalEntry& entry);

  World& world_;
  Ledger& ledger_;
  const Plan& plan_;
  SimStore store_;
  std::map<PoolId, Written> written_;
  std::map<PoolId, PoolId> ids_;  ///< of named pools, see pool_of

  // Of this life of the head:
  Head head_;
  std::optional<store::JournalMachine> machine_;
  std::optional<store::StoreCall> call_;  ///< under way
  TimePoint armed_for_ = never;
  bool waking_ = false;
  std::set<store::LogId> long_;                            ///< to be shortened
  std::map<store::Ticket, std::vector<JobId>> under_way_;  ///< jobs
  std::set<JobId> refused_;                                ///< and those that were
};

}  // namespace dc::sim

// The store of named pools as it stands, whichever head writes it; and the check that no head says anything that is not
// written.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "head/head_machine.hpp"
#include "ledger.hpp"
#include "plan.hpp"
#include "sim_store.hpp"

namespace dc::sim {

class JournalRecord final : private SimServer::Reader {
 public:
  JournalRecord(World& world, Ledger& ledger, const Plan& plan)
      : world_(world), ledger_(ledger), plan_(plan), server_(world, plan, *this) {}

  [[nodiscard]] SimServer& server() { return server_; }
  [[nodiscard]] const std::map<store::LogId, SimServer::Entries>& logs() const { return server_.all(); }
  /// What a head that starts reads.
  [[nodiscard]] head::JournalState read(store::LogId log) const;
  /// By what id the ledger knows the pool that heads know by this one.
  [[nodiscard]] PoolId pool_of(PoolId id) const;
  /// A head has made this id for the pool of this log.
  void named(PoolId id, store::LogId log) { ids_[id] = PoolId{log}; }

  // What goes wrong.
  void fill(Duration time);
  void hush(Duration time);
  void mend() { server_.mend(); }

  /// A head says this: it must be written.
  void check_told(const wire::Message& message) const;
  void check_handed(PoolId pool, JobSequence sequence) const;

 private:
  /// What was ever written of a pool.
  struct Written {
    std::set<JobSequence> jobs, outcomes, delivered;
    UpdateNumber updates = 0;
  };
  void written(store::LogId log, const store::Entry& entry) override;
  void removed(store::LogId log) override;
  void erased(const SimServer::Entries& before, const SimServer::Entries& now) override;
  void note_written(PoolId pool, const head::JournalEntry& entry);

  World& world_;
  Ledger& ledger_;
  const Plan& plan_;
  SimServer server_;
  std::map<PoolId, Written> written_;
  std::map<PoolId, PoolId> ids_;  ///< of named pools, see pool_of
};

}  // namespace dc::sim

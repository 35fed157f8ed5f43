// The head: its machines with the service's habits, and the checks that need to look into them. Several share a store,
// where the plan says so: one is the head, and the others stand by.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "head/candidate_machine.hpp"
#include "head/head_machine.hpp"
#include "head/headship_machine.hpp"
#include "journal.hpp"
#include "network.hpp"
#include "plan.hpp"
#include "worker_process.hpp"

namespace dc::sim {

/// What was said to and by nodes and clients, whichever process was the head.
struct HeadsRecord {
  std::map<WorkerId, PoolId> pools_of;
  std::set<PoolId> resumed;                      ///< pools that were open before, at this head or an earlier one
  std::map<std::string, std::uint64_t> reports;  ///< of each host: how often it has said what it has
  int lives = 0;                                 ///< of heads
};

class HeadProcess : public Endpoint {
 public:
  /// The worker with this id, wherever it lives; null: there is none.
  using FindWorker = std::function<const WorkerProcess*(WorkerId)>;

  struct Cluster {
    HeadsRecord& heads;
    JournalRecord& journal;
    FindWorker find_worker;
  };
  /// `place`: among the heads.
  HeadProcess(World& world, Ledger& ledger, const Plan& plan, Cluster cluster, std::size_t place);

  /// `standby`: it waits for the store.
  void start(bool standby);
  /// It has its store before anybody can reach it.
  [[nodiscard]] bool listens() const override { return alive() && door_open_; }
  [[nodiscard]] bool admits() const override { return journal_.hold() == store::Hold::ours; }
  [[nodiscard]] std::uint64_t term() const override { return headship_->term(); }
  /// Peers are served here.
  [[nodiscard]] bool serves() const { return listens() && admits() && !headship_->over(); }
  /// Another head has taken the store, or this one could not have it: it ends by itself.
  [[nodiscard]] bool ended() const { return !alive() && ended_; }
  /// `in_order`: it says goodbye first.
  void stop(bool in_order);
  [[nodiscard]] const head::HeadMachine& machine() const { return *machine_; }
  [[nodiscard]] TimePoint started_at() const { return started_at_; }
  [[nodiscard]] Journal& journal() { return journal_; }

  void opened(const ConnectionPtr& connection) override;
  void received(const ConnectionPtr& connection, std::vector<wire::Message>&& messages) override;
  void closed(const ConnectionPtr& connection) override;

 private:
  // head_life.cpp
  void try_store(TimePoint asked);
  void has_store(std::uint64_t term);
  void find_pools();
  void has_read(store::LogId log);
  void open_door();
  bool is_head();
  void look_at_hold();
  void journal_moved();
  void take_done();
  void carry_out(head::HeadshipEffects& todo);
  void carry_out(const head::BreakOff& effect);
  void carry_out(const head::GoOn& effect);
  void carry_out(const head::LoseSession& effect);
  void carry_out(const head::RaiseTerm& effect) { journal_.raise_term(effect.above); }
  void carry_out(const head::StepDown& effect);

  void schedule_flush();
  void flush();
  void arm(TimePoint when);
  void carry_out(head::Send& effect, std::map<SessionId, std::vector<wire::Outgoing>>& sends);
  void carry_out(head::CloseSession& effect, std::map<SessionId, std::vector<wire::Outgoing>>& sends);
  void carry_out(head::JournalWrite& effect, std::map<SessionId, std::vector<wire::Outgoing>>& sends);
  void carry_out(head::JournalRemove& effect, std::map<SessionId, std::vector<wire::Outgoing>>&) {
    journal_.remove(effect);
  }
  void carry_out(head::JournalRead& effect, std::map<SessionId, std::vector<wire::Outgoing>>& sends);
  void carry_out(head::JournalRepair&, std::map<SessionId, std::vector<wire::Outgoing>>&) {}
  void carry_out(head::HashProgram& effect, std::map<SessionId, std::vector<wire::Outgoing>>&);
  void carry_out(head::Log&, std::map<SessionId, std::vector<wire::Outgoing>>&) {}
  void hear(const ConnectionPtr& connection, wire::Message&& message);
  void check_waste(const wire::StopWorker& stop);
  void note_said(const ConnectionPtr& connection, const wire::Message& message);
  void check_start(const wire::StartWorker& start, SessionId session) const;
  void check_skipped(const wire::StartWorker& start) const;
  void check_no_device(PoolId pool);
  void note_work(const wire::Message& message, SessionId session);
  void excuse_later(const std::string& host, Duration grace, bool restart = false);
  void note_back(const std::string& host, const wire::NodeState& state);
  void excuse_lost();
  void check_applied(const wire::UpdateApplied& message) const;
  void check_holder(const wire::Message& message, SessionId session);

  Ledger& ledger_;
  const Plan& plan_;
  const Cluster cluster_;
  const std::size_t place_;
  Journal journal_;
  std::optional<head::CandidateMachine> candidate_;
  std::optional<head::HeadshipMachine> headship_;
  std::optional<head::HeadMachine> machine_;
  head::Effects effects_;
  bool flush_scheduled_ = false, door_open_ = false, ended_ = false, reads_slowly_ = false;
  TimePoint armed_for_ = never, started_at_{};
  std::uint64_t turns_ = 0;
  std::map<SessionId, ConnectionPtr> sessions_;
  std::map<PoolId, SessionId> holders_;           ///< who has a named pool
  std::set<SessionId> left_;                      ///< that said goodbye
  std::map<SessionId, PeerIdentity> broken_off_;  ///< sessions of which the machine has not heard that they ended
  std::map<SessionId, std::map<std::uint32_t, SlotInfo>> slots_;  ///< as a node said last in its session
  std::set<PoolId> opened_;                                       ///< pools that this life of the head has opened
  std::set<PoolId> closed_;                                       ///< and closed on some node
  std::deque<TimePoint> wasted_;  ///< workers stopped before they were ready, in the last second
  struct Away {
    TimePoint lost_at;
    std::string host;
    std::uint64_t reports;
    bool restart;  ///< of the head: every other one that comes back gives it more time
  };
  std::set<std::string> back_;  ///< nodes that this life of the head has heard
  std::vector<Away> away_;      ///< nodes that lose their jobs to others unless they say before what they have
};

}  // namespace dc::sim

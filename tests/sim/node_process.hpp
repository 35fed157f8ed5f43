// A node daemon: the machines of node/ with a thin thread around them, and its workers.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ledger.hpp"
#include "node/death_book.hpp"
#include "node/effect_queue.hpp"
#include "node/node_machine.hpp"
#include "node/stop_machine.hpp"
#include "peer.hpp"
#include "plan.hpp"
#include "worker_process.hpp"

namespace dc::sim {

class NodeProcess : public Peer {
 public:
  NodeProcess(World& world, Ledger& ledger, Network& network, const Plan& plan, NodePlan facts);

  /// A new life with a new id.
  void start();
  /// The machine is switched off: the workers are gone with it.
  void crash();
  /// A signal comes to it. SIGTERM: what runs has its time.
  void signal(int number);
  /// Who stops a whole service sends SIGTERM to the node and to all its workers, in any order.
  void stop_service();
  /// A random worker is killed.
  void kill_worker();
  /// A random slot gets trouble, or has less memory free, or is well again. Sometimes its worker dies of it.
  void change_slot();
  void end_trouble();

  [[nodiscard]] const NodePlan& facts() const { return facts_; }
  [[nodiscard]] bool leaving() const { return alive() && (stop_.stopping() || stops_soon_); }
  [[nodiscard]] std::map<WorkerId, std::unique_ptr<WorkerProcess>>& workers() { return workers_; }
  [[nodiscard]] bool has_id(NodeId id) const { return alive() && id_ == id.value; }
  /// It keeps as many results of these as it may.
  [[nodiscard]] std::vector<PoolId> full_pools() const { return machine_->full_pools(); }
  /// Everything that the node would report now.
  [[nodiscard]] wire::NodeState state() const;

 private:
  void session_opened() override;
  void heard(std::vector<wire::Message>&& messages) override;
  void session_closed() override;
  void schedule_flush();
  void flush();
  void arm(TimePoint when);
  void send_gathered();
  void end(bool in_order);
  void take(node::StopMachine::Step step);
  void bury(const std::vector<node::DeathBook::Dead>& all);

  void carry_out(node::ToHead& effect);
  void carry_out(node::SpawnWorker& effect);
  void carry_out(node::ToWorker& effect);
  void carry_out(node::SignalWorker& effect);
  void carry_out(node::StoreProgram& effect);
  void carry_out(node::CheckProgram& effect);
  void carry_out(node::UseProgram& effect);
  static void carry_out(node::LookAtDevices&) {}  // the simulator changes slots itself
  void carry_out(node::Left& effect);
  void carry_out(node::RefuseHead& effect);

  WorkerConduct conduct_for(const PoolPlan& pool, std::uint32_t slot);
  void worker_readable(WorkerId id);
  void worker_hung_up(WorkerId id);
  void worker_ended(WorkerId id);

  Ledger& ledger_;
  const Plan& plan_;
  const NodePlan facts_;
  std::vector<SlotInfo> slots_;        ///< as they are now
  bool reported_ = false;              ///< in this session
  std::set<std::uint32_t> to_report_;  ///< slots that changed since
  void kill(WorkerProcess& worker);
  void report_slots();
  std::uint64_t id_ = 0;
  std::set<std::string> programs_;  ///< on disk: outlive the process
  std::optional<node::NodeMachine> machine_;
  node::StopMachine stop_;
  node::DeathBook deaths_;
  node::EffectQueue effects_;
  Duration drain_timeout_{};
  bool devices_watched_ = false;
  bool flush_scheduled_ = false;
  bool head_said_goodbye_ = false;  ///< in this session
  bool leaves_with_head_ = false;
  bool stops_soon_ = false;             ///< a signal is on its way
  std::set<WorkerId> stopped_with_us_;  ///< workers that got the SIGTERM of a whole service
  TimePoint armed_for_ = never;
  std::map<WorkerId, std::unique_ptr<WorkerProcess>> workers_;
  std::map<WorkerId, UpdateNumber> skips_;                 ///< of StartWorker
  std::map<WorkerId, std::vector<std::uint32_t>> places_;  ///< of StartWorker: its slot and the further ones
  std::vector<wire::Outgoing> to_head_;
  std::map<WorkerId, std::vector<wire::ToWorker>> to_workers_;
  int pids_ = 100;
};

}  // namespace dc::sim

// A worker process: its machine in virtual time, with a user's class that does what the plan says.
#pragma once

#include <csignal>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "ledger.hpp"
#include "node/worker_exit.hpp"
#include "wire/claims.hpp"
#include "wire/worker_messages.hpp"
#include "worker/worker_machine.hpp"
#include "world.hpp"

namespace dc::sim {

/// What the user's class and the machine do to this worker.
struct WorkerConduct {
  Duration construction{};
  bool constructor_raises = false, constructor_dies = false, constructor_hangs = false;
  Duration update{};  ///< that one update takes
  bool update_raises = false;
  bool ignores_sigterm = false;
  bool hangs_up = false;  ///< closes its channel when its first job begins, and lives on
};

class WorkerProcess {
 public:
  using Messages = std::vector<wire::FromWorker>;
  struct Facts {
    WorkerId id;
    PoolId pool;
    std::string host;
    UpdateNumber base = 0;  ///< updates that it need not see, if its pool keeps no history
  };
  /// What the node is told: something lies in the socket; the channel is closed; the process is gone.
  struct Signs {
    std::function<void()> readable, hung_up, ended;
  };
  WorkerProcess(World& world, Ledger& ledger, Facts facts, WorkerConduct conduct, Signs signs);
  ~WorkerProcess();

  const Facts facts;
  [[nodiscard]] wire::Claims* claims() { return claims_.get(); }
  [[nodiscard]] bool alive() const { return !end_; }
  [[nodiscard]] bool ready() const { return constructed_; }
  [[nodiscard]] UpdateNumber updates_applied() const { return applied_; }
  [[nodiscard]] const node::ProcessEnd& end() const { return *end_; }

  /// One packet of the node.
  void receive(std::vector<wire::ToWorker> packet);
  /// What the node finds in the socket.
  Messages take_sent() { return std::exchange(socket_, {}); }
  void signal(int number);

 private:
  enum class Activity { nothing, constructing, updating, running };
  void later(Duration delay, World::Action action);
  void go_on();
  bool read();
  void construct();
  void begin_update();
  void begin_job();
  void finish_job(std::uint64_t index, JobId sequence);
  void append(wire::FromWorker message, bool large = false);
  void flush();
  void blame();
  void die(node::ProcessEnd end);
  void check_updates_before(JobId sequence, const JobRecord& job);

  World& world_;
  Ledger& ledger_;
  const WorkerConduct conduct_;
  Signs signs_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
  std::unique_ptr<wire::Claims> claims_ = std::make_unique<wire::Claims>();
  std::optional<node::ProcessEnd> end_;

  std::deque<std::vector<wire::ToWorker>> inbox_;
  Messages socket_, outbox_;
  worker::WorkerMachine machine_;
  UpdateNumber applied_ = 0;
  Activity activity_ = Activity::nothing;
  JobId running_ = 0;
  std::vector<JobId> unsent_;  ///< jobs that have ended and whose answers are still here
  bool constructed_ = false;
};

}  // namespace dc::sim

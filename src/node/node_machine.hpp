// The node's decisions as a pure machine: what the head asks and what workers say come in, messages, packets and
// signals go out. It owns no process and no socket; the only memory it shares with a worker is the page of claims.
#pragma once

#include <sys/types.h>

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/job.hpp"
#include "gpu/device.hpp"
#include "node/device_book.hpp"
#include "node/kept_results.hpp"
#include "node/worker_exit.hpp"
#include "node/worker_output.hpp"
#include "wire/claims.hpp"
#include "wire/messages.hpp"
#include "wire/worker_messages.hpp"

namespace dc::node {

// --- Effects ----------------------------------------------------------------------------------------------------
struct ToHead {
  Boxed<wire::Message> message;
  wire::Lane lane = wire::control_lane;
};
struct SpawnWorker {
  WorkerId worker;
  std::uint32_t slot{};
  std::vector<std::uint32_t> more_slots;
  Boxed<PoolOptions> options;
  PoolId pool{};
  std::string pool_name;  ///< for the user's code: the name of a named pool, else its id, as `status` shows it
};
struct ToWorker {
  WorkerId worker;
  wire::ToWorker message;
};
/// To the worker's whole process group.
struct SignalWorker {
  WorkerId worker;
  int signal{};
};
struct StoreProgram {
  std::string hash;
  Payload program;
};
/// The cache has a program of this name from an earlier life: is it what the name says?
struct CheckProgram {
  std::string hash;
};
/// A worker is to be started: is the program in the cache, as it was? It counts as used.
struct UseProgram {
  WorkerId worker;
  std::string hash;
};
/// Something is awaited of a device: devices_seen() should be called soon.
struct LookAtDevices {};
/// The node has left in order: say goodbye and end.
struct Left {};
/// The head said what cannot be: its session is to be closed.
struct RefuseHead {
  std::string what;  ///< as the end of a sentence
};
using Effect = std::variant<ToHead, SpawnWorker, ToWorker, SignalWorker, StoreProgram, CheckProgram, UseProgram,
                            LookAtDevices, Left, RefuseHead>;
using Effects = std::vector<Effect>;

struct NodeFacts {
  std::string host;
  std::vector<SlotInfo> slots;
  std::set<std::string> programs;         ///< hashes of the executables in the cache
  std::vector<gpu::Device> devices = {};  ///< that the slots name, as they are before any worker
  KeptResults::Limits results = {};       ///< of each pool; smaller in tests
};

/// Call any number of the event functions, then flush() once per loop turn. All append to `out`.
class NodeMachine {
 public:
  explicit NodeMachine(NodeFacts facts) : facts_(std::move(facts)), devices_(facts_.devices) {}

  // The session with the head.
  void session_opened(TimePoint now, Effects& out);
  void session_closed();
  void on_messages(std::vector<wire::Message>&& messages, TimePoint now, Effects& out);

  // Workers. `claims` lives until worker_exited returns.
  void worker_spawned(WorkerId worker, pid_t pid, wire::Claims* claims, TimePoint now, Effects& out);
  /// Answers to UseProgram. Missing: it is no longer in the cache, or not as it was.
  void program_usable(WorkerId worker, TimePoint now, Effects& out);
  void program_missing(WorkerId worker, TimePoint now, Effects& out);
  void on_worker_messages(WorkerId worker, std::vector<wire::FromWorker>&& messages, TimePoint now, Effects& out);
  /// It closed its end of the channel: it is about to end, or will never answer again.
  void worker_hung_up(WorkerId worker, TimePoint now);
  /// The channel cannot be used any more; `why` says what happened to it.
  void channel_broke(WorkerId worker, std::string why, TimePoint now, Effects& out);
  /// The process is gone, or could not be started; everything that it sent has been handed in.
  void worker_exited(WorkerId worker, const ProcessEnd& end, Effects& out);
  void worker_printed(WorkerId worker, Printed printed, Effects& out);
  /// Answer to StoreProgram; `error` is a sentence, or empty.
  void program_stored(const std::string& hash, const std::string& error, TimePoint now, Effects& out);

  /// Answer to CheckProgram. One that is not sound is not in the cache any more.
  void program_checked(const std::string& hash, bool sound, TimePoint now, Effects& out);

  /// A look at the devices.
  void devices_seen(const gpu::Inventory& inventory, TimePoint now, Effects& out);
  [[nodiscard]] const DeviceBook& devices() const { return devices_; }
  /// Whether the worker was asked to end, or is not known.
  [[nodiscard]] bool ends(WorkerId worker) const {
    const auto found = workers_.find(worker);
    return found == workers_.end() || found->second.cause.has_value();
  }

  /// Nothing that the worker was given is without a result.
  [[nodiscard]] bool idle(WorkerId worker) const {
    const auto found = workers_.find(worker);
    return found != workers_.end() && found->second.given.empty() && found->second.waiting.empty();
  }
  /// It is not because of something that went wrong that the worker was asked to end.
  [[nodiscard]] bool asked_to_end(WorkerId worker) const {
    const auto found = workers_.find(worker);
    return found == workers_.end() || found->second.cause == ExitCause::requested ||
           found->second.cause == ExitCause::drained;
  }

  /// Pools of which the head was told that no more jobs should come, for the results that are kept.
  [[nodiscard]] std::vector<PoolId> full_pools() const {
    std::vector<PoolId> full;
    for (const auto& [id, pool] : pools_) {
      if (connected_ && pool.full_said) full.push_back(id);
    }
    return full;
  }

  /// The node shall end: what runs is finished first, until `deadline`.
  void leave(const std::string& reason, TimePoint deadline, Effects& out);

  void flush(TimePoint now, Effects& out);
  /// flush() wants to be called then, even if nothing happens before.
  [[nodiscard]] TimePoint next_deadline() const { return next_deadline_; }

 private:
  using Kept = KeptResults::Kept;
  struct Pool {
    explicit Pool(KeptResults::Limits limits) : results(limits) {}
    PoolOptions options;
    std::string name;  ///< of a named pool, else empty
    Payload spec;
    UpdateNumber first_update = 0;  ///< updates up to this one are not in the log
    bool keeps_updates = false;     ///< without history: for the first worker of the pool
    std::deque<Payload> updates;
    KeptResults results;     ///< until the head acknowledges them
    bool full_said = false;  ///< in this session: no more of its jobs are wanted
    bool active = true;      ///< the head knows the pool in this session
    /// Workers that ended while it was not: told behind the results, or the head would run finished jobs again.
    std::vector<wire::WorkerExited> exits;
    /// The first failure of each of the latest updates that failed, for the next session.
    std::map<UpdateNumber, wire::UpdatesApplied> failed_updates;
    [[nodiscard]] UpdateNumber last_update() const { return first_update + updates.size(); }
  };
  struct Given {
    Attempt attempt;
    std::uint64_t index{};
  };
  /// Results of one turn, and those that must wait.
  struct Batch {
    wire::JobsDone message;
    std::size_t bytes = 0;
    wire::JobsParked parked;
  };
  enum class Phase { waits_for_program, waits_for_disk, waits_for_device, spawning, constructing, ready };
  struct Worker {
    WorkerId id;
    PoolId pool;
    std::uint32_t slot{};
    std::vector<std::uint32_t> more_slots;
    DeviceBook::Uuids devices;  ///< of its slots
    Phase phase = Phase::spawning;
    pid_t pid = 0;
    wire::Claims* claims = nullptr;
    std::deque<Given> given;            ///< in the worker's hands
    std::deque<wire::RunItem> waiting;  ///< for an update, or for room in the claims
    /// Next job's index, and the first one whose entry in the claims the worker may still read.
    std::uint64_t next_index = 0, passed_index = 0;
    UpdateNumber skip_updates = 0, updates_sent = 0, updates_applied = 0;
    UpdateNumber update_cut_short = 0;  ///< by SIGTERM, and told as one that failed
    bool update_report = false;
    std::vector<wire::UpdatesApplied> update_errors;  ///< of this turn
    std::optional<ExitCause> cause;                   ///< decided before the process ended
    std::string cause_text;
    std::optional<ErrorInfo> init_error;
    std::optional<ProcessEnd> doubted;  ///< how it ended, while its program is looked at
    bool was_doubted = false;
    TimePoint init_deadline = never, terminate_at = never, kill_at = never, hung_up_at = never;
    TimePoint terminated_at = never;  ///< SIGTERM was sent
    bool stop_sent = false;
    bool closing = false;  ///< it was idle when it was told to end, and does so by itself
    Batch done;
  };
  using Workers = std::map<WorkerId, Worker>;
  /// A worker that is gone, as it was, and its end.
  struct Ended {
    WorkerReport report;
    wire::WorkerExited exit;
  };

  void on(wire::OpenPoolHere&& message, TimePoint now, Effects& out);
  void on(wire::ClosePoolHere&& message, TimePoint now, Effects& out);
  void on(wire::ActivatePool&& message, TimePoint now, Effects& out);
  void on(wire::PoolUpdate&& message, TimePoint now, Effects& out);
  void on(wire::StartWorker&& message, TimePoint now, Effects& out);
  void on(wire::StopWorker&& message, TimePoint now, Effects& out);
  void on(wire::RunJobs&& message, TimePoint now, Effects& out);
  void on(wire::RecallJobs&& message, TimePoint now, Effects& out);
  void on(wire::AckResults&& message, TimePoint now, Effects& out);
  void on(wire::ResultWindow&& message, TimePoint now, Effects& out);
  void on(wire::Program&& message, TimePoint now, Effects& out);
  template <class Other>
  void on(Other&&, TimePoint, Effects&) {}

  void on_worker(Worker& worker, wire::WorkerConstructed&& message, Effects& out);
  void on_worker(Worker& worker, wire::ConstructionFailed&& message, Effects& out);
  void on_worker(Worker& worker, wire::WorkerValue&& message, Effects& out);
  void on_worker(Worker& worker, wire::WorkerError&& message, Effects& out);
  void on_worker(Worker& worker, wire::UpdateDone&& message, Effects& out);

  // What cannot be, as the end of a sentence; empty: it can. node_contradictions.cpp
  [[nodiscard]] static std::string contradiction(const wire::OpenPoolHere& message);
  [[nodiscard]] static std::string contradiction(const wire::PoolUpdate& message);
  [[nodiscard]] std::string contradiction(const wire::StartWorker& message) const;
  [[nodiscard]] static std::string contradiction(const wire::RunJobs& message);
  template <class Other>
  [[nodiscard]] static std::string contradiction(const Other&) {
    return {};
  }
  [[nodiscard]] static std::string contradiction(const Worker& worker, const wire::WorkerConstructed& message);
  [[nodiscard]] static std::string contradiction(const Worker& worker, const wire::ConstructionFailed& message);
  [[nodiscard]] static std::string contradiction(const Worker& worker, const wire::WorkerValue& message);
  [[nodiscard]] static std::string contradiction(const Worker& worker, const wire::WorkerError& message);
  [[nodiscard]] static std::string contradiction(const Worker& worker, const wire::UpdateDone& message);

  Pool* find_pool(PoolId id);
  Worker* find_worker(WorkerId id);
  WorkerReport report_of(const Worker& worker) const;
  static UpdateNumber updates_to_say(const Pool& pool, const WorkerReport& report);
  static void keep_failure(Pool& pool, wire::UpdatesApplied failure);
  [[nodiscard]] UpdateNumber number_for_user(PoolId pool, UpdateNumber number) const;
  void keep_end(Pool& pool, WorkerReport report, wire::WorkerExited exit);
  void report_updates(wire::NodeState& state);
  void forget_ended_worker(const wire::StartWorker& successor);
  void send_failed_updates(const Pool& pool, Effects& out);
  void get_program(const std::string& hash, Effects& out);
  void begin_again(Worker& worker, const Pool& pool, TimePoint now, Effects& out);
  bool doubts_program(const Worker& worker, const ProcessEnd& end) const;
  void doubt_program(Worker& worker, const ProcessEnd& end, Effects& out);
  void spawn_if_possible(Worker& worker, const Pool& pool, TimePoint now, Effects& out);
  void spawn(Worker& worker, const Pool& pool, Effects& out);
  void send_updates(Worker& worker, const Pool& pool, Effects& out);
  void forget_updates(PoolId id, Pool& pool);
  void pump(Worker& worker, Effects& out);
  std::optional<Attempt> take_given(Worker& worker, std::uint64_t index);
  void finished(Worker& worker, std::uint64_t index, std::uint32_t run_time_us, Outcome outcome, Effects& out);
  void report_or_park(Batch& batch, PoolId id, Pool& pool, JobSequence sequence, Kept& kept, Effects& out);
  void report_result(Batch& batch, PoolId pool, const Attempt& attempt, const Kept& kept, Effects& out);
  void report_parked(PoolId id, Pool& pool, Effects& out);
  void say_full(PoolId id, Pool& pool, Effects& out);
  static void park(Batch& batch, PoolId pool, JobSequence sequence, const Kept& kept);
  void send_batch(Batch& batch, Effects& out);
  void send_reports(Worker& worker, Effects& out);
  void activate(PoolId id, Pool& pool, Effects& out);
  void send_exits(Pool& pool, Effects& out);
  void end_worker(Worker& worker, ExitCause cause, std::string text, TimePoint now, Effects& out);
  static void take_back_unstarted(Worker& worker);
  static bool is_idle(const Worker& worker);
  static bool was_cut_short(const Worker& worker, const wire::WorkerError& error);
  static void send_stop(Worker& worker, bool terminated, Effects& out);
  static bool lets_it_close(Worker& worker, Duration grace, TimePoint now, Effects& out);
  void stop_politely(Worker& worker, TimePoint now, Effects& out);
  void remove_unborn_workers(Effects& out);
  DeviceBook::Uuids devices_of(const Worker& worker) const;
  void watch_devices(TimePoint now, Effects& out);
  void end_on_lost_device(Worker& worker, const std::string& device, TimePoint now, Effects& out);
  void watch_end(Worker& worker, TimePoint now, Effects& out);
  void watch_limits(Worker& worker, TimePoint now, Effects& out);
  bool over_update_timeout(const Worker& worker, const Pool& pool, TimePoint now);
  void go_on_leaving(TimePoint now, Effects& out);
  void wake_at(TimePoint when) { next_deadline_ = std::min(next_deadline_, when); }
  void to_head(wire::Message message, wire::Lane lane, Effects& out) const;

  NodeFacts facts_;
  DeviceBook devices_;
  TimePoint look_at_{};  ///< no LookAtDevices before this
  bool connected_ = false;
  bool head_refused_ = false;  ///< nothing more is heard in this session
  std::map<PoolId, Pool> pools_;
  Workers workers_;
  std::vector<Ended> ended_;  ///< of whose updates the head may not have heard
  std::set<std::string> programs_asked_;
  std::set<std::string> programs_sound_, programs_in_check_;  ///< of facts_.programs: stored or checked in this life
  std::set<WorkerId> stopped_early_;  ///< StopWorker overtook their StartWorker, which travels behind the pool's class
  bool leaving_ = false, left_ = false;
  TimePoint leave_deadline_ = never, settle_deadline_ = never;
  TimePoint next_deadline_ = never;
};

}  // namespace dc::node

// What the scheduler remembers. One struct per noun; the functions that change them stand in jobs.cpp, workers.cpp,
// nodes.cpp, pools.cpp, updates.cpp, devices.cpp, sharing.cpp, room.cpp and nested.cpp.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/clock.hpp"
#include "core/job_table.hpp"
#include "scheduler/commands.hpp"
#include "scheduler/events.hpp"
#include "scheduler/scheduler.hpp"

namespace dc::scheduler {

struct Pool;
struct Node;
struct Slot;

enum class JobState : std::uint8_t { queued, assigned, done };

/// What became of a job that was given to a worker.
struct Progress {
  JobSequence sequence{};
  Token token;   ///< of the current or last attempt
  Token raised;  ///< of the attempt that raised last, if it is retried: a node that still keeps that result is late
  std::uint32_t attempts = 0;
  std::uint32_t charges = 0;        ///< workers that died or were killed because of it
  std::uint32_t begun = 0;          ///< attempts that had, or may have, begun and ended without an outcome
  std::uint32_t out_of_memory = 0;  ///< workers that the kernel ended for lack of memory while they ran it
  WorkerId worker;                  ///< assigned: who runs it; 0 while a finished result is on its way
  NodeId node;                      ///< assigned or done: where the result is kept; 0: nowhere
  Outcome outcome;                  ///< done: kept until acknowledged
};

/// Millions may be queued: what one that waits has no use for stands beside it.
struct Job {
  Payload arguments;
  std::unique_ptr<Progress> progress;  ///< null: queued, and no worker has had it
  UpdateNumber after_update : 61 = 0;
  JobState state : 3 = JobState::queued;
  /// Of the current or last attempt.
  [[nodiscard]] Token token() const { return progress ? progress->token : Token{}; }
};
static_assert(sizeof(Job) == 56, "there may be millions");
static_assert(limits::number_max < std::uint64_t{1} << 61, "Job::after_update");

/// Numbers of jobs, in an order that is theirs mostly.
class JobQueue {
 public:
  [[nodiscard]] bool empty() const { return runs_.empty(); }
  [[nodiscard]] JobSequence front() const { return runs_.front().first; }
  void push_back(JobSequence sequence) {
    if (!runs_.empty() && runs_.back().last + 1 == sequence)
      runs_.back().last = sequence;
    else
      runs_.push_back({sequence, sequence});
  }
  void push_front(JobSequence sequence) {
    if (!runs_.empty() && sequence + 1 == runs_.front().first)
      runs_.front().first = sequence;
    else
      runs_.push_front({sequence, sequence});
  }
  void pop_front() {
    if (runs_.front().first++ == runs_.front().last) runs_.pop_front();
  }
  [[nodiscard]] bool contains(JobSequence sequence) const {
    return std::any_of(runs_.begin(), runs_.end(),
                       [&](const Run& run) { return run.first <= sequence && sequence <= run.last; });
  }

 private:
  struct Run {
    JobSequence first, last;
  };
  std::deque<Run> runs_;
};

/// An attempt in a worker's hands.
struct Held {
  Attempt attempt;
  std::size_t bytes{};
};

struct Worker {
  WorkerId id;
  PoolId pool_id;
  Pool* pool = nullptr;  ///< null: a pool that this head does not know (yet)
  Node* node = nullptr;
  Slot* slot = nullptr;
  std::vector<Slot*> more_slots;  ///< further ones, when the pool's workers have several GPUs
  bool ours = false;              ///< started by this head: its slots are as we chose them
  bool ready = false;
  bool leaving = false;    ///< gives its slot up as soon as it holds nothing
  bool stopping = false;   ///< StopWorker was sent, WorkerExited is awaited
  bool recalling = false;  ///< a Recall is unanswered
  bool hungry = false;     ///< stands in pool->hungry
  bool full = false;       ///< its node keeps as many results of the pool as it may: no more jobs
  std::uint32_t pid{};
  std::deque<Held> held;
  std::size_t held_bytes = 0;
  UpdateNumber updates_applied{};
  TimePoint idle_since{};
  TimePoint last_progress{};
  /// How many slots it occupies.
  [[nodiscard]] std::uint32_t width() const { return 1 + static_cast<std::uint32_t>(more_slots.size()); }
};

struct SlotFailure {
  std::uint32_t count = 0;
  TimePoint retry_at{};
  bool set_aside = false;
};

struct Slot {
  SlotInfo info;
  Node* node = nullptr;
  std::unique_ptr<Worker> worker;  ///< whose own slot this is
  Worker* occupant = nullptr;      ///< `worker`, or one for which this is a further slot; null: the slot is empty
  std::map<PoolId, SlotFailure> failures;
  std::uint64_t jobs_done = 0;
};

/// What a node has of a pool.
struct NodePool {
  UpdateNumber updates{};  ///< 1..updates were sent to it
  /// Without history: up to this one they were sent by an earlier head, and the node need not have them any more.
  UpdateNumber perhaps_forgotten{};
  std::vector<Attempt> finished;  ///< reported results of a pool that this head does not know yet
  /// Jobs whose result, as the node said when it came, is on its way from it. Some may have come.
  std::unordered_set<JobSequence> on_way;
  TimePoint forget_at = never;  ///< pool unknown: close it then
  bool full = false;            ///< of results: its workers there get no jobs
  std::uint64_t landed = 0;     ///< bytes of results from here that the pool's client has not acknowledged
};

struct Node {
  NodeId id;
  std::string host;
  bool connected = true;
  bool leaving = false;
  TimePoint lost_at = never;  ///< disconnected: lost then
  std::vector<std::unique_ptr<Slot>> slots;
  std::map<PoolId, NodePool> pools;
};

/// What a node said of a job before the job was resubmitted to this head.
struct Claimed {
  Attempt attempt;
  NodeId node;
  WorkerId worker;  ///< 0: finished, the result waits on the node
};

/// The client of a pool runs in a job of a worker, or in what that has started.
struct Opener {
  WorkerId worker;                                         ///< of this cluster, or nobody's here
  std::uint32_t pid{};                                     ///< of the client
  bool constructing = false;                               ///< its class was being constructed when the client came
  std::optional<Attempt> job;                              ///< that ran then
  bool keeps_pool = false;                                 ///< a named pool goes on without its client
  bool results = false, workers = false, updates = false;  ///< what it waits for now, without a limit
  TimePoint stuck_since = never;
  [[nodiscard]] bool waits() const { return results || workers || updates; }
};

struct Pool {
  PoolId id;
  PoolOptions options;
  std::uint64_t opened_as = 0;  ///< rises from pool to pool
  std::optional<Opener> opener;
  bool resuming = false;
  bool earlier = false;               ///< older than this head: nothing of it is given out during the recovery hold
  std::uint32_t attempts_before = 0;  ///< opened again: numbers of attempts begin behind those of its earlier life
  JobTable<Job> jobs;
  JobQueue queue;  ///< entries of jobs that are no longer queued are skipped
  std::uint64_t queued = 0, assigned = 0, done = 0, rerun = 0;
  std::uint64_t argument_bytes = 0;  ///< of those queued and assigned
  std::uint64_t stranded = 0;        ///< bytes of results from nodes that are gone, until its client acknowledges them
  std::unordered_map<JobSequence, Claimed> claims;
  std::vector<Worker*> workers;
  std::vector<Worker*> hungry;  ///< ready workers that hold fewer jobs than they could
  std::uint32_t wanted = 0;
  std::optional<Duration> mean;  ///< of the run time, moving
  bool ever_ready = false, init_failed = false;
  bool had_worker = false;  ///< one was ready, at this head or an earlier one
  ErrorInfo init_error;
  /// The latest updates up to `updates`: all of them, or without history those that a worker may still lack.
  std::deque<Payload> log;
  std::uint64_t log_bytes = 0;
  bool acceptance_due = false;  ///< without history: its client waits until workers have applied some
  UpdateNumber updates = 0;     ///< 1..updates have arrived
  std::map<UpdateNumber, Payload> early;
  bool awaits_base = false;             ///< resumed without history: the first AddUpdate says which updates are no more
  UpdateNumber applied_everywhere = 0;  ///< as its client was told
  bool applied_dirty = false, changed = false, dirty = false;
  TimePoint recall_at{};           ///< no check for recalls before this
  bool ever_eligible = false;      ///< a device that suits it has been seen, and may come back
  TimePoint no_device_at = never;  ///< it ends then, unless such a device comes
  std::string waits_for,
      told_reason;            ///< why slots stand empty, as a sentence; the last reason that its client was told
  TimePoint tell_again_at{};  ///< and no other one before this
  /// Updates up to this one are not in the log.
  [[nodiscard]] UpdateNumber log_base() const { return updates - log.size(); }
  /// Without history too, updates wait for the first worker ever.
  [[nodiscard]] bool keeps_log() const;
};

/// One pool's part in a round of sharing.
struct Part {
  Pool* pool;
  std::uint32_t capacity = 0;  ///< slots of its workers, were all of them its own
  std::uint32_t target = 0;    ///< in slots
  std::uint32_t owned = 0;     ///< slots with a worker of the pool that is not on its way out
  [[nodiscard]] std::uint32_t step() const { return pool->options.gpus_per_worker; }
  [[nodiscard]] bool below_target() const { return owned + step() <= target; }
};

/// A round of sharing: decided from scratch each time.
struct Round {
  TimePoint now;
  std::vector<Slot*> slots;  ///< that can be given out, node by node
  std::vector<Part> parts;
  std::set<const Slot*> reserved;    ///< empty or vacating, and kept for a pool
  std::set<const Worker*> starting;  ///< were started in this round: nobody has been told so far
  Part* part_of(const Pool* pool);
};

/// Nothing of the user's runs there: neither a job nor an update. (What it has to construct does not count.)
inline bool is_idle(const Worker& worker) {
  return worker.held.empty() && (!worker.ready || !worker.pool || worker.updates_applied >= worker.pool->updates);
}

struct Scheduler::State {
  std::uint32_t epoch{};
  std::uint32_t next_worker = 1;
  /// The recovery hold counts from here: the door opened, or the latest node with something of earlier pools came.
  TimePoint heard_at{};
  bool hold_over = false;
  bool pools_awaited = false;  ///< see Scheduler::await_pools
  std::map<NodeId, std::unique_ptr<Node>> nodes;
  std::map<PoolId, std::unique_ptr<Pool>> pools;
  std::unordered_map<WorkerId, Worker*> workers;
  std::vector<PoolId> dirty;    ///< pools with something to dispatch
  std::vector<PoolId> changed;  ///< pools whose counts changed
  /// Pools closed in this life of the head, and how often: nodes that come back forget them at once.
  std::map<PoolId, std::uint32_t> closed;
  std::deque<PoolId> closed_order;  ///< the first is forgotten first
  std::uint64_t pools_opened = 0;
  bool nested_waits = false;  ///< there may be a pool whose client waits in a job
  TimePoint nested_look_at{};
  bool sharing_dirty = false;
  std::uint64_t slots_total = 0;  ///< of all nodes
  TimePoint shared_at{};
  TimePoint wake = never;  ///< flush() looks at all deadlines when this is past
  TimePoint last_call{};

  // lookups.cpp: `find_x` may be null
  Node* find_node(NodeId id);
  Pool* find_pool(PoolId id);
  Worker* find_worker(WorkerId id);
  static Job* find_job(Pool& pool, JobSequence sequence);
  static Slot* find_slot(Node& node, std::uint32_t number);
  void wake_at(TimePoint when) { wake = std::min(wake, when); }
  void touch(Pool& pool);        ///< something to dispatch
  void note_change(Pool& pool);  ///< pool_status() shows something new
  void note_change_everywhere();
  void thaw(TimePoint now);  ///< the head itself was frozen: move all deadlines
  /// Nodes may be on their way that run jobs of this pool.
  [[nodiscard]] bool held_back(const Pool& pool, TimePoint now) const {
    return pool.resuming || (pool.earlier && !hold_over && now < hold_until());
  }
  [[nodiscard]] TimePoint hold_until() const { return heard_at + limits::recovery_hold; }
  void node_was_heard(TimePoint now);

  // jobs.cpp
  void submit(Pool& pool, SubmittedJob&& submitted, TimePoint now);
  static void count_begun(Pool& pool, const std::vector<JobSequence>& sequences);
  void requeue(Pool& pool, std::vector<JobSequence> sequences);
  void finish(Pool& pool, Job& job, Outcome&& outcome, NodeId node, Commands& out);
  static Progress& progress_of(const Pool& pool, JobSequence sequence, Job& job);
  void adopt(Pool& pool, Job& job, const Claimed& claimed);
  void forget(Pool& pool, JobSequence sequence, Commands& out);
  void count_landed(const Pool& pool, const Progress& done);
  void take_landed(Pool& pool, const Progress& done, Commands& out);
  /// True when this attempt is the job's current one and it is assigned.
  static Job* current(Pool& pool, const Attempt& attempt);
  static void not_awaited(Pool& pool, NodeId node, const Attempt& attempt, Commands& out);
  void dispatch(Pool& pool, TimePoint now, Commands& out);
  void hand_over(Pool& pool, Worker& worker, std::size_t depth, TimePoint now, Commands& out);
  Job* next_queued(Pool& pool);
  void recall_unfair(Pool& pool, TimePoint now, Commands& out);

  // contradictions.cpp: what is wrong with a report, as the end of a sentence; empty: nothing
  [[nodiscard]] std::string foreign(WorkerId worker, NodeId node) const;
  [[nodiscard]] std::string wrong_in(const JobFinished& event, const Worker* worker, const Job* job) const;
  [[nodiscard]] std::string wrong_in(const WorkerExited& event) const;
  [[nodiscard]] std::string wrong_in(const JobsRecalled& event) const;
  [[nodiscard]] std::string wrong_in(const UpdatesApplied& event) const;
  [[nodiscard]] std::string wrong_claim(PoolId pool, const Attempt& attempt, NodeId node) const;
  [[nodiscard]] bool may_exist(WorkerId worker) const;

  // workers.cpp
  Worker& add_worker(const std::vector<Slot*>& slots, WorkerId id, PoolId pool_id, Pool* pool);
  Worker& start_worker(const std::vector<Slot*>& slots, Pool& pool, Commands& out);
  void take_start_back(Worker& worker, Commands& out);
  void stop_worker(Worker& worker, Commands& out);
  void make_leave(Worker& worker, Commands& out);
  void remove_worker(Worker& worker);
  static void forget_claim(Pool& pool, const Worker& worker, const Attempt& attempt);
  void became_hungry(Worker& worker);
  static bool usable(const Worker& worker);
  void release(Worker& worker, const Attempt& attempt, TimePoint now, Commands& out);
  void charge(Pool& pool, Job& job, const WorkerExited& event, std::vector<JobSequence>& again, Commands& out);
  void construction_failed(Slot& slot, Pool& pool, const WorkerExited& event, TimePoint now, Commands& out);
  void fail_if_hopeless(Pool& pool, Commands& out);
  void fail_hopeless_pools(Commands& out);

  // nodes.cpp
  void lose_node(Node& node, Commands& out);
  void take_over_worker(Node& node, const WorkerReport& report, TimePoint now, Commands& out);
  void sync_held(Worker& worker, const WorkerReport& report, const std::vector<Attempt>& finished);
  void claim(Pool& pool, const Claimed& claimed, Commands& out);
  static void update_slots(Node& node, const std::vector<SlotInfo>& slots);
  void join_pools(Node& node, std::vector<NodeJoined::HeldPool>& reported, TimePoint now, Commands& out);
  void drop_stranded_jobs(Node& node, const NodeJoined& event);
  void lose_results(Pool& pool, const Node& node, NodePool& has, const std::set<Attempt>& kept);
  void forget_on_way(const Progress& progress, PoolId pool);
  void adopt_reported(Pool& pool, Commands& out);
  void activate_on_nodes(Pool& pool, Commands& out);

  // updates.cpp
  void open_on(Node& node, Pool& pool, Commands& out);
  void send_updates(Node& node, Pool& pool, Commands& out);
  void check_applied(Pool& pool, TimePoint now, Commands& out);
  static void forget_applied(Pool& pool, Commands& out);
  static void accept_updates(Pool& pool, Commands& out);
  void stop_outdated(Node& node, Pool& pool, Commands& out);

  // devices.cpp
  void watch_devices(TimePoint now, Commands& out);
  bool lacks_device(Pool& pool, TimePoint now);
  std::string inventory() const;
  void tell_why_slots_wait(Pool& pool, TimePoint now, Commands& out);

  // sharing.cpp
  TimePoint share_at() const;
  std::uint32_t demand(const Pool& pool, TimePoint now) const;
  std::vector<Part> parts_of(const std::vector<Slot*>& slots, TimePoint now);
  void give_free_slots(Round& round, bool beyond_target, Commands& out);
  void share_slots(TimePoint now, Commands& out);

  // room.cpp
  void make_room(Part& needy, Round& round, Commands& out);

  // nested.cpp
  void keep_who_waits();
  void watch_nested(TimePoint now, Commands& out);

  // pools.cpp
  void close_pool(Pool& pool, Commands& out);
  void expire(TimePoint now, Commands& out);
};

}  // namespace dc::scheduler

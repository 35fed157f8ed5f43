// Every message of the session protocol, spelled once. docs/protocol.md describes the same list; a test compares them.
//
// A message is the MessagePack array [type, [field, field, ...]] with the fields in the order of DC_MESSAGE.
// A payload of more than limits::inline_payload_max bytes stands outside its message (see framing.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"
#include "wire/adaptors.hpp"
#include "wire/message.hpp"

namespace dc::wire {

// --- Handshake --------------------------------------------------------------------------------------------------

/// First message of every session.
struct Hello {
  std::uint32_t protocol{};  ///< limits::protocol_version
  std::string version;       ///< product version, for people
  Role role{};
  std::uint64_t peer{};  ///< NodeId or ClientId; 0 for a viewer
  std::string host;
  std::uint32_t pid{};
  std::string proof;       ///< SCRAM client-first-message
  std::uint64_t term = 0;  ///< the highest that a head has told (see Welcome)
  DC_MESSAGE(1, Hello, all_to_head, protocol, version, role, peer, host, pid, proof, term)
};
/// The middle steps of the password proof.
struct Proof {
  std::string proof;
  DC_MESSAGE(2, Proof, all_to_head | head_to_all, proof)
};
/// The session is open. `proof` is the head's own proof that it knows the password. `term`: rises with
/// every head that takes the store which they share; 0: no other head can take this one's place. A peer that has seen a
/// higher term does not believe this head, which raises its own above that when it still has the store.
struct Welcome {
  std::string version;
  std::uint32_t epoch{};  ///< this life of the head
  std::uint32_t pid{};
  std::string host;
  std::uint64_t payload_bytes_max{};
  std::string proof;
  std::uint64_t term = 0;
  DC_MESSAGE(3, Welcome, head_to_all, version, epoch, pid, host, payload_bytes_max, proof, term)
};
/// Refused for good; trying again does not help. `reason`: "version", "password", "role", "busy".
struct Rejected {
  std::string reason;
  std::string message;  ///< a whole sentence for the user
  DC_MESSAGE(4, Rejected, head_to_all, reason, message)
};
/// The sender ends the session on purpose and does not come back. From a client: its pools close at
/// once. From a node: its workers are gone. From the head: it is shutting down, try again later.
struct Goodbye {
  std::string message;
  DC_MESSAGE(5, Goodbye, all_to_head | head_to_all, message)
};

// --- Client -> head ---------------------------------------------------------------------------------------------

/// Opens a pool. Without a name it ends with its client, and `pool` is its id. One with a name outlives its client: its
/// head keeps in a journal what it accepts, and gives it its id. If there is one of this name, the client goes on with
/// it: then the class, init data and options of its first opening stay, and those in the message are not used.
/// `resumed`: a pool without a name, open at an earlier head (see PoolKnown); its updates, its outstanding jobs and
/// PoolResumed follow. `attach_only`: it must exist. `steal`: take it from the client that has it. `process`: names the
/// client's process, see core/process_name.hpp. Answers, all with the `pool` of this message: NeedProgram (a new C++
/// pool whose executable the head lacks) or PoolHeld (its client is away and may come back), then PoolOpened |
/// PoolFailed.
struct OpenPool {
  PoolId pool;
  PoolOptions options;
  bool resumed = false;
  Payload spec;  ///< class and init data; read by the workers alone
  std::string pool_name = {};
  bool attach_only = false;
  bool steal = false;
  std::string process = {};
  DC_MESSAGE(10, OpenPool, client_to_head, pool, options, resumed, spec, pool_name, attach_only, steal, process)
};
/// Answers NeedProgram; H -> N too: the executable of C++ pools, by content hash.
struct Program {
  std::string hash;
  Payload program;
  DC_MESSAGE(11, Program, client_to_head | head_to_node, hash, program)
};
/// The client is back after a broken connection. `outstanding`: jobs that it keeps, because the head may lack them: of
/// a pool without a name those without an outcome so far, of one with a name those that were neither accepted nor
/// refused. The rest is of pools with a name alone. `first_own`: its jobs begin with this number. `received`: outcomes
/// that it has and whose acknowledgement was not confirmed; all others that are not delivered come again. `more`: so
/// many that another one follows, with the next of them; the last one is answered. Its credit (WantOutcomes) begins at
/// 0 again. Answer: PoolKnown | PoolFailed.
struct ResumePool {
  PoolId pool;
  std::vector<JobSequence> outstanding;
  std::string pool_name = {};
  JobSequence first_own{};
  std::vector<JobSequence> received = {};
  bool more = false;
  DC_MESSAGE(12, ResumePool, client_to_head, pool, outstanding, pool_name, first_own, received, more)
};
/// All that OpenPool{resumed} or PoolKnown asked for has been sent.
struct PoolResumed {
  PoolId pool;
  DC_MESSAGE(13, PoolResumed, client_to_head, pool)
};
struct SubmitJobs {
  PoolId pool;
  std::vector<SubmittedJob> jobs;
  DC_MESSAGE(14, SubmitJobs, client_to_head, pool, jobs)
};
/// Answer: UpdateAccepted, and UpdateApplied later. Without history the first one after ResumePool has no payload: so
/// many updates were applied everywhere, and their bytes are no more.
struct AddUpdate {
  PoolId pool;
  UpdateNumber number{};
  Payload payload;
  DC_MESSAGE(15, AddUpdate, client_to_head, pool, number, payload)
};
struct AckOutcomes {
  PoolId pool;
  std::vector<JobSequence> sequences;
  DC_MESSAGE(16, AckOutcomes, client_to_head, pool, sequences)
};
struct WantWorkers {
  PoolId pool;
  std::uint32_t count{};
  DC_MESSAGE(17, WantWorkers, client_to_head, pool, count)
};
/// Ends the pool. `leave`: only this client's part in it; one with a name goes on. `pool_name`: of one that this client
/// has asked for by this `pool`, and that is not open so far. Answer: PoolClosed.
struct ClosePool {
  PoolId pool;
  bool leave = false;
  std::string pool_name = {};
  DC_MESSAGE(18, ClosePool, client_to_head, pool, leave, pool_name)
};
/// So many more outcomes of jobs that earlier clients submitted may be sent: as they come, or in the order of
/// submission. Outcomes of the client's own jobs are sent unasked.
struct WantOutcomes {
  PoolId pool;
  std::uint32_t count{};
  bool in_order = false;
  DC_MESSAGE(22, WantOutcomes, client_to_head, pool, count, in_order)
};

/// Answer to PoolHeld: the process of that client is gone, and will not come back for the pool.
struct HolderGone {
  PoolId pool;
  ClientId holder;
  DC_MESSAGE(23, HolderGone, client_to_head, pool, holder)
};
/// Cut the journal of the named pool that was refused because it is broken, and take the pool up again. Answer:
/// PoolRepaired | PoolFailed with the `pool` of this message, which is none of the head's. `pool_name`: or the id of
/// its journal, where the name cannot be read.
struct RepairPool {
  PoolId pool;
  std::string pool_name;
  DC_MESSAGE(24, RepairPool, client_to_head, pool, pool_name)
};
/// The client runs in a job of this worker, or in what the job has started. Sent when it has the pool, and
/// whenever it changes for what its threads wait without a limit: for results, for workers, until updates are applied.
struct PoolWaits {
  PoolId pool;
  WorkerId worker;
  bool results = false;
  bool workers = false;
  bool updates = false;
  DC_MESSAGE(25, PoolWaits, client_to_head, pool, worker, results, workers, updates)
};

// --- Head -> client ---------------------------------------------------------------------------------------------

/// The client has the pool, whose id is `id` in all that follows. `options` are those of its first opening; new jobs
/// are numbered from `last_sequence` + 1, updates from `updates` + 1. `remaining`: jobs of earlier clients whose
/// outcome nobody has so far, see WantOutcomes.
struct PoolOpened {
  PoolId pool;
  PoolId id;
  PoolOptions options = {};
  JobSequence last_sequence{};
  UpdateNumber updates{};
  std::uint64_t remaining{};
  bool existed = false;  ///< its class and init data are those of another client
  DC_MESSAGE(30, PoolOpened, head_to_client, pool, id, options, last_sequence, updates, remaining, existed)
};
/// Send the executable with this hash.
struct NeedProgram {
  std::string hash;
  DC_MESSAGE(31, NeedProgram, head_to_client | node_to_head, hash)
};
/// Answer to ResumePool. Known: send the updates after `updates`, the `missing` jobs and PoolResumed. Not known: one
/// with a name is over; the others send OpenPool{resumed}, all updates, all outstanding jobs and PoolResumed, because
/// the head was restarted. The rest is of pools with a name alone. No job after `last_sequence` is in the journal;
/// `earlier` are those before first_own whose outcome nobody has, as first, last, first, last, ... What the client
/// misses there was accepted, and is lost with the journal's last entries. `more`: another one follows with the next of
/// `earlier`; all else stands in the last one.
struct PoolKnown {
  PoolId pool;
  bool known = false;
  UpdateNumber updates{};
  std::vector<JobSequence> missing = {};
  JobSequence last_sequence{};
  std::vector<JobSequence> earlier = {};
  bool more = false;
  DC_MESSAGE(32, PoolKnown, head_to_client, pool, known, updates, missing, last_sequence, earlier, more)
};
struct ValueItem {
  JobSequence sequence{};
  Payload value;
  MSGPACK_DEFINE(sequence, value)
};
struct JobValues {
  PoolId pool;
  std::vector<ValueItem> items;
  DC_MESSAGE(33, JobValues, head_to_client, pool, items)
};
struct JobError {
  PoolId pool;
  JobSequence sequence{};
  ErrorInfo error;
  Payload exception;  ///< pickled, or empty
  DC_MESSAGE(34, JobError, head_to_client, pool, sequence, error, exception)
};
struct UpdateAccepted {
  PoolId pool;
  UpdateNumber number{};
  DC_MESSAGE(35, UpdateAccepted, head_to_client, pool, number)
};
struct UpdateApplied {
  PoolId pool;
  UpdateNumber number{};
  DC_MESSAGE(36, UpdateApplied, head_to_client, pool, number)
};
struct UpdateFailed {
  PoolId pool;
  UpdateNumber number{};
  ErrorInfo error;    ///< what handle_update raised, or how the worker ended in it
  Payload exception;  ///< pickled, or empty
  DC_MESSAGE(37, UpdateFailed, head_to_client, pool, number, error, exception)
};
/// The pool is over; every outstanding job ends with this error.
struct PoolFailed {
  PoolId pool;
  ErrorInfo error;
  DC_MESSAGE(38, PoolFailed, head_to_client, pool, error)
};
struct PoolClosed {
  PoolId pool;
  DC_MESSAGE(39, PoolClosed, head_to_client, pool)
};
/// Sent when a count changes.
struct PoolState {
  PoolId pool;
  std::uint32_t workers{};  ///< constructed
  std::uint32_t starting{};
  std::uint32_t nodes{};
  std::uint32_t slots{};
  std::uint32_t eligible{};
  DC_MESSAGE(40, PoolState, head_to_client, pool, workers, starting, nodes, slots, eligible)
};
/// A line for the user's stderr.
struct Notice {
  PoolId pool;
  std::string text;
  DC_MESSAGE(41, Notice, head_to_client, pool, text)
};
/// Lines that a worker printed (only with PoolOptions::forward_output). `left_out`: so many more of
/// this stream are not shown, because there were too many.
struct OutputLines {
  PoolId pool;
  std::string host;
  std::uint32_t slot{};
  std::vector<std::string> lines;
  OutputStream stream = OutputStream::out;
  std::uint64_t left_out = 0;
  DC_MESSAGE(42, OutputLines, node_to_head | head_to_client, pool, host, slot, lines, stream, left_out)
};
/// These jobs of a named pool are in the journal: the client need not keep them. An outcome never comes before this.
struct JobsAccepted {
  PoolId pool;
  std::vector<JobSequence> sequences;
  DC_MESSAGE(45, JobsAccepted, head_to_client, pool, sequences)
};
/// These are not, and never will be: each ends with this error (kind not_stored).
struct JobsRefused {
  PoolId pool;
  std::vector<JobSequence> sequences;
  ErrorInfo error;
  DC_MESSAGE(46, JobsRefused, head_to_client, pool, sequences, error)
};
/// AckOutcomes of these is in the journal: they will not be delivered again.
struct AcksKept {
  PoolId pool;
  std::vector<JobSequence> sequences;
  DC_MESSAGE(47, AcksKept, head_to_client, pool, sequences)
};
/// All these jobs end with this error (a pool that broke).
struct JobErrors {
  PoolId pool;
  std::vector<JobSequence> sequences;
  ErrorInfo error;
  DC_MESSAGE(49, JobErrors, head_to_client, pool, sequences, error)
};

/// The named pool is that of another client, which has lost its connection: it has so many milliseconds to come back.
/// Then the one that waits gets the pool (or PoolFailed, if the other came back).
struct PoolHeld {
  PoolId pool;
  ClientId holder;
  std::string host;
  std::uint32_t pid{};
  std::string process;
  std::uint32_t patience_ms{};
  DC_MESSAGE(61, PoolHeld, head_to_client, pool, holder, host, pid, process, patience_ms)
};
/// The pool can be opened again, unless nothing of its journal could be kept: then `removed`. `jobs_lost`: that
/// were accepted and are gone; `or_more`: what could not be read may have held more of them. `jobs_again`: that had
/// ended, and run again.
struct PoolRepaired {
  PoolId pool;
  std::uint64_t jobs_lost{};
  std::uint64_t jobs_again{};
  bool removed = false;
  bool or_more = false;
  DC_MESSAGE(62, PoolRepaired, head_to_client, pool, jobs_lost, jobs_again, removed, or_more)
};

// --- Node -> head -----------------------------------------------------------------------------------------------

/// A pool of which the node keeps very many results stands in several of these, one behind the other.
struct HeldPool {
  PoolId pool;
  UpdateNumber updates{};
  std::vector<Attempt> finished;
  MSGPACK_DEFINE(pool, updates, finished)
};
/// First message after Welcome: everything that the node has. What is not in it, it does not have.
struct NodeState {
  std::vector<SlotInfo> slots;
  std::vector<HeldPool> pools;
  std::vector<WorkerReport> workers;
  std::vector<std::string> programs;  ///< hashes of the executables in the node's cache
  DC_MESSAGE(50, NodeState, node_to_head, slots, pools, workers, programs)
};
struct WorkerReady {
  WorkerId worker;
  std::uint32_t pid{};
  DC_MESSAGE(51, WorkerReady, node_to_head, worker, pid)
};
struct WorkerExited {
  WorkerId worker;
  ExitCause cause{};
  ErrorInfo error;
  std::vector<Attempt> running;  ///< started and not finished: none or one
  std::vector<Attempt> unstarted;
  UpdateNumber updating{};  ///< the update in whose handle_update it ended; 0: none
  DC_MESSAGE(52, WorkerExited, node_to_head, worker, cause, error, running, unstarted, updating)
};
struct FinishedItem {
  Attempt attempt;
  std::uint32_t run_time_us{};
  Payload value;
  MSGPACK_DEFINE(attempt, run_time_us, value)
};
struct JobsDone {
  WorkerId worker;
  PoolId pool;
  std::vector<FinishedItem> items;
  DC_MESSAGE(53, JobsDone, node_to_head, worker, pool, items)
};
struct JobFailed {
  WorkerId worker;
  PoolId pool;
  Attempt attempt;
  std::uint32_t run_time_us{};
  ErrorInfo error;
  Payload exception;
  DC_MESSAGE(54, JobFailed, node_to_head, worker, pool, attempt, run_time_us, error, exception)
};
/// Answer to RecallJobs.
struct JobsRecalled {
  WorkerId worker;
  std::vector<Attempt> attempts;
  DC_MESSAGE(55, JobsRecalled, node_to_head, worker, attempts)
};
struct UpdatesApplied {
  WorkerId worker;
  UpdateNumber number{};
  bool failed = false;  ///< handle_update raised on this one: `error` tells what
  ErrorInfo error = {};
  Payload exception = {};  ///< pickled and small, or empty
  DC_MESSAGE(56, UpdatesApplied, node_to_head, worker, number, failed, error, exception)
};
/// No new jobs, please: the node finishes what runs and then says Goodbye.
struct NodeLeaving {
  std::string reason;
  DC_MESSAGE(57, NodeLeaving, node_to_head, reason)
};
/// These slots are not what they were: memory became free or was taken, a device was lost or is back.
struct SlotsChanged {
  std::vector<SlotInfo> slots;
  DC_MESSAGE(58, SlotsChanged, node_to_head, slots)
};

struct ParkedItem {
  Attempt attempt;
  std::uint64_t bytes{};  ///< larger than the window: it asks for its turn; 0: it waits for room
  MSGPACK_DEFINE(attempt, bytes)
};
/// These attempts have ended, and the worker has done with them. Their results wait at the node until the pool's window
/// (ResultWindow) has room for them, or for their turn.
struct JobsParked {
  WorkerId worker;
  PoolId pool;
  std::vector<ParkedItem> items;
  DC_MESSAGE(59, JobsParked, node_to_head, worker, pool, items)
};
/// Sent when it changes: the node keeps as many results of the pool as it may. It is given no more jobs of it, and
/// those that are not started are recalled, until some are delivered.
struct ResultsFull {
  PoolId pool;
  bool full = false;
  DC_MESSAGE(60, ResultsFull, node_to_head, pool, full)
};

// --- Head -> node -----------------------------------------------------------------------------------------------

/// For a C++ pool whose hash is not among the node's programs, Program is sent first.
struct OpenPoolHere {
  PoolId pool;
  PoolOptions options;
  Payload spec;
  std::string pool_name = {};  ///< of a named pool, else empty
  DC_MESSAGE(70, OpenPoolHere, head_to_node, pool, options, spec, pool_name)
};
struct ClosePoolHere {
  PoolId pool;
  DC_MESSAGE(71, ClosePoolHere, head_to_node, pool)
};
/// The head has the pool's jobs again: the node may send what it has finished of it since the connection broke.
struct ActivatePool {
  PoolId pool;
  DC_MESSAGE(72, ActivatePool, head_to_node, pool)
};
/// `keep`: in a pool without history too, this and those before it are kept for the first worker, until one comes that
/// need not be.
struct PoolUpdate {
  PoolId pool;
  UpdateNumber number{};
  Payload payload;
  bool keep = false;
  DC_MESSAGE(73, PoolUpdate, head_to_node, pool, number, payload, keep)
};
struct StartWorker {
  WorkerId worker;
  PoolId pool;
  std::uint32_t slot{};
  UpdateNumber skip_updates{};                 ///< updates up to this one are not replayed
  std::vector<std::uint32_t> more_slots = {};  ///< the further slots of a worker of several GPUs
  DC_MESSAGE(74, StartWorker, head_to_node, worker, pool, slot, skip_updates, more_slots)
};
struct StopWorker {
  WorkerId worker;
  DC_MESSAGE(75, StopWorker, head_to_node, worker)
};
struct RunItem {
  Attempt attempt;
  UpdateNumber after_update{};
  Payload arguments;
  std::shared_ptr<JobLabel> label = {};  ///< or nothing, as for most jobs: the first try, without a key
  MSGPACK_DEFINE(attempt, after_update, arguments, label)
};
struct RunJobs {
  WorkerId worker;
  std::vector<RunItem> items;
  DC_MESSAGE(76, RunJobs, head_to_node, worker, items)
};
struct RecallJobs {
  WorkerId worker;
  std::uint32_t count{};
  DC_MESSAGE(77, RecallJobs, head_to_node, worker, count)
};
struct AckResults {
  PoolId pool;
  std::vector<Attempt> attempts;
  DC_MESSAGE(78, AckResults, head_to_node, pool, attempts)
};

/// Results of the pool of so many bytes in all (core/result_cost.hpp) may be under way from this node: sent, and not
/// acknowledged by AckResults. Before the first one it is limits::result_window_min. `turn`: and beside them this one,
/// which was larger than the window; none or one.
struct ResultWindow {
  PoolId pool;
  std::uint64_t bytes{};
  std::vector<Attempt> turn;
  DC_MESSAGE(79, ResultWindow, head_to_node, pool, bytes, turn)
};

// --- Viewer -----------------------------------------------------------------------------------------------------

/// Answer: StatusReply, when the answer before it has been written: one is under way at a time.
struct StatusRequest {
  std::uint32_t unused{};
  DC_MESSAGE(90, StatusRequest, viewer_to_head, unused)
};
struct StatusReply {
  Payload json;  ///< as documented for `distributed-computing status --json`
  DC_MESSAGE(91, StatusReply, head_to_viewer, json)
};

/// What nobody has taken so far of the outcomes of a named pool, behind job `after`: as much as one answer
/// holds. Nothing is taken by it. Answer: OutcomesSeen.
struct SeeOutcomes {
  std::string pool_name;
  JobSequence after{};
  DC_MESSAGE(92, SeeOutcomes, viewer_to_head, pool_name, after)
};
struct SeenOutcome {
  JobSequence sequence{};
  bool failed = false;
  ErrorInfo error;  ///< failed
  Payload payload;  ///< the value, or the pickled exception
  MSGPACK_DEFINE(sequence, failed, error, payload)
};
/// `known`: there is such a pool. `last`: all outcomes up to this job were seen; `more`: and there are others.
struct OutcomesSeen {
  bool known = false;
  std::vector<SeenOutcome> items;
  JobSequence last{};
  bool more = false;
  DC_MESSAGE(93, OutcomesSeen, head_to_viewer, known, items, last, more)
};

/// What the script of a named pool defines: the first `spec_bytes` of the spec, where `after` is 0, and updates
/// that begin with dc::definitions_mark, without the first `after` of them; as many as one answer holds. Answer:
/// DefinitionsSeen.
struct SeeDefinitions {
  std::string pool_name;
  std::uint64_t spec_bytes{};
  std::uint64_t after{};
  DC_MESSAGE(94, SeeDefinitions, viewer_to_head, pool_name, spec_bytes, after)
};
/// `known`: there is such a pool. `more`: there are other updates behind these.
struct DefinitionsSeen {
  bool known = false;
  Payload spec;
  std::vector<Payload> updates;
  bool more = false;
  DC_MESSAGE(95, DefinitionsSeen, head_to_viewer, known, spec, updates, more)
};

using Message =
    std::variant<Hello, Proof, Welcome, Rejected, Goodbye,                                                 // handshake
                 OpenPool, Program, ResumePool, PoolResumed, SubmitJobs, AddUpdate, AckOutcomes,           // C -> H
                 WantWorkers, ClosePool, WantOutcomes,                                                     //
                 HolderGone, RepairPool, PoolWaits,                                                        //
                 PoolOpened, NeedProgram, PoolKnown, JobValues, JobError, UpdateAccepted,                  // H -> C
                 UpdateApplied, UpdateFailed, PoolFailed, PoolClosed, PoolState, Notice, OutputLines,      //
                 JobsAccepted, JobsRefused, AcksKept,                                                      //
                 JobErrors, PoolHeld, PoolRepaired,                                                        //
                 NodeState, WorkerReady, WorkerExited, JobsDone, JobFailed, JobsRecalled,                  // N -> H
                 UpdatesApplied, NodeLeaving, SlotsChanged, JobsParked, ResultsFull,                       //
                 OpenPoolHere, ClosePoolHere, ActivatePool, PoolUpdate, StartWorker, StopWorker,           // H -> N
                 RunJobs, RecallJobs, AckResults, ResultWindow,                                            //
                 StatusRequest, StatusReply, SeeOutcomes, OutcomesSeen, SeeDefinitions, DefinitionsSeen>;  // viewer

/// Messages in one lane arrive in order; a large one delays only those behind it in its lane. Lane 0 is for messages
/// without large payloads and is never delayed. Small messages of any lane that has nothing in progress travel at once.
using Lane = std::uint64_t;
inline constexpr Lane control_lane = 0;

struct Outgoing {
  Message message;
  Lane lane = control_lane;
};

}  // namespace dc::wire

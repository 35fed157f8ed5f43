// Every message of the session protocol, spelled once. docs/protocol.md describes the same list; a test compares them.
//
// A message is the MessagePack array [type, [field, field, ...]] with the fields in the order of MSGPACK_DEFINE.
// Directions: C client, N node, V viewer (status), H head. A payload of more than limits::inline_payload_max
// bytes stands outside its message (see framing.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"
#include "wire/adaptors.hpp"

namespace dc::wire {

// --- Handshake --------------------------------------------------------------------------------------------------

/// C|N|V -> H, first message of every session.
struct Hello {
  static constexpr std::uint8_t type = 1;
  static constexpr const char* name = "Hello";
  std::uint32_t protocol{};  ///< limits::protocol_version
  std::string version;       ///< product version, for people
  Role role{};
  std::uint64_t peer{};  ///< NodeId or ClientId; 0 for a viewer
  std::string host;
  std::uint32_t pid{};
  std::string proof;       ///< SCRAM client-first-message
  std::uint64_t term = 0;  ///< the highest that a head has told (see Welcome)
  MSGPACK_DEFINE(protocol, version, role, peer, host, pid, proof, term)
};
/// Both ways: the middle steps of the password proof.
struct Proof {
  static constexpr std::uint8_t type = 2;
  static constexpr const char* name = "Proof";
  std::string proof;
  MSGPACK_DEFINE(proof)
};
/// H -> C|N|V: the session is open. `proof` is the head's own proof that it knows the password. `term`: rises with
/// every head that takes the store which they share; 0: no other head can take this one's place. A peer that has seen a
/// higher term does not believe this head, which raises its own above that when it still has the store.
struct Welcome {
  static constexpr std::uint8_t type = 3;
  static constexpr const char* name = "Welcome";
  std::string version;
  std::uint32_t epoch{};  ///< this life of the head
  std::uint32_t pid{};
  std::string host;
  std::uint64_t payload_bytes_max{};
  std::string proof;
  std::uint64_t term = 0;
  MSGPACK_DEFINE(version, epoch, pid, host, payload_bytes_max, proof, term)
};
/// H -> C|N|V: refused for good; trying again does not help. `reason`: "version", "password", "role", "busy".
struct Rejected {
  static constexpr std::uint8_t type = 4;
  static constexpr const char* name = "Rejected";
  std::string reason;
  std::string message;  ///< a whole sentence for the user
  MSGPACK_DEFINE(reason, message)
};
/// Both ways: the sender ends the session on purpose and does not come back. From a client: its pools close at
/// once. From a node: its workers are gone. From the head: it is shutting down, try again later.
struct Goodbye {
  static constexpr std::uint8_t type = 5;
  static constexpr const char* name = "Goodbye";
  std::string message;
  MSGPACK_DEFINE(message)
};

// --- Client -> head ---------------------------------------------------------------------------------------------

/// Opens a pool. `resumed`: it was open at an earlier head (see PoolKnown); its updates, its outstanding jobs and
/// PoolResumed follow. Answers: NeedProgram (C++ pool whose executable the head lacks), then PoolOpened | PoolFailed.
struct OpenPool {
  static constexpr std::uint8_t type = 10;
  static constexpr const char* name = "OpenPool";
  PoolId pool;
  PoolOptions options;
  bool resumed = false;
  Payload spec;  ///< class and init data; read by the workers alone
  MSGPACK_DEFINE(pool, options, resumed, spec)
};
/// Answers NeedProgram; H -> N too: the executable of C++ pools, by content hash.
struct Program {
  static constexpr std::uint8_t type = 11;
  static constexpr const char* name = "Program";
  std::string hash;
  Payload program;
  MSGPACK_DEFINE(hash, program)
};
/// The client is back after a broken connection. `outstanding`: jobs submitted without an outcome so far.
/// Answer: PoolKnown.
struct ResumePool {
  static constexpr std::uint8_t type = 12;
  static constexpr const char* name = "ResumePool";
  PoolId pool;
  std::vector<JobSequence> outstanding;
  MSGPACK_DEFINE(pool, outstanding)
};
/// All that OpenPool{resumed} or PoolKnown asked for has been sent.
struct PoolResumed {
  static constexpr std::uint8_t type = 13;
  static constexpr const char* name = "PoolResumed";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};
struct SubmitJobs {
  static constexpr std::uint8_t type = 14;
  static constexpr const char* name = "SubmitJobs";
  PoolId pool;
  std::vector<SubmittedJob> jobs;
  MSGPACK_DEFINE(pool, jobs)
};
/// Answer: UpdateAccepted, and UpdateApplied later. Without history the first one after ResumePool has no payload: so
/// many updates were applied everywhere, and their bytes are no more.
struct AddUpdate {
  static constexpr std::uint8_t type = 15;
  static constexpr const char* name = "AddUpdate";
  PoolId pool;
  UpdateNumber number{};
  Payload payload;
  MSGPACK_DEFINE(pool, number, payload)
};
struct AckOutcomes {
  static constexpr std::uint8_t type = 16;
  static constexpr const char* name = "AckOutcomes";
  PoolId pool;
  std::vector<JobSequence> sequences;
  MSGPACK_DEFINE(pool, sequences)
};
struct WantWorkers {
  static constexpr std::uint8_t type = 17;
  static constexpr const char* name = "WantWorkers";
  PoolId pool;
  std::uint32_t count{};
  MSGPACK_DEFINE(pool, count)
};
/// Answer: PoolClosed.
struct ClosePool {
  static constexpr std::uint8_t type = 18;
  static constexpr const char* name = "ClosePool";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};

// Named pools outlive their client: the head journals them. Their id is the first eight bytes of the SHA-256 of the
// name (big endian). SubmitJobs, AddUpdate, AckOutcomes, WantWorkers and ClosePool (which ends the pool for good) are
// the same for them; instead of OpenPool and ResumePool there are these.

/// Opens the pool of this name, or goes on with it when it exists: then the class, init data and options of its first
/// opening stay, and those in the message are not used. `attach_only`: it must exist. `steal`: take it from the client
/// that has it. `process`: names the client's process, see core/process_name.hpp. Answers: NeedProgram (a new C++ pool)
/// or PoolHeld (its client is away and may come back), then NamedPoolOpened | PoolFailed.
struct OpenNamedPool {
  static constexpr std::uint8_t type = 19;
  static constexpr const char* name = "OpenNamedPool";
  PoolId pool;
  std::string pool_name;
  bool attach_only = false;
  bool steal = false;
  PoolOptions options;
  Payload spec;
  std::string process = {};
  MSGPACK_DEFINE(pool, pool_name, attach_only, steal, options, spec, process)
};
/// The client of a named pool is back after a broken connection. `first_own`: its jobs begin with this number.
/// `unaccepted`: jobs that it sent and that were neither accepted nor refused. `received`: outcomes that it has and
/// whose acknowledgement was not confirmed; all others that are not delivered come again. `more`: so many that another
/// one follows, with the next of them; the last one is answered. Its credit (WantOutcomes) begins at 0 again. Answer:
/// NamedPoolKnown | PoolFailed.
struct ResumeNamedPool {
  static constexpr std::uint8_t type = 20;
  static constexpr const char* name = "ResumeNamedPool";
  PoolId pool;
  JobSequence first_own{};
  std::vector<JobSequence> unaccepted;
  std::vector<JobSequence> received;
  bool more = false;
  MSGPACK_DEFINE(pool, first_own, unaccepted, received, more)
};
/// The client leaves the named pool, which goes on. Answer: PoolLeft.
struct LeavePool {
  static constexpr std::uint8_t type = 21;
  static constexpr const char* name = "LeavePool";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};
/// So many more outcomes of jobs that earlier clients submitted may be sent: as they come, or in the order of
/// submission. Outcomes of the client's own jobs need no leave.
struct WantOutcomes {
  static constexpr std::uint8_t type = 22;
  static constexpr const char* name = "WantOutcomes";
  PoolId pool;
  std::uint32_t count{};
  bool in_order = false;
  MSGPACK_DEFINE(pool, count, in_order)
};

/// Answer to PoolHeld: the process of that client is gone, and will not come back for the pool.
struct HolderGone {
  static constexpr std::uint8_t type = 23;
  static constexpr const char* name = "HolderGone";
  PoolId pool;
  ClientId holder;
  MSGPACK_DEFINE(pool, holder)
};
/// C -> H: cut the journal of the named pool that was refused because it is broken, and take the pool up again. Answer:
/// PoolRepaired | PoolFailed.
struct RepairPool {
  static constexpr std::uint8_t type = 24;
  static constexpr const char* name = "RepairPool";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};
/// C -> H: the client runs in a job of this worker, or in what the job has started. Sent when it has the pool, and
/// whenever it changes for what its threads wait without a limit: for results, for workers, until updates are applied.
struct PoolWaits {
  static constexpr std::uint8_t type = 25;
  static constexpr const char* name = "PoolWaits";
  PoolId pool;
  WorkerId worker;
  bool results = false;
  bool workers = false;
  bool updates = false;
  MSGPACK_DEFINE(pool, worker, results, workers, updates)
};

// --- Head -> client ---------------------------------------------------------------------------------------------

struct PoolOpened {
  static constexpr std::uint8_t type = 30;
  static constexpr const char* name = "PoolOpened";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};
/// H -> C, and N -> H: send the executable with this hash.
struct NeedProgram {
  static constexpr std::uint8_t type = 31;
  static constexpr const char* name = "NeedProgram";
  std::string hash;
  MSGPACK_DEFINE(hash)
};
/// Answer to ResumePool. Known: send the updates after `updates`, the `missing` jobs and PoolResumed. Not known:
/// the head was restarted; send OpenPool{resumed}, all updates, all outstanding jobs and PoolResumed.
struct PoolKnown {
  static constexpr std::uint8_t type = 32;
  static constexpr const char* name = "PoolKnown";
  PoolId pool;
  bool known = false;
  UpdateNumber updates{};
  std::vector<JobSequence> missing;
  MSGPACK_DEFINE(pool, known, updates, missing)
};
struct ValueItem {
  JobSequence sequence{};
  Payload value;
  MSGPACK_DEFINE(sequence, value)
};
struct JobValues {
  static constexpr std::uint8_t type = 33;
  static constexpr const char* name = "JobValues";
  PoolId pool;
  std::vector<ValueItem> items;
  MSGPACK_DEFINE(pool, items)
};
struct JobError {
  static constexpr std::uint8_t type = 34;
  static constexpr const char* name = "JobError";
  PoolId pool;
  JobSequence sequence{};
  ErrorInfo error;
  Payload exception;  ///< pickled, or empty
  MSGPACK_DEFINE(pool, sequence, error, exception)
};
struct UpdateAccepted {
  static constexpr std::uint8_t type = 35;
  static constexpr const char* name = "UpdateAccepted";
  PoolId pool;
  UpdateNumber number{};
  MSGPACK_DEFINE(pool, number)
};
struct UpdateApplied {
  static constexpr std::uint8_t type = 36;
  static constexpr const char* name = "UpdateApplied";
  PoolId pool;
  UpdateNumber number{};
  MSGPACK_DEFINE(pool, number)
};
struct UpdateFailed {
  static constexpr std::uint8_t type = 37;
  static constexpr const char* name = "UpdateFailed";
  PoolId pool;
  UpdateNumber number{};
  ErrorInfo error;    ///< what handle_update raised, or how the worker ended in it
  Payload exception;  ///< pickled, or empty
  MSGPACK_DEFINE(pool, number, error, exception)
};
/// The pool is over; every outstanding job ends with this error.
struct PoolFailed {
  static constexpr std::uint8_t type = 38;
  static constexpr const char* name = "PoolFailed";
  PoolId pool;
  ErrorInfo error;
  MSGPACK_DEFINE(pool, error)
};
struct PoolClosed {
  static constexpr std::uint8_t type = 39;
  static constexpr const char* name = "PoolClosed";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};
/// Sent when a count changes.
struct PoolState {
  static constexpr std::uint8_t type = 40;
  static constexpr const char* name = "PoolState";
  PoolId pool;
  std::uint32_t workers{};  ///< constructed
  std::uint32_t starting{};
  std::uint32_t nodes{};
  std::uint32_t slots{};
  std::uint32_t eligible{};
  MSGPACK_DEFINE(pool, workers, starting, nodes, slots, eligible)
};
/// A line for the user's stderr.
struct Notice {
  static constexpr std::uint8_t type = 41;
  static constexpr const char* name = "Notice";
  PoolId pool;
  std::string text;
  MSGPACK_DEFINE(pool, text)
};
/// H -> C, and N -> H: lines that a worker printed (only with PoolOptions::forward_output). `left_out`: so many more of
/// this stream are not shown, because there were too many.
struct OutputLines {
  static constexpr std::uint8_t type = 42;
  static constexpr const char* name = "OutputLines";
  PoolId pool;
  std::string host;
  std::uint32_t slot{};
  std::vector<std::string> lines;
  OutputStream stream = OutputStream::out;
  std::uint64_t left_out = 0;
  MSGPACK_DEFINE(pool, host, slot, lines, stream, left_out)
};
/// The client has the named pool. `options` are those of its first opening; new jobs are numbered from
/// `last_sequence` + 1, updates from `updates` + 1. `remaining`: jobs of earlier clients whose outcome nobody has so
/// far, see WantOutcomes.
struct NamedPoolOpened {
  static constexpr std::uint8_t type = 43;
  static constexpr const char* name = "NamedPoolOpened";
  PoolId pool;
  PoolOptions options;
  JobSequence last_sequence{};
  UpdateNumber updates{};
  std::uint64_t remaining{};
  bool existed = false;  ///< its class and init data are those of another client
  MSGPACK_DEFINE(pool, options, last_sequence, updates, remaining, existed)
};
/// Answer to ResumeNamedPool: send the updates after `updates` and the `missing` jobs. No job after `last_sequence` is
/// in the journal; `earlier` are those before first_own whose outcome nobody has, as first, last, first, last, ... What
/// the client misses there was accepted, and is lost with the journal's last entries. `more`: another one follows with
/// the next of `earlier`; all else stands in the last one.
struct NamedPoolKnown {
  static constexpr std::uint8_t type = 44;
  static constexpr const char* name = "NamedPoolKnown";
  PoolId pool;
  UpdateNumber updates{};
  std::vector<JobSequence> missing;
  JobSequence last_sequence{};
  std::vector<JobSequence> earlier;
  bool more = false;
  MSGPACK_DEFINE(pool, updates, missing, last_sequence, earlier, more)
};
/// These jobs of a named pool are in the journal: the client need not keep them. An outcome never comes before this.
struct JobsAccepted {
  static constexpr std::uint8_t type = 45;
  static constexpr const char* name = "JobsAccepted";
  PoolId pool;
  std::vector<JobSequence> sequences;
  MSGPACK_DEFINE(pool, sequences)
};
/// These are not, and never will be: each ends with this error (kind not_stored).
struct JobsRefused {
  static constexpr std::uint8_t type = 46;
  static constexpr const char* name = "JobsRefused";
  PoolId pool;
  std::vector<JobSequence> sequences;
  ErrorInfo error;
  MSGPACK_DEFINE(pool, sequences, error)
};
/// AckOutcomes of these is in the journal: they will not be delivered again.
struct AcksKept {
  static constexpr std::uint8_t type = 47;
  static constexpr const char* name = "AcksKept";
  PoolId pool;
  std::vector<JobSequence> sequences;
  MSGPACK_DEFINE(pool, sequences)
};
/// Answer to LeavePool.
struct PoolLeft {
  static constexpr std::uint8_t type = 48;
  static constexpr const char* name = "PoolLeft";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};

/// All these jobs end with this error (a pool that broke).
struct JobErrors {
  static constexpr std::uint8_t type = 49;
  static constexpr const char* name = "JobErrors";
  PoolId pool;
  std::vector<JobSequence> sequences;
  ErrorInfo error;
  MSGPACK_DEFINE(pool, sequences, error)
};

/// The named pool is that of another client, which has lost its connection: it has so many milliseconds to come back.
/// Then the one that waits gets the pool (or PoolFailed, if the other came back).
struct PoolHeld {
  static constexpr std::uint8_t type = 61;
  static constexpr const char* name = "PoolHeld";
  PoolId pool;
  ClientId holder;
  std::string host;
  std::uint32_t pid{};
  std::string process;
  std::uint32_t patience_ms{};
  MSGPACK_DEFINE(pool, holder, host, pid, process, patience_ms)
};
/// H -> C: the pool can be opened again, unless nothing of its journal could be kept: then `removed`. `jobs_lost`: that
/// were accepted and are gone; `or_more`: what could not be read may have held more of them. `jobs_again`: that had
/// ended, and run again.
struct PoolRepaired {
  static constexpr std::uint8_t type = 62;
  static constexpr const char* name = "PoolRepaired";
  PoolId pool;
  std::uint64_t jobs_lost{};
  std::uint64_t jobs_again{};
  bool removed = false;
  bool or_more = false;
  MSGPACK_DEFINE(pool, jobs_lost, jobs_again, removed, or_more)
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
  static constexpr std::uint8_t type = 50;
  static constexpr const char* name = "NodeState";
  std::vector<SlotInfo> slots;
  std::vector<HeldPool> pools;
  std::vector<WorkerReport> workers;
  std::vector<std::string> programs;  ///< hashes of the executables in the node's cache
  MSGPACK_DEFINE(slots, pools, workers, programs)
};
struct WorkerReady {
  static constexpr std::uint8_t type = 51;
  static constexpr const char* name = "WorkerReady";
  WorkerId worker;
  std::uint32_t pid{};
  MSGPACK_DEFINE(worker, pid)
};
struct WorkerExited {
  static constexpr std::uint8_t type = 52;
  static constexpr const char* name = "WorkerExited";
  WorkerId worker;
  ExitCause cause{};
  ErrorInfo error;
  std::vector<Attempt> running;  ///< started and not finished: none or one
  std::vector<Attempt> unstarted;
  UpdateNumber updating{};  ///< the update in whose handle_update it ended; 0: none
  MSGPACK_DEFINE(worker, cause, error, running, unstarted, updating)
};
struct FinishedItem {
  Attempt attempt;
  std::uint32_t run_time_us{};
  Payload value;
  MSGPACK_DEFINE(attempt, run_time_us, value)
};
struct JobsDone {
  static constexpr std::uint8_t type = 53;
  static constexpr const char* name = "JobsDone";
  WorkerId worker;
  PoolId pool;
  std::vector<FinishedItem> items;
  MSGPACK_DEFINE(worker, pool, items)
};
struct JobFailed {
  static constexpr std::uint8_t type = 54;
  static constexpr const char* name = "JobFailed";
  WorkerId worker;
  PoolId pool;
  Attempt attempt;
  std::uint32_t run_time_us{};
  ErrorInfo error;
  Payload exception;
  MSGPACK_DEFINE(worker, pool, attempt, run_time_us, error, exception)
};
/// Answer to RecallJobs.
struct JobsRecalled {
  static constexpr std::uint8_t type = 55;
  static constexpr const char* name = "JobsRecalled";
  WorkerId worker;
  std::vector<Attempt> attempts;
  MSGPACK_DEFINE(worker, attempts)
};
struct UpdatesApplied {
  static constexpr std::uint8_t type = 56;
  static constexpr const char* name = "UpdatesApplied";
  WorkerId worker;
  UpdateNumber number{};
  bool failed = false;  ///< handle_update raised on this one: `error` tells what
  ErrorInfo error = {};
  Payload exception = {};  ///< pickled and small, or empty
  MSGPACK_DEFINE(worker, number, failed, error, exception)
};
/// No new jobs, please: the node finishes what runs and then says Goodbye.
struct NodeLeaving {
  static constexpr std::uint8_t type = 57;
  static constexpr const char* name = "NodeLeaving";
  std::string reason;
  MSGPACK_DEFINE(reason)
};
/// These slots are not what they were: memory became free or was taken, a device was lost or is back.
struct SlotsChanged {
  static constexpr std::uint8_t type = 58;
  static constexpr const char* name = "SlotsChanged";
  std::vector<SlotInfo> slots;
  MSGPACK_DEFINE(slots)
};

struct ParkedItem {
  Attempt attempt;
  std::uint64_t bytes{};  ///< larger than the window: it asks for its turn; 0: it waits for room
  MSGPACK_DEFINE(attempt, bytes)
};
/// These attempts have ended, and the worker has done with them. Their results wait at the node until the pool's window
/// (ResultWindow) has room for them, or for their turn.
struct JobsParked {
  static constexpr std::uint8_t type = 59;
  static constexpr const char* name = "JobsParked";
  WorkerId worker;
  PoolId pool;
  std::vector<ParkedItem> items;
  MSGPACK_DEFINE(worker, pool, items)
};
/// Sent when it changes: the node keeps as many results of the pool as it may. It is given no more jobs of it, and
/// those that are not started are recalled, until some are delivered.
struct ResultsFull {
  static constexpr std::uint8_t type = 60;
  static constexpr const char* name = "ResultsFull";
  PoolId pool;
  bool full = false;
  MSGPACK_DEFINE(pool, full)
};

// --- Head -> node -----------------------------------------------------------------------------------------------

/// For a C++ pool whose hash is not among the node's programs, Program is sent first.
struct OpenPoolHere {
  static constexpr std::uint8_t type = 70;
  static constexpr const char* name = "OpenPoolHere";
  PoolId pool;
  PoolOptions options;
  Payload spec;
  std::string pool_name = {};  ///< of a named pool, else empty
  MSGPACK_DEFINE(pool, options, spec, pool_name)
};
struct ClosePoolHere {
  static constexpr std::uint8_t type = 71;
  static constexpr const char* name = "ClosePoolHere";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};
/// The head has the pool's jobs again: the node may send what it has finished of it since the connection broke.
struct ActivatePool {
  static constexpr std::uint8_t type = 72;
  static constexpr const char* name = "ActivatePool";
  PoolId pool;
  MSGPACK_DEFINE(pool)
};
/// `keep`: in a pool without history too, this and those before it are kept for the first worker, until one comes that
/// need not be.
struct PoolUpdate {
  static constexpr std::uint8_t type = 73;
  static constexpr const char* name = "PoolUpdate";
  PoolId pool;
  UpdateNumber number{};
  Payload payload;
  bool keep = false;
  MSGPACK_DEFINE(pool, number, payload, keep)
};
struct StartWorker {
  static constexpr std::uint8_t type = 74;
  static constexpr const char* name = "StartWorker";
  WorkerId worker;
  PoolId pool;
  std::uint32_t slot{};
  UpdateNumber skip_updates{};                 ///< updates up to this one are not replayed
  std::vector<std::uint32_t> more_slots = {};  ///< the further slots of a worker of several GPUs
  MSGPACK_DEFINE(worker, pool, slot, skip_updates, more_slots)
};
struct StopWorker {
  static constexpr std::uint8_t type = 75;
  static constexpr const char* name = "StopWorker";
  WorkerId worker;
  MSGPACK_DEFINE(worker)
};
struct RunItem {
  Attempt attempt;
  UpdateNumber after_update{};
  Payload arguments;
  std::shared_ptr<JobLabel> label = {};  ///< or nothing, as for most jobs: the first try, without a key
  MSGPACK_DEFINE(attempt, after_update, arguments, label)
};
struct RunJobs {
  static constexpr std::uint8_t type = 76;
  static constexpr const char* name = "RunJobs";
  WorkerId worker;
  std::vector<RunItem> items;
  MSGPACK_DEFINE(worker, items)
};
struct RecallJobs {
  static constexpr std::uint8_t type = 77;
  static constexpr const char* name = "RecallJobs";
  WorkerId worker;
  std::uint32_t count{};
  MSGPACK_DEFINE(worker, count)
};
struct AckResults {
  static constexpr std::uint8_t type = 78;
  static constexpr const char* name = "AckResults";
  PoolId pool;
  std::vector<Attempt> attempts;
  MSGPACK_DEFINE(pool, attempts)
};

/// Results of the pool of so many bytes in all (core/result_cost.hpp) may be under way from this node: sent, and not
/// acknowledged by AckResults. Before the first one it is limits::result_window_min. `turn`: and beside them this one,
/// which was larger than the window; none or one.
struct ResultWindow {
  static constexpr std::uint8_t type = 79;
  static constexpr const char* name = "ResultWindow";
  PoolId pool;
  std::uint64_t bytes{};
  std::vector<Attempt> turn;
  MSGPACK_DEFINE(pool, bytes, turn)
};

// --- Viewer -----------------------------------------------------------------------------------------------------

/// V -> H. Answer: StatusReply, when the answer before it has been written: one is under way at a time.
struct StatusRequest {
  static constexpr std::uint8_t type = 90;
  static constexpr const char* name = "StatusRequest";
  std::uint32_t unused{};
  MSGPACK_DEFINE(unused)
};
struct StatusReply {
  static constexpr std::uint8_t type = 91;
  static constexpr const char* name = "StatusReply";
  Payload json;  ///< as documented for `distributed-computing status --json`
  MSGPACK_DEFINE(json)
};

/// V -> H. What nobody has taken so far of the outcomes of a named pool, behind job `after`: as much as one answer
/// holds. Nothing is taken by it. Answer: OutcomesSeen.
struct SeeOutcomes {
  static constexpr std::uint8_t type = 92;
  static constexpr const char* name = "SeeOutcomes";
  PoolId pool;
  JobSequence after{};
  MSGPACK_DEFINE(pool, after)
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
  static constexpr std::uint8_t type = 93;
  static constexpr const char* name = "OutcomesSeen";
  PoolId pool;
  bool known = false;
  std::vector<SeenOutcome> items;
  JobSequence last{};
  bool more = false;
  MSGPACK_DEFINE(pool, known, items, last, more)
};

/// V -> H. What the script of a named pool defines: the first `spec_bytes` of the spec, where `after` is 0, and updates
/// that begin with dc::definitions_mark, without the first `after` of them; as many as one answer holds. Answer:
/// DefinitionsSeen.
struct SeeDefinitions {
  static constexpr std::uint8_t type = 94;
  static constexpr const char* name = "SeeDefinitions";
  PoolId pool;
  std::uint64_t spec_bytes{};
  std::uint64_t after{};
  MSGPACK_DEFINE(pool, spec_bytes, after)
};
/// `known`: there is such a pool. `more`: there are other updates behind these.
struct DefinitionsSeen {
  static constexpr std::uint8_t type = 95;
  static constexpr const char* name = "DefinitionsSeen";
  PoolId pool;
  bool known = false;
  Payload spec;
  std::vector<Payload> updates;
  bool more = false;
  MSGPACK_DEFINE(pool, known, spec, updates, more)
};

using Message =
    std::variant<Hello, Proof, Welcome, Rejected, Goodbye,                                                 // handshake
                 OpenPool, Program, ResumePool, PoolResumed, SubmitJobs, AddUpdate, AckOutcomes,           // C -> H
                 WantWorkers, ClosePool, OpenNamedPool, ResumeNamedPool, LeavePool, WantOutcomes,          //
                 HolderGone, RepairPool, PoolWaits,                                                        //
                 PoolOpened, NeedProgram, PoolKnown, JobValues, JobError, UpdateAccepted,                  // H -> C
                 UpdateApplied, UpdateFailed, PoolFailed, PoolClosed, PoolState, Notice, OutputLines,      //
                 NamedPoolOpened, NamedPoolKnown, JobsAccepted, JobsRefused, AcksKept, PoolLeft,           //
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

// What clients and the head say to each other. See messages.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"
#include "wire/adaptors.hpp"
#include "wire/message.hpp"

namespace dc::wire {

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
/// Forget the values of these keys of the named pool, or of all that it has. Jobs that run go on. Answer:
/// KeysForgotten, when the journal has it | PoolFailed.
struct ForgetKeys {
  PoolId pool;
  std::string pool_name;
  std::vector<std::string> keys;
  bool all_keys = false;
  DC_MESSAGE(26, ForgetKeys, client_to_head, pool, pool_name, keys, all_keys)
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
/// So many keys had a value, and have none any more.
struct KeysForgotten {
  PoolId pool;
  std::uint64_t forgotten{};
  DC_MESSAGE(63, KeysForgotten, head_to_client, pool, forgotten)
};

}  // namespace dc::wire

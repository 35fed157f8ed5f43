// Every limit with its name and unit; related limits stand together with an assert that ties them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/clock.hpp"

namespace dc::limits {

inline constexpr std::uint16_t default_port = 8899;

// --- Sessions -------------------------------------------------------------------------------------------------
/// Version of the protocol in docs/protocol.md. Peers of different versions refuse each other.
inline constexpr std::uint32_t protocol_version = 3;
/// A peer that wrote nothing for a third of this sends an unasked pong; one that heard nothing for all of it closes.
inline constexpr auto session_idle_timeout = 6s;
inline constexpr auto handshake_deadline = 10s;
/// First pause before a new connection is tried, doubled up to the second figure; each with +-30 % jitter.
inline constexpr auto reconnect_delay_min = 50ms;
inline constexpr auto reconnect_delay_max = 2s;
/// With several addresses of heads: one that has not answered for this long does not keep the next one waiting.
inline constexpr auto next_address_after = 1s;
/// And the pause between two rounds grows no longer, so that a standby is found soon after it has taken over.
inline constexpr auto round_delay_max = 500ms;
/// At the first contact with several addresses, one that refused us is left alone for this long.
inline constexpr auto refused_again_after = 10s;

// --- Strangers: who has not proved the password yet ---------------------------------------------------------------
/// Connections in all, and from one address (of IPv6: one /64), unless a password was proved there lately.
inline constexpr std::size_t strangers_max = 1024;
inline constexpr std::size_t strangers_address_max = 512;
/// So long a newcomer is not sent away for having shown less than others; who shows nothing more for the second figure
/// counts as having shown nothing.
inline constexpr auto stranger_grace = 500ms;
inline constexpr auto stranger_patience = 2s;
/// An address is known for so long after the last session with it ended.
inline constexpr auto proof_remembered = std::chrono::hours(1);
/// Addresses that are remembered for a wrong proof, or for a right one.
inline constexpr std::size_t addresses_remembered = 10'000;
/// What one connection may cost. A peer of ours needs some 3 KB, 10 records of TLS and 5 frames.
inline constexpr std::size_t handshake_bytes_max = std::size_t{64} << 10;
inline constexpr std::size_t handshake_records_max = 32;
inline constexpr std::size_t handshake_frames_max = 16;
inline constexpr std::size_t handshake_frame_bytes_max = std::size_t{32} << 10;
static_assert(handshake_frame_bytes_max < handshake_bytes_max);
/// TLS handshakes begun in a second (and at once), from one address and in all: each costs some 0.3 ms.
inline constexpr double handshakes_per_second_address = 500;
inline constexpr double handshakes_per_second = 1000;
/// Accepted in one turn of the loop.
inline constexpr std::size_t accepted_at_once = 64;
/// A head keeps so many descriptors for its store, its files and the sessions that it has: strangers do not get them.
inline constexpr std::size_t descriptors_reserved = 32;

// --- Texts of peers ---------------------------------------------------------------------------------------------
/// Bytes of a peer's text in a log line or a table.
inline constexpr std::size_t shown_text_bytes_max = 500;
inline constexpr std::size_t log_line_bytes_max = std::size_t{8} << 10;
/// Lines of a log, warnings and errors apart: at once, and in a second after that. What is more is counted.
inline constexpr double log_lines_at_once = 2000;
inline constexpr double log_lines_per_second = 50;
/// Bytes of what a client is told in one piece, and failed updates that it is told: at once, and in a second after
/// that. What is more is counted.
inline constexpr std::size_t notice_bytes_max = std::size_t{4} << 10;
inline constexpr double failed_updates_at_once = 20;
inline constexpr double failed_updates_per_second = 1;

// --- Framing ----------------------------------------------------------------------------------------------------
/// Payloads up to this size travel inside their message. Larger ones travel in chunks beside it.
inline constexpr std::size_t inline_payload_max = std::size_t{64} << 10;
inline constexpr std::size_t chunk_bytes = std::size_t{256} << 10;
/// So many large messages take turns on a connection; others wait until one of them is through.
inline constexpr std::size_t active_lanes_max = 16;
/// A batch of small messages is written out when it reaches this size.
inline constexpr std::size_t batch_bytes_max = std::size_t{1} << 20;
/// No frame may be larger; a peer that announces one is cut off.
inline constexpr std::size_t frame_bytes_max = std::size_t{4} << 20;
static_assert(batch_bytes_max + inline_payload_max < frame_bytes_max && chunk_bytes < frame_bytes_max);
/// A message that is longer than a batch (the report of a node with thousands of busy workers) travels in parts of
/// chunk_bytes, and no message is longer than this.
inline constexpr std::size_t message_bytes_max = std::size_t{256} << 20;
/// Numbers of jobs and updates: nobody has so many, and sums of them never wrap.
inline constexpr std::uint64_t number_max = std::uint64_t{1} << 60;
/// A named pool's jobs are numbered onwards for as long as it lives: no job may use up more numbers than this at once.
inline constexpr std::uint64_t number_leap_max = std::uint64_t{1} << 32;
/// Elements of one array in a message.
inline constexpr std::size_t array_size_max = std::size_t{1} << 20;
/// Lists of jobs that may have any length are cut into messages of so many.
inline constexpr std::size_t sequences_per_message = std::size_t{64} << 10;
static_assert(sequences_per_message * 16 <= batch_bytes_max && sequences_per_message <= array_size_max);
/// So many bytes (beside outcomes, which have limits of their own) may wait to be read by a client or viewer. One that
/// asks on and does not read is cut off.
inline constexpr std::size_t unread_bytes_max = std::size_t{64} << 20;
/// The same for answers to a viewer of which payloads are still in the store, in messages.
inline constexpr std::size_t unread_answers_max = 1024;
/// So many messages of one session are held back while the head reads the journals of pools that they are for. A client
/// says little of a pool before it has it.
inline constexpr std::size_t held_messages_max = 1024;
/// So many requests for the head's state may wait for the answer before them.
inline constexpr std::uint32_t status_requests_max = 16;
/// Default limit of one payload (a job's arguments, a result, an update, a class with its init data).
inline constexpr std::uint64_t payload_bytes_max_default = std::uint64_t{16} << 30;

// --- Loss -------------------------------------------------------------------------------------------------------
/// A node whose connection closed has this long to come back before its jobs go elsewhere. Together with the idle
/// timeout it bounds the time until the jobs of a silent node run elsewhere.
inline constexpr auto node_return_grace = 1500ms;
inline constexpr auto node_silent_after = 10s;
static_assert(session_idle_timeout + node_return_grace <= node_silent_after);
/// A client whose connection closed without a goodbye has this long to come back before its pools are closed.
inline constexpr auto client_return_grace = 28s;
/// After a (re)start the head lets pools that existed before wait for the nodes that run their jobs: this long from the
/// moment at which its door is open, and again from each such node that comes.
inline constexpr auto recovery_hold = 3500ms;
static_assert(10 * recovery_hold >= 13 * reconnect_delay_max + 5s, "the longest pause of a node, and its handshake");
/// So many closed pools are remembered: a node that was away when they were closed forgets them as soon as it is back,
/// and not only after unknown_pool_grace.
inline constexpr std::size_t closed_pools_kept = 4096;
/// The scheduler was not called for this long: the head itself was frozen. All deadlines move by the gap.
inline constexpr auto own_freeze_gap = 2s;
/// A node keeps workers and results of a pool that the head does not know for this long.
inline constexpr auto unknown_pool_grace = 30s;

// --- The journal of named pools ---------------------------------------------------------------------------------
/// A head that could not renew its hold on the store for this long is not certain to have it, and a standby takes what
/// it has seen nobody renew for this long.
inline constexpr auto store_lease = 10s;
inline constexpr auto store_renew_interval = store_lease / 4;
/// While it cannot be renewed it is tried so often.
inline constexpr auto store_renew_again = 250ms;
/// A standby looks this often whether the store is free, and a head whether it may still speak.
inline constexpr auto standby_look_interval = 500ms;
inline constexpr auto store_hold_look_interval = 250ms;
/// A standby that did not look for so long (it was frozen, or the store did not answer) begins to watch anew: the
/// holder may have been kept from renewing by the same thing.
inline constexpr auto standby_gap_max = 2500ms;
/// A head whose loop, or whose journal's thread, has not moved for this long gives up its hold: it serves nobody.
inline constexpr auto store_stuck_after = 30s;
/// What can be refused waits this long for a store that does not answer.
inline constexpr auto store_patience = 30s;
inline constexpr auto store_close_patience = 5s;
/// A store that is reached over the network and makes no progress for this long does not answer.
inline constexpr auto store_call_timeout = 2500ms;
static_assert(store_renew_interval + 2 * store_call_timeout <= store_lease,
              "one call that hangs must not cost the lease");
/// With `interval` the loss of power takes what was written since the last of these.
inline constexpr auto store_sync_interval = 1s;
inline constexpr auto store_retry_delay_min = 50ms;  ///< doubled up to the next
inline constexpr auto store_retry_delay_max = 1s;
/// Who takes a lease that nobody renewed says nothing for this long. A head whose renewals are refused (the disk is
/// full) may go on so long after the store has told it that nobody else has taken it.
inline constexpr auto store_takeover_pause = 1500ms;
static_assert(store_takeover_pause >= 4 * store_renew_again);
/// A peer may have been told of a term up to this, half of what terms have room for: this head's is raised above that.
/// Higher claims are none, so that no peer can bring the terms of a store to their end.
inline constexpr std::uint64_t claimed_term_max = std::uint64_t{1} << 62;
/// One group commit, but always one entry.
inline constexpr std::size_t store_batch_entries_max = 4096;
inline constexpr std::size_t store_batch_bytes_max = std::size_t{8} << 20;
/// So much of a Redis' files is read to say which named pools lie there unserved.
inline constexpr std::size_t earlier_redis_bytes_max = std::size_t{64} << 20;
/// Contents are written to and read from a store over the network in groups of about this size: one round trip each.
inline constexpr std::size_t store_group_bytes = std::size_t{16} << 20;
inline constexpr std::size_t store_group_items_max = 512;
/// Named pools that a head keeps at once, unless it is told another number.
inline constexpr std::size_t pools_max_default = 1000;
/// Values of keys that are kept for a time are looked at so often.
inline constexpr auto keys_look_interval = 1s;
/// Lists of keys are cut into entries of about this size.
inline constexpr std::size_t keys_entry_bytes = std::size_t{256} << 10;
/// Attachments are stored in parts of this size (SQLite and Redis limit a value to 1 GB and 512 MB).
inline constexpr std::size_t store_part_bytes = std::size_t{16} << 20;

// --- Clients of named pools --------------------------------------------------------------------------------------
inline constexpr std::size_t pool_name_bytes_max = 200;
inline constexpr std::size_t job_key_bytes_max = 1024;
/// So many outcomes of earlier clients' jobs may be under way to a client, or in its hands.
inline constexpr std::uint32_t earlier_outcomes_open = 512;
/// Outcomes that the user has done with are acknowledged when there are so many, or when the first has waited so long.
/// A client that is killed gets those again.
inline constexpr std::size_t acknowledge_jobs = 64;
inline constexpr auto acknowledge_delay = 10ms;
/// A client that wants to leave waits so long for a head that is away, and so long in all while the head takes nothing
/// of what it still has to take.
inline constexpr auto leave_patience = 5s;
inline constexpr auto leave_progress_patience = store_patience + leave_patience;

// --- Flow -------------------------------------------------------------------------------------------------------
/// A client has at most this many jobs and payload bytes of a pool submitted and not yet answered, but always one
/// job for each worker.
inline constexpr std::size_t submit_window_jobs = 16384;
inline constexpr std::size_t submit_window_bytes = std::size_t{256} << 20;
/// Updates that workers still lack, of a pool without history: a client that is further ahead waits. Two are let
/// through however large they are.
inline constexpr std::size_t update_window_bytes = std::size_t{256} << 20;
/// Updates that may come before one that is on its way (a large one has a lane of its own).
inline constexpr std::uint64_t updates_ahead_max = 4096;
/// "One job for each worker" ends here, and a client that submits more than it may is cut off.
inline constexpr std::size_t submit_jobs_max = std::size_t{64} << 10;
/// imap and imap_unordered read the caller's iterator at most this far ahead of what was consumed, but always
/// one job for each worker.
inline constexpr std::size_t imap_window_jobs = 2048;
/// Of a named pool so many times as far: a job passes the store twice.
inline constexpr std::size_t named_window_factor = 4;
inline constexpr std::size_t imap_window_bytes = std::size_t{64} << 20;

/// Results of a pool that are under way to its client: so many bytes, shared by the nodes that have the pool, but no
/// less than the second figure for each. Larger results than a node's share have turns: so many bytes of them, but
/// always two. The nodes keep the rest, for a client that reads slowly must not fill the head.
inline constexpr std::uint64_t result_window_bytes = std::uint64_t{64} << 20;
inline constexpr std::uint64_t result_window_min = std::uint64_t{128} << 10;
inline constexpr std::uint64_t result_turns_bytes = std::uint64_t{192} << 20;
/// The same for a named pool, whose results are on their way to the store.
inline constexpr std::uint64_t kept_window_bytes = std::uint64_t{8} << 20;
inline constexpr std::uint64_t kept_turns_bytes = std::uint64_t{16} << 20;
/// Of payloads that are in the store a session is loaded so many bytes ahead of what it reads, but always one payload.
inline constexpr std::uint64_t loaded_bytes_max = std::uint64_t{16} << 20;
/// Payloads up to this size stay in the memory of a head that keeps them: what stands for them is no smaller.
inline constexpr std::size_t payload_in_memory_max = 64;
/// Larger ones that came together lie beside their entry, so that it is read without them, when they are so many bytes.
inline constexpr std::size_t bundle_bytes_min = std::size_t{1} << 10;
/// Arguments of jobs of named pools stay in the head's memory beside the store as long as they are no more than this in
/// all: those that run at once need not be loaded.
inline constexpr std::uint64_t arguments_in_memory_max = std::uint64_t{32} << 20;
/// Entries of the journal of a pool that tell nothing any more are erased when they are so many, or have so many bytes.
inline constexpr std::size_t dead_entries_max = 64;
inline constexpr std::size_t dead_entry_bytes_max = std::size_t{1} << 20;
/// What was loaded last is kept for who asks for its neighbours next.
inline constexpr std::size_t recent_contents_bytes_max = std::size_t{8} << 20;
/// A head takes memory for larger pieces than this from the system, and gives it back at once.
inline constexpr std::size_t heap_payload_max = std::size_t{512} << 10;
/// A head with so much more than it uses (and an eighth of that) gives it back; looked at so often.
inline constexpr std::size_t unused_memory_max = std::size_t{24} << 20;
inline constexpr auto unused_memory_interval = 2s;
/// What a result counts beside its bytes.
inline constexpr std::uint64_t result_overhead_bytes = 256;
static_assert(result_window_min >= inline_payload_max + result_overhead_bytes);
/// A node that keeps so many bytes or results of a pool runs no more of its jobs before half of them are delivered.
inline constexpr std::uint64_t kept_results_bytes_max = std::uint64_t{256} << 20;
inline constexpr std::size_t kept_results_max = std::size_t{64} << 10;

// --- Prefetch ---------------------------------------------------------------------------------------------------
/// Only jobs with a mean run time below this are handed over before the worker is idle.
inline constexpr auto prefetch_mean_max = 50ms;
/// So much work (by mean run time) is queued at a worker, and no more jobs or bytes than the next two.
inline constexpr auto prefetch_work = 20ms;
inline constexpr std::size_t prefetch_jobs_max = 512;
inline constexpr std::size_t prefetch_bytes_max = std::size_t{1} << 20;

// --- Sharing ----------------------------------------------------------------------------------------------------
/// A worker that was idle for this long may be given up to another pool that has work.
inline constexpr auto lend_after = 500ms;
/// Between two rounds of sharing, where these are dear; a shorter pause is none.
inline constexpr auto sharing_pause_min = 1ms;
inline constexpr auto sharing_pause_max = 100ms;
/// A pool's weight: beyond these it would have all slots, or none.
inline constexpr double weight_min = 0.01;
inline constexpr double weight_max = 100;

// --- Waiting ----------------------------------------------------------------------------------------------------
/// A user who waits so long is told once for what: for the first connection, for workers, for anything else.
inline constexpr auto connecting_notice_after = 1s;
inline constexpr auto no_workers_notice_after = 1s;
inline constexpr auto waiting_notice_after = 10s;
/// Waits that follow upon each other within this time, and got nothing, are one.
inline constexpr auto waits_are_one = 1s;
/// A client that runs in a job says for what it waits after this, and one whose futures may be waited for after the
/// second. When pools of jobs wait for each other for so long, the youngest of them ends; looked at not more often than
/// the last.
inline constexpr auto nested_wait_told_after = 500ms;
inline constexpr auto nested_futures_told_after = 10s;
inline constexpr auto nested_patience = 2s;
inline constexpr auto nested_look_pause = 200ms;

// --- Devices ----------------------------------------------------------------------------------------------------
/// A pool with work for which no present device is large enough, or of the right kind, ends after this.
inline constexpr auto no_device_after = 4s;
static_assert(no_device_after > recovery_hold, "nodes of a restarted head are heard first");
/// A pool's client is told again why slots wait when the reason has changed, and not more often than this.
inline constexpr auto waiting_notice_pause = 10s;
inline constexpr std::size_t waiting_slots_named_max = 8;  ///< in one such notice
inline constexpr std::size_t nodes_listed_max = 100;       ///< in the error of a pool for which there is no device
inline constexpr std::uint32_t gpus_per_worker_max = 64;
/// What a pool sets in its workers: variables, and threads of the native thread pools.
inline constexpr std::size_t environment_bytes_max = std::size_t{64} << 10;
inline constexpr std::size_t environment_names_max = 1024;
inline constexpr std::uint32_t threads_per_worker_max = 65'536;
inline constexpr std::size_t slots_per_node_max = 8192;
/// Of a pool's class, as people see it.
inline constexpr std::size_t label_bytes_max = 4096;

// --- Workers ----------------------------------------------------------------------------------------------------
/// Jobs in a worker's hands at once: size of the claim table in the shared page. A power of two.
inline constexpr std::size_t claims = 2048;
static_assert(claims >= 2 * prefetch_jobs_max);
inline constexpr auto terminate_grace = 5s;  ///< between SIGTERM and SIGKILL of a worker's process group
/// An idle worker that is to end has so long to do it in order (its SIGTERM handler, close(), atexit), and the second
/// figure where its slot is wanted by another pool; a busy one has that to end its job. Then it is told by SIGTERM.
inline constexpr auto close_grace = 5s;
inline constexpr auto lend_grace = 2s;
inline constexpr auto quick_kill_grace = 500ms;  ///< then by SIGKILL; so is one that is aborted
inline constexpr auto leave_at_once_max = 10s;   ///< a node that was told so and is still there hangs: it is killed
static_assert(close_grace + quick_kill_grace < leave_at_once_max);
/// What a worker has started ends with it; who cannot be ended within this (it hangs in a driver) is not waited for.
inline constexpr auto orphans_patience = 2000ms;
inline constexpr std::size_t crash_text_bytes_max = std::size_t{16} << 10;  ///< of the stack that a crash leaves behind
inline constexpr std::uint32_t max_retries_default = 3;
/// A job whose worker the kernel ended for lack of memory is tried again this often, whatever max_retries says.
inline constexpr std::uint32_t out_of_memory_retries = 2;
/// A slot whose constructor failed waits 1 s, 2 s, ... and is set aside for the pool after this many failures.
inline constexpr std::uint32_t init_attempts_max = 3;
inline constexpr auto init_backoff_first = 1s;
inline constexpr std::size_t output_line_bytes_max = std::size_t{8} << 10;  ///< longer lines are cut into pieces
inline constexpr std::size_t output_tail_lines = 20;                        ///< kept for WorkerDied
inline constexpr std::size_t output_tail_bytes_max = std::size_t{32} << 10;
/// Lines of a pool that one node shows and forwards in a second (and at once). What is more is counted, and the count
/// is told not more often than the second figure.
inline constexpr double output_lines_per_second = 200;
inline constexpr auto unshown_told_interval = 1s;
/// Of a pool that shows what failed: so much of each stream is kept until the job has ended.
inline constexpr std::size_t output_kept_bytes_max = std::size_t{64} << 10;
/// Of the pipe that is a worker's stdout, so that who prints much need not wait for the node, which then reads only so
/// often. (A user may have 64 MiB of larger pipes; stderr has the usual 64 KiB.)
inline constexpr std::size_t output_pipe_bytes = std::size_t{128} << 10;
inline constexpr auto output_read_pause = 5ms;
inline constexpr auto output_told_interval = 100ms;
inline constexpr std::size_t output_much_bytes = std::size_t{4} << 10;  ///< in one turn
/// Behind so much that is queued on a connection output is not sent.
inline constexpr std::size_t queued_before_output_max = std::size_t{8} << 20;
/// What native code prints in the course of a job is flushed so often.
inline constexpr auto output_shown_after = 100ms;
/// A worker flushes what its language buffers after a job, when it did not so for this long, and when it is idle.
inline constexpr auto output_flush_interval = std::chrono::microseconds(100);
/// A packet between node and worker is closed at the first of these; one message makes it no larger than the second,
/// which the smallest usual socket buffer (net.core.wmem_max: 208 KiB, doubled) takes.
inline constexpr std::size_t packet_fill_bytes = std::size_t{96} << 10;
inline constexpr std::size_t packet_bytes_max = std::size_t{224} << 10;
static_assert(inline_payload_max < packet_fill_bytes);
/// Every text of an error that travels: what is longer is cut in the middle. An error has four of them.
inline constexpr std::size_t error_text_bytes_max = std::size_t{32} << 10;
inline constexpr std::size_t error_bytes_max = 4 * error_text_bytes_max + 64;
static_assert(error_bytes_max + inline_payload_max + 128 <= packet_bytes_max);
static_assert(batch_bytes_max + error_bytes_max + inline_payload_max < frame_bytes_max);
/// The first error of each of a pool's latest updates that failed is kept by its nodes, for the next session, and by
/// its client. At a node so many are whole; of the others the message alone.
inline constexpr std::size_t failed_updates_kept = 256;
inline constexpr std::size_t update_errors_whole = 64;
inline constexpr std::size_t update_error_bytes = 1024;
/// Descriptors and mappings are few on some machines (ulimit -n, vm.max_map_count), and the user's code wants them too:
/// payloads take one in so many, two for a large one. Those beyond are in ordinary memory.
inline constexpr std::size_t payload_share_of_descriptors = 4;
inline constexpr std::size_t payload_share_of_mappings = 4;
/// Memory files of payloads from this size on are used again. A process keeps so many bytes of them at most.
inline constexpr std::size_t used_file_bytes_min = std::size_t{1} << 20;
inline constexpr std::size_t used_files_bytes_max = std::size_t{32} << 20;

// --- Output and this machine --------------------------------------------------------------------------------------
/// Lines that nobody reads (stdout, stderr, a program's own stream) wait in so much memory; what workers print in half.
inline constexpr std::size_t unread_output_bytes_max = std::size_t{8} << 20;
/// Who ends waits for a reader that takes nothing, and for one that takes little, no longer than this.
inline constexpr auto output_stalled_after = 500ms;
inline constexpr auto output_flush_max = 3s;
/// Who takes results waits so long for the lines of their jobs to be written before.
inline constexpr auto output_settle_max = 20ms;
/// Signals that come within this time are one: batch systems and service managers send theirs twice.
inline constexpr auto signals_are_one = 2s;
inline constexpr auto signals_meet_within = 100ms;  ///< those that were sent together
/// Lock files and the head's socket are looked at this often, and put back where a cleaner has removed them.
inline constexpr auto files_look_interval = 2s;
/// In a job of a batch system a node leaves so long after its head has ended in order.
inline constexpr auto batch_head_timeout = 120s;

// --- Watching devices -------------------------------------------------------------------------------------------
/// A node that starts waits this long for the first answer of its GPU drivers, which may have to wake every card.
inline constexpr auto first_look_patience = 15s;
/// The operator is told of a driver that has not answered for this long.
inline constexpr auto driver_silent_after = 10s;
/// A slot waits this long for the memory of a worker that has ended; then it is used with what there is.
inline constexpr auto memory_back_patience = 30s;
inline constexpr auto memory_back_unsaid = 500ms;  ///< it is trouble only after this
inline constexpr auto look_again_after = 200ms;    ///< while something is awaited of a device
/// Small changes of free memory are told not more often than this.
inline constexpr auto small_change_pause = 10s;
/// A worker's death is reported after a look at its device, or after this.
inline constexpr auto look_at_death_patience = 150ms;
/// A worker that others ended by SIGTERM ended with its node, if the node is told to leave no later than this.
inline constexpr auto terminated_with_us = 250ms;

}  // namespace dc::limits

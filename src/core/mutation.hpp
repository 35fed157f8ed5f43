// Promises that can be broken on purpose, one at a time, to show that the simulator notices (tests/sim/mutants.sh).
// Only its own builds set DC_MUTATION; in the product every switch is a false constant, and the compiler drops it.
#pragma once

#ifndef DC_MUTATION
#define DC_MUTATION 0
#endif

namespace dc::mutation {

inline constexpr bool ignore_tokens = DC_MUTATION == 1;           ///< a result counts whatever attempt it is of
inline constexpr bool accept_duplicates = DC_MUTATION == 2;       ///< the head: a result that comes again counts again
inline constexpr bool keep_stranded_jobs = DC_MUTATION == 3;      ///< jobs lost on their way stay lost
inline constexpr bool keep_lost_nodes_jobs = DC_MUTATION == 4;    ///< jobs of a lost node are not queued again
inline constexpr bool keep_dead_workers_jobs = DC_MUTATION == 5;  ///< nor those of a worker that ended
inline constexpr bool no_update_barrier = DC_MUTATION == 6;       ///< a job does not wait for its updates
inline constexpr bool acknowledge_early = DC_MUTATION == 7;       ///< a node forgets a result before the client has it
inline constexpr bool no_recovery_hold = DC_MUTATION == 8;        ///< a restarted head gives out jobs that nodes run
inline constexpr bool keep_outdated_workers = DC_MUTATION == 9;   ///< workers that missed an update go on
inline constexpr bool ignore_trouble = DC_MUTATION == 10;         ///< workers start where the node says they cannot
inline constexpr bool share_a_gpu = DC_MUTATION == 11;            ///< the GPUs of one worker are not different ones
inline constexpr bool lose_first_updates = DC_MUTATION == 19;     ///< without history the first worker gets none
inline constexpr bool park_silently = DC_MUTATION == 18;          ///< the head does not hear that a job has ended
// Of named pools:
inline constexpr bool accept_unstored = DC_MUTATION == 12;       ///< jobs count as accepted before they are stored
inline constexpr bool deliver_unstored = DC_MUTATION == 13;      ///< so do outcomes as the client's
inline constexpr bool release_unstored = DC_MUTATION == 14;      ///< nodes forget outcomes before they are stored
inline constexpr bool confirm_unstored = DC_MUTATION == 15;      ///< acknowledgements count before they are stored
inline constexpr bool keep_refused_numbers = DC_MUTATION == 16;  ///< jobs that were refused count as taken
inline constexpr bool forget_keys = DC_MUTATION == 17;           ///< a restarted head does not know values of keys
inline constexpr bool hear_unread = DC_MUTATION == 29;           ///< who wants a pool that is still to be read is heard
inline constexpr bool let_go_early = DC_MUTATION == 26;          ///< who leaves hears so before its last word is stored

// Of the journal:
inline constexpr bool write_refused = DC_MUTATION == 20;   ///< what was refused is written when there is room again
inline constexpr bool leave_given_up = DC_MUTATION == 21;  ///< what was given up and may stand is not erased
inline constexpr bool drop_notes = DC_MUTATION == 27;      ///< a note is erased although what it speaks of stands
inline constexpr bool sum_nothing = DC_MUTATION == 28;     ///< what erased entries told is not summed up

// Of the hold on a store that heads share:
inline constexpr bool speak_unsure = DC_MUTATION == 22;  ///< a head goes on while it may have lost the store
inline constexpr bool take_early = DC_MUTATION == 23;    ///< a standby waits half as long as the lease lasts
inline constexpr bool renew_late = DC_MUTATION == 24;    ///< a renewal counts from its answer, not from its question

// Of clients:
inline constexpr bool leave_without_waiting = DC_MUTATION == 25;  ///< who leaves does not wait for the head

}  // namespace dc::mutation

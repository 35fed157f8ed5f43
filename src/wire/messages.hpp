// Every message of the session protocol, spelled once, in four chapters. docs/protocol.md describes the same list; a
// test compares them.
//
// A message is the MessagePack array [type, [field, field, ...]] with the fields in the order of DC_MESSAGE.
// A payload of more than limits::inline_payload_max bytes stands outside its message (see framing.hpp).
#pragma once

#include <cstdint>
#include <variant>

#include "wire/client_messages.hpp"
#include "wire/handshake_messages.hpp"
#include "wire/node_messages.hpp"
#include "wire/viewer_messages.hpp"

namespace dc::wire {

using Message =
    std::variant<Hello, Proof, Welcome, Rejected, Goodbye,                                                 // handshake
                 OpenPool, Program, ResumePool, PoolResumed, SubmitJobs, AddUpdate, AckOutcomes,           // C -> H
                 WantWorkers, ClosePool, WantOutcomes,                                                     //
                 HolderGone, RepairPool, PoolWaits, ForgetKeys,                                            //
                 PoolOpened, NeedProgram, PoolKnown, JobValues, JobError, UpdateAccepted,                  // H -> C
                 UpdateApplied, UpdateFailed, PoolFailed, PoolClosed, PoolState, Notice, OutputLines,      //
                 JobsAccepted, JobsRefused, AcksKept,                                                      //
                 JobErrors, PoolHeld, PoolRepaired, KeysForgotten,                                         //
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

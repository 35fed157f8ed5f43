// What those who only look say to the head, and its answers. See messages.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"
#include "wire/adaptors.hpp"
#include "wire/message.hpp"

namespace dc::wire {

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

}  // namespace dc::wire

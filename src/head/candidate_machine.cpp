// See candidate_machine.hpp.
#include "head/candidate_machine.hpp"

#include <fmt/format.h>

#include <utility>

#include "store/held_by.hpp"

namespace dc::head {

CandidateMachine::Next CandidateMachine::refused(const Error& why, bool may_be_gone) {
  // A server without room on its disk takes no new holder either, and has room again some day; one that only reads,
  // or throws keys away, is at fault for a moment where servers change their parts. Both are such errors.
  const bool passes =
      why.code == ErrorCode::fenced || why.code == ErrorCode::unreachable || why.code == ErrorCode::full;
  // Whoever does not stand by waits only to see whether the holder lives.
  const bool unseen = why.code == ErrorCode::fenced && may_be_gone;
  if (!unseen && (!standby_ || !passes)) return Next::give_up;
  if (why.message != std::exchange(told_, why.message)) {
    note_ = fmt::format("{}{}. Waiting{}", standby_ ? "standby: " : "",
                        why.message.substr(0, why.message.find(store::held_by_advice)),
                        standby_ ? "" : " to see whether that one lives");
  }
  return Next::look_again;
}

void CandidateMachine::taken(std::string_view store) {
  if (told_.empty()) return;
  note_ = fmt::format("{}the store {} is free, this head takes over", standby_ ? "standby: " : "", store);
}

}  // namespace dc::head

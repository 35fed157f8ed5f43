// Executables of C++ pools: each client that waits for one is asked, and the first that sends what the name says is
// believed. The name is the hash of the content, and nothing is believed before that was looked at: else one client
// could make the pools of another fail.
#include <fmt/format.h>

#include <utility>

#include "head/head_machine.hpp"

namespace dc::head {

void HeadMachine::ask_for_program(SessionId session, const std::string& hash, Effects& out) {
  sessions_.at(session).programs_asked.insert(hash);
  out.emplace_back(Send{session, wire::NeedProgram{hash}});
}

void HeadMachine::on(SessionId session, wire::Program&& message, TimePoint, Effects& out) {
  if (sessions_.at(session).programs_asked.erase(message.hash) == 0)
    return refuse(session, "Program that it was not asked for", out);
  if (programs_.contains(message.hash)) return;  // another one was quicker
  out.emplace_back(HashProgram{session, std::move(message.hash), message.program.compact()});
}

void HeadMachine::program_hashed(HashProgram&& asked, const std::string& hash, TimePoint now, Effects& out) {
  if (hash != asked.hash) {
    if (const auto sender = sessions_.find(asked.session); sender != sessions_.end() && !sender->second.refused)
      refuse(asked.session, fmt::format("Program that is not the one with the hash {}", asked.hash), out);
    return;  // whoever else waits for it was asked as well
  }
  std::vector<PoolId> waiting;
  for (const auto& [id, pool] : pools_) {
    const bool waits = pool->stage() == HeadPool::Stage::waits_for_program;
    if (waits && pool->options.program_hash == asked.hash) waiting.push_back(id);
  }
  if (waiting.empty()) return;  // their clients have gone
  programs_[asked.hash] = std::move(asked.program);
  for (auto& [id, node] : nodes_) {
    if (node.wanted.erase(asked.hash) > 0)
      send_to_node(id, wire::Program{asked.hash, programs_.at(asked.hash)}, wire::control_lane, out);
  }
  for (const PoolId id : waiting) open_or_ask_for_program(asked.session, *pools_.at(id), out);
  tell_scheduler(now, out);
}

}  // namespace dc::head

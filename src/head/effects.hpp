// What the head's machines want done, and who its peers are.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "store/journal_machine.hpp"
#include "store/store.hpp"
#include "wire/messages.hpp"

namespace dc::head {

/// Who is at the other end of a session.
struct PeerInfo {
  wire::Role role{};
  std::uint64_t id{};
  std::string host;
  std::uint32_t pid{};
  std::string address;
};

struct Send {
  SessionId session;
  wire::Message message;
  wire::Lane lane = wire::control_lane;
};
struct CloseSession {
  SessionId session;
  std::string reason;
};
struct Log {
  std::string text;
};
/// Write to the journal of a named pool; journaled() says when it is there, or was refused.
struct JournalWrite {
  store::Ticket ticket{};
  store::LogId log{};
  store::EntryNumber number{};
  store::Entry entry;
  std::vector<store::EntryNumber> erased;  ///< with it
  bool refusable = false;
};
struct JournalRemove {
  store::Ticket ticket{};
  store::LogId log{};
};
/// Read the journal of a pool that an earlier head has kept; pool_read() says what stands there.
struct JournalRead {
  store::LogId log{};
};
/// Cut the broken journal of a pool; repaired() says what came of it.
struct JournalRepair {
  store::LogId log{};
  SessionId session;  ///< who wants to know
  PoolId asked;       ///< by what id it asked
};
/// A client sent the program of this name: program_hashed() says what it is.
struct HashProgram {
  SessionId session;
  std::string hash;
  Payload program;
};
using Effect =
    std::variant<Send, CloseSession, Log, JournalWrite, JournalRemove, JournalRead, JournalRepair, HashProgram>;
using Effects = std::vector<Effect>;

}  // namespace dc::head

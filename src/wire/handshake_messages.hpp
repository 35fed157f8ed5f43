// What both ends of every session say first and last. See messages.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "core/job.hpp"
#include "wire/adaptors.hpp"
#include "wire/message.hpp"

namespace dc::wire {

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

}  // namespace dc::wire

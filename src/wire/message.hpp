// What a message is: a struct with a number, a name, who says it to whom, and its fields in the order of the wire.
#pragma once

#include <cstdint>
#include <msgpack.hpp>

#include "wire/adaptors.hpp"

namespace dc::wire {

/// Who says a message to whom: C client, N node, V viewer (status), H head; node and worker have a channel of their
/// own.
using Ways = std::uint8_t;
inline constexpr Ways client_to_head = 1, head_to_client = 2;
inline constexpr Ways node_to_head = 4, head_to_node = 8;
inline constexpr Ways viewer_to_head = 16, head_to_viewer = 32;
inline constexpr Ways node_to_worker = 64, worker_to_node = 128;
inline constexpr Ways all_to_head = client_to_head | node_to_head | viewer_to_head;
inline constexpr Ways head_to_all = head_to_client | head_to_node | head_to_viewer;
inline constexpr Ways all = all_to_head | head_to_all;

/// What a peer of this role may say to its head.
constexpr Ways ways_from(Role role) {
  return role == Role::client ? client_to_head : role == Role::node ? node_to_head : viewer_to_head;
}
/// What its head may say to it.
constexpr Ways ways_to(Role role) {
  return role == Role::client ? head_to_client : role == Role::node ? head_to_node : head_to_viewer;
}

}  // namespace dc::wire

// The last line of every message. docs/protocol.md has the same; a test compares them.
#define DC_MESSAGE(NUMBER, NAME, WAYS, ...)      \
  static constexpr std::uint8_t type = NUMBER;   \
  static constexpr const char* name = #NAME;     \
  static constexpr ::dc::wire::Ways ways = WAYS; \
  MSGPACK_DEFINE(__VA_ARGS__)

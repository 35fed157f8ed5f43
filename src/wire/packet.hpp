// Codec and socket calls of the channel between a node and a worker. No Boost: the worker runtime links this.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/payload.hpp"
#include "wire/worker_messages.hpp"

namespace dc::wire {

/// One packet being filled. `text` is at most limits::packet_bytes_max; `files` are kept alive until it is sent.
struct Packet {
  std::string text;
  std::vector<Payload> files;
  [[nodiscard]] bool empty() const { return text.empty(); }
};

/// Appends a message to the packets; starts a new packet when the last one is full (bytes, or 64 files). A large
/// payload that is not a memory file is copied into one.
void append(std::vector<Packet>& packets, const ToWorker& message);
void append(std::vector<Packet>& packets, const FromWorker& message);

enum class SocketResult { done, would_block, closed };

/// Sends one packet (MSG_NOSIGNAL). `blocking` false: MSG_DONTWAIT. Throws std::system_error on anything unexpected.
SocketResult send_packet(int socket, const Packet& packet, bool blocking);

/// Receives one packet and appends its messages. Throws std::system_error, and std::runtime_error on bytes that are
/// no messages. `T` is ToWorker or FromWorker.
template <class T>
SocketResult receive_packet(int socket, bool blocking, std::vector<T>& out);
extern template SocketResult receive_packet<ToWorker>(int, bool, std::vector<ToWorker>&);
extern template SocketResult receive_packet<FromWorker>(int, bool, std::vector<FromWorker>&);

}  // namespace dc::wire

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

/// A memory file of `bytes` zeros, to be filled by write_memory_file(). Throws std::system_error.
Payload make_memory_file(std::size_t bytes);

/// Puts `bytes` into the file, from `offset` on. Written rather than stored through a mapping, where every fresh page
/// would cost a fault and be cleared first. Throws std::system_error when the system has no memory left for them.
void write_memory_file(const Payload& file, std::size_t offset, std::span<const std::byte> bytes);

/// A received memory file, mapped privately: writes stay in this process. Takes the descriptor over.
/// Throws std::system_error.
Payload map_memory_file(int fd);

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

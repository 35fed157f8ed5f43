// Codec and socket calls of the channel between a node and a worker. No Boost: the worker runtime links this.
//
// The first byte of a packet tells its kind:
//   0  messages: MessagePack messages one after the other, none with a large payload
//   1  large:    the size of a payload (8 bytes, little-endian) and the one message that it belongs to; then come
//   2  file:     the descriptor of a memory file (SCM_RIGHTS) that is the payload; or, where none can be had or sent,
//   3  piece:    some bytes of the payload, again and again until it is complete
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/payload.hpp"
#include "wire/memory_file.hpp"
#include "wire/worker_messages.hpp"

namespace dc::wire {

/// One packet being filled, and the large payload that goes out behind it.
struct Packet {
  std::string text;    ///< at most limits::packet_bytes_max
  Payload large;       ///< or empty
  std::size_t sent{};  ///< bytes of `large`, when it goes in pieces
  bool text_sent = false, in_pieces = false;
};

/// Appends a message to the packets; starts a new packet when the last one is full or has a large payload. Throws
/// std::length_error for a message that fits into no packet: the other end would refuse it.
void append(std::vector<Packet>& packets, const ToWorker& message);
void append(std::vector<Packet>& packets, const FromWorker& message);

enum class SocketResult { done, would_block, closed };

/// Sends one packet and what is behind it (MSG_NOSIGNAL); goes on where it had to stop. `blocking` false: MSG_DONTWAIT.
/// A system or user that is out of descriptors only makes it slower. Throws std::system_error on anything unexpected.
SocketResult send_packet(int socket, Packet& packet, bool blocking);

/// Receives packets. `T` is ToWorker or FromWorker.
template <class T>
class PacketReader {
 public:
  explicit PacketReader(int socket);

  /// Takes one packet and appends the messages that it completes, if any. A descriptor for which this process has no
  /// room stays in the socket: waits for one, or `would_block`, which also ends a call that blocks when a signal comes.
  /// Throws std::system_error, and std::runtime_error on bytes that are no messages.
  SocketResult receive(bool blocking, std::vector<T>& out);

 private:
  /// A message whose payload is under way.
  struct Begun {
    std::shared_ptr<std::byte[]> text;
    std::size_t text_bytes{};
    std::uint64_t size{};
    Assembly target;  ///< of pieces
    std::size_t received{};
  };
  SocketResult receive_payload(bool blocking, std::vector<T>& out);
  SocketResult receive_piece(bool blocking, std::vector<T>& out);
  void make_room();
  void complete(Payload payload, std::vector<T>& out);

  int socket_;
  std::unique_ptr<Begun> begun_;
};
extern template class PacketReader<ToWorker>;
extern template class PacketReader<FromWorker>;

}  // namespace dc::wire

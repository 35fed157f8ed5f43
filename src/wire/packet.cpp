// Packets between a node and its worker: MessagePack in the data, memory files in the ancillary data.
#include "wire/packet.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "wire/codec.hpp"
#include "wire/memory_file.hpp"

namespace dc::wire {
namespace {

constexpr std::size_t files_per_packet_max = 64;

template <class Variant>
void append_to(std::vector<Packet>& packets, const Variant& message) {
  thread_local std::string text;
  text.clear();
  std::vector<Payload> external;
  encode_message(message, text, external);
  for (Payload& payload : external) {
    if (payload.memory_file() < 0) payload = memory_file_of(payload.bytes());
  }
  if (packets.empty() || packets.back().text.size() + text.size() > limits::packet_bytes_max ||
      packets.back().files.size() + external.size() > files_per_packet_max || !external.empty()) {
    // A message with files starts a packet: its placeholders count from zero.
    packets.emplace_back();
  }
  Packet& packet = packets.back();
  packet.text += text;
  for (Payload& payload : external) packet.files.push_back(std::move(payload));
}

}  // namespace

void append(std::vector<Packet>& packets, const ToWorker& message) { append_to(packets, message); }
void append(std::vector<Packet>& packets, const FromWorker& message) { append_to(packets, message); }

SocketResult send_packet(int socket, const Packet& packet, bool blocking) {
  iovec data{const_cast<char*>(packet.text.data()), packet.text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * files_per_packet_max)> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!packet.files.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * packet.files.size());
    cmsghdr* message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(sizeof(int) * packet.files.size());
    int* fds = reinterpret_cast<int*>(CMSG_DATA(message));
    for (const Payload& file : packet.files) *fds++ = file.memory_file();
  }
  while (true) {
    const ssize_t sent = ::sendmsg(socket, &header, MSG_NOSIGNAL | (blocking ? 0 : MSG_DONTWAIT));
    if (sent >= 0) return SocketResult::done;
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return SocketResult::would_block;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return SocketResult::closed;
    throw std::system_error(errno, std::generic_category(), "sending to the other end of a worker's socket");
  }
}

template <class T>
SocketResult receive_packet(int socket, bool blocking, std::vector<T>& out) {
  constexpr std::size_t buffer_bytes = limits::packet_bytes_max + limits::inline_payload_max;
  thread_local const auto scratch = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes);
  iovec data{scratch.get(), buffer_bytes};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * files_per_packet_max)> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t size = 0;
  while ((size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | (blocking ? 0 : MSG_DONTWAIT))) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return SocketResult::would_block;
    if (errno == ECONNRESET) return SocketResult::closed;
    throw std::system_error(errno, std::generic_category(), "receiving from the other end of a worker's socket");
  }
  if (size == 0) return SocketResult::closed;
  std::vector<Payload> external;
  for (cmsghdr* message = CMSG_FIRSTHDR(&header); message; message = CMSG_NXTHDR(&header, message)) {
    if (message->cmsg_level != SOL_SOCKET || message->cmsg_type != SCM_RIGHTS) continue;
    const int* fds = reinterpret_cast<const int*>(CMSG_DATA(message));
    const std::size_t count = (message->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) external.push_back(map_memory_file(fds[i]));
  }
  if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) throw std::runtime_error("a packet larger than agreed");
  // Copied once into a buffer of its exact size, which the payloads of this packet then share.
  const auto bytes = static_cast<std::size_t>(size);
  auto buffer = std::make_shared_for_overwrite<std::byte[]>(bytes);
  std::memcpy(buffer.get(), scratch.get(), bytes);
  const auto* text = reinterpret_cast<const char*>(buffer.get());
  const Scoped<DecodeScope> scope(DecodeScope{std::move(buffer), &external});
  ObjectReader reader(text, bytes);
  while (!reader.at_end()) {
    T message;
    decode_message(reader.next(), message);
    out.push_back(std::move(message));
  }
  return SocketResult::done;
}

template SocketResult receive_packet<ToWorker>(int, bool, std::vector<ToWorker>&);
template SocketResult receive_packet<FromWorker>(int, bool, std::vector<FromWorker>&);

}  // namespace dc::wire

// Packets between a node and its worker: MessagePack in the data, memory files in the ancillary data. A packet has one
// descriptor at most, and the one before it has announced it: the receiver never loses one for lack of room.
#include "wire/packet.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "core/check.hpp"
#include "core/fd.hpp"
#include "core/output.hpp"
#include "wire/codec.hpp"

namespace dc::wire {
namespace {

enum class Kind : char { messages = 0, large = 1, file = 2, piece = 3 };

constexpr std::size_t kind_bytes = 1;
constexpr std::size_t large_head_bytes = kind_bytes + sizeof(std::uint64_t);
constexpr timespec no_room_pause{0, 20'000'000};

template <class Variant>
void append_to(std::vector<Packet>& packets, const Variant& message) {
  thread_local std::string text;
  text.clear();
  std::vector<Payload> external;
  encode_message(message, text, external);
  DC_CHECK(external.size() <= 1);
  if (text.size() + large_head_bytes > limits::packet_bytes_max) {
    throw std::length_error(fmt::format("a message of {} bytes is too large for a worker's channel ({} bytes)",
                                        text.size(), limits::packet_bytes_max));
  }
  if (!external.empty()) {
    Packet& packet = packets.emplace_back();
    const auto size = static_cast<std::uint64_t>(external[0].size());
    packet.text.push_back(static_cast<char>(Kind::large));
    packet.text.append(reinterpret_cast<const char*>(&size), sizeof size);
    packet.text += text;
    packet.large = std::move(external[0]);
    return;
  }
  if (packets.empty() || !packets.back().large.empty() ||
      packets.back().text.size() + text.size() > limits::packet_fill_bytes) {
    packets.emplace_back().text.push_back(static_cast<char>(Kind::messages));
  }
  packets.back().text += text;
}

// --- Sending ----------------------------------------------------------------------------------------------------

/// Nothing, where a descriptor cannot be made or sent now; the bytes can.
std::optional<SocketResult> send_bytes(int socket, std::span<const iovec> parts, const int* file, bool blocking) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = const_cast<iovec*>(parts.data());
  header.msg_iovlen = parts.size();
  if (file) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(message), file, sizeof(int));
  }
  while (true) {
    const ssize_t sent = ::sendmsg(socket, &header, MSG_NOSIGNAL | (blocking ? 0 : MSG_DONTWAIT));
    if (sent >= 0) return SocketResult::done;
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return SocketResult::would_block;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return SocketResult::closed;
    // A user may have only so many descriptors in sockets that nobody has read yet.
    if (file && (errno == ETOOMANYREFS || errno == EMFILE || errno == ENFILE || errno == ENOMEM)) return std::nullopt;
    throw std::system_error(errno, std::generic_category(), "sending to the other end of a worker's socket");
  }
}

SocketResult send_text(int socket, const std::string& text, bool blocking) {
  const iovec part{const_cast<char*>(text.data()), text.size()};
  return *send_bytes(socket, {&part, 1}, nullptr, blocking);
}

std::optional<SocketResult> send_file(int socket, const Payload& payload, bool blocking) {
  char kind = static_cast<char>(Kind::file);
  const iovec part{&kind, kind_bytes};
  if (const int own = payload.memory_file(); own >= 0) return send_bytes(socket, {&part, 1}, &own, blocking);
  try {
    const Payload copy = memory_file_of(payload.bytes());
    const int file = copy.memory_file();
    return send_bytes(socket, {&part, 1}, &file, blocking);
  } catch (const std::system_error&) {
    return std::nullopt;
  }
}

SocketResult send_pieces(int socket, Packet& packet, bool blocking) {
  char kind = static_cast<char>(Kind::piece);
  while (packet.sent < packet.large.size()) {
    const auto rest = packet.large.bytes().subspan(packet.sent);
    const std::size_t size = std::min(rest.size(), limits::packet_fill_bytes);
    const std::array<iovec, 2> parts{iovec{&kind, kind_bytes}, iovec{const_cast<std::byte*>(rest.data()), size}};
    if (const auto result = *send_bytes(socket, parts, nullptr, blocking); result != SocketResult::done) return result;
    packet.sent += size;
  }
  return SocketResult::done;
}

// --- Receiving --------------------------------------------------------------------------------------------------

/// A descriptor that is kept for when there is no other: the user's code may have taken all that this process may have.
class Spare {
 public:
  /// Whether there is room now for one that was not there before.
  bool give_up() {
    const std::lock_guard lock(mutex_);
    if (fd_.get() < 0) return false;
    fd_.reset();
    return true;
  }
  void have() {
    const std::lock_guard lock(mutex_);
    if (fd_.get() < 0) fd_ = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }

 private:
  std::mutex mutex_;
  Fd fd_;
};

Spare& spare() {
  static auto* const spare = new Spare;
  return *spare;
}

void say_that_descriptors_are_used_up() {
  static bool said = false;
  if (std::exchange(said, true)) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  output::to_stderr(
      fmt::format("distributed-computing: this process has all the {} descriptors that it may have (EMFILE, ulimit "
                  "-n); what arrives waits until it closes some\n",
                  limit.rlim_cur));
}

/// The bytes received, 0 at the end, -1 when it would block, or has blocked until a signal came.
ssize_t receive_message(int socket, msghdr& header, int flags, bool blocking) {
  ssize_t size = 0;
  while ((size = ::recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC | (blocking ? 0 : MSG_DONTWAIT))) < 0) {
    if (errno == EINTR && !blocking) continue;
    if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) return -1;
    if (errno == ECONNRESET) return 0;
    throw std::system_error(errno, std::generic_category(), "receiving from the other end of a worker's socket");
  }
  return size;
}

/// What the next packet is, which stays in the socket, and its descriptor if it has one.
struct Next {
  SocketResult result = SocketResult::done;
  Kind kind{};
  Fd file;
};
Next look(int socket, bool blocking) {
  Next next;
  char kind = 0;
  iovec part{&kind, kind_bytes};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = CMSG_LEN(sizeof(int));  // not the room for padding: a second descriptor would come there
  const ssize_t size = receive_message(socket, header, MSG_PEEK, blocking);
  if (size <= 0) {
    next.result = size == 0 ? SocketResult::closed : SocketResult::would_block;
    return next;
  }
  next.kind = static_cast<Kind>(kind);
  if (const cmsghdr* message = CMSG_FIRSTHDR(&header); message && message->cmsg_level == SOL_SOCKET &&
                                                       message->cmsg_type == SCM_RIGHTS &&
                                                       message->cmsg_len >= CMSG_LEN(sizeof(int))) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(message), sizeof fd);
    next.file = Fd(fd);
  }
  return next;
}

/// Takes a packet out of the socket that look() has shown.
void drop(int socket) {
  char kind = 0;
  [[maybe_unused]] const auto taken = ::recv(socket, &kind, kind_bytes, MSG_DONTWAIT);
}

}  // namespace

void append(std::vector<Packet>& packets, const ToWorker& message) { append_to(packets, message); }
void append(std::vector<Packet>& packets, const FromWorker& message) { append_to(packets, message); }

SocketResult send_packet(int socket, Packet& packet, bool blocking) {
  if (!packet.text_sent) {
    if (const auto result = send_text(socket, packet.text, blocking); result != SocketResult::done) return result;
    packet.text_sent = true;
  }
  if (packet.large.empty()) return SocketResult::done;
  if (!packet.in_pieces) {
    if (const auto result = send_file(socket, packet.large, blocking)) return *result;
    packet.in_pieces = true;
  }
  return send_pieces(socket, packet, blocking);
}

template <class T>
PacketReader<T>::PacketReader(int socket) : socket_(socket) {
  spare().have();
}

template <class T>
SocketResult PacketReader<T>::receive(bool blocking, std::vector<T>& out) {
  if (begun_) return receive_payload(blocking, out);
  thread_local const auto scratch = std::make_unique_for_overwrite<std::byte[]>(limits::packet_bytes_max);
  iovec data{scratch.get(), limits::packet_bytes_max};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  const ssize_t size = receive_message(socket_, header, 0, blocking);
  if (size <= 0) return size == 0 ? SocketResult::closed : SocketResult::would_block;
  if (header.msg_flags & MSG_TRUNC) throw std::runtime_error("a packet larger than agreed");
  const auto kind = static_cast<Kind>(scratch[0]);
  const auto skipped = kind == Kind::large ? large_head_bytes : kind_bytes;
  if ((kind != Kind::messages && kind != Kind::large) || static_cast<std::size_t>(size) < skipped)
    throw std::runtime_error("a packet of an unknown kind");
  // Copied once into a buffer of its exact size, which the payloads of this packet then share.
  const std::size_t bytes = static_cast<std::size_t>(size) - skipped;
  auto buffer = std::make_shared_for_overwrite<std::byte[]>(bytes);
  std::memcpy(buffer.get(), scratch.get() + skipped, bytes);
  if (kind == Kind::large) {
    Begun begun{std::move(buffer), bytes, 0, {}, 0};
    std::memcpy(&begun.size, scratch.get() + kind_bytes, sizeof begun.size);
    if (begun.size == 0 || begun.size > limits::payload_bytes_max_default)
      throw std::runtime_error("a payload of an impossible size");
    begun_ = std::make_unique<Begun>(std::move(begun));
    return SocketResult::done;
  }
  const auto* text = reinterpret_cast<const char*>(buffer.get());
  static const std::vector<Payload> none;
  const Scoped<DecodeScope> scope(DecodeScope{std::move(buffer), &none});
  ObjectReader reader(text, bytes);
  while (!reader.at_end()) {
    T message;
    decode_message(reader.next(), message);
    out.push_back(std::move(message));
  }
  return SocketResult::done;
}

template <class T>
SocketResult PacketReader<T>::receive_payload(bool blocking, std::vector<T>& out) {
  Next next = look(socket_, blocking);
  while (next.result == SocketResult::done && next.kind == Kind::file && next.file.get() < 0) {
    if (!spare().give_up()) {
      say_that_descriptors_are_used_up();
      if (!blocking) return SocketResult::would_block;
      ::nanosleep(&no_room_pause, nullptr);
    }
    next = look(socket_, blocking);
  }
  if (next.result != SocketResult::done) return next.result;
  if (next.kind == Kind::piece) return receive_piece(blocking, out);
  if (next.kind != Kind::file || begun_->received != 0) throw std::runtime_error("a message without its payload");
  drop(socket_);
  Payload payload = map_memory_file(next.file.release());
  spare().have();  // before the user's code takes what is free again
  if (payload.size() != begun_->size) throw std::runtime_error("a payload of another size than announced");
  complete(std::move(payload), out);
  return SocketResult::done;
}

/// For another piece. What was announced costs no memory before it comes.
template <class T>
void PacketReader<T>::make_room() {
  const std::size_t has = begun_->target.memory.size();
  const std::size_t wanted = std::min(begun_->received + limits::packet_bytes_max, begun_->size);
  if (has >= wanted) return;
  Assembly larger = heap_assembly(std::min(std::max(wanted, 2 * has), begun_->size));
  std::copy_n(begun_->target.memory.begin(), begun_->received, larger.memory.begin());
  begun_->target = std::move(larger);
}

template <class T>
SocketResult PacketReader<T>::receive_piece(bool blocking, std::vector<T>& out) {
  make_room();
  const auto rest = begun_->target.memory.subspan(begun_->received);
  char kind = 0;
  std::array<iovec, 2> parts{iovec{&kind, kind_bytes}, iovec{rest.data(), rest.size()}};
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = parts.size();
  const ssize_t size = receive_message(socket_, header, 0, blocking);
  if (size <= 0) return size == 0 ? SocketResult::closed : SocketResult::would_block;
  if ((header.msg_flags & MSG_TRUNC) || size <= static_cast<ssize_t>(kind_bytes))
    throw std::runtime_error("a piece of a payload that is of a wrong size");
  begun_->received += static_cast<std::size_t>(size) - kind_bytes;
  if (begun_->received == begun_->size) complete(std::move(begun_->target.payload), out);
  return SocketResult::done;
}

template <class T>
void PacketReader<T>::complete(Payload payload, std::vector<T>& out) {
  const std::unique_ptr<Begun> begun = std::move(begun_);
  const auto* text = reinterpret_cast<const char*>(begun->text.get());
  const std::vector<Payload> external{std::move(payload)};
  const Scoped<DecodeScope> scope(DecodeScope{begun->text, &external});
  ObjectReader reader(text, begun->text_bytes);
  T message;
  decode_message(reader.next(), message);
  if (!reader.at_end()) throw std::runtime_error("bytes after a message with a large payload");
  out.push_back(std::move(message));
}

template class PacketReader<ToWorker>;
template class PacketReader<FromWorker>;

}  // namespace dc::wire

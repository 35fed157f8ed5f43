// From messages to frames and back: pure functions and small machines on bytes.
//
// A frame is the body of one binary WebSocket message. Its first byte tells the kind:
//   0  batch:  MessagePack messages one after the other
//   1  begin:  [stream, lengths of the external payloads (array), the message as bin]: payloads follow in chunks
//   2  chunk:  [stream, bytes as bin]: the next bytes of the stream's payloads, one payload after the other
//   3  part:   [last, bytes as bin]: a piece of one message that is too long for a batch, in its place among the
//   batches
// A large message is delivered when its last chunk is here. Streams of different lanes are interleaved chunk by chunk;
// a lane's messages are delivered in the order in which they were sent. Batches and parts come in the order in which
// they were sent, so what has no large payload is never overtaken by what was sent later, however long it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/payload.hpp"
#include "core/result.hpp"
#include "wire/memory_file.hpp"
#include "wire/messages.hpp"

namespace dc::wire {

/// Appends the message to `out`. Payloads over limits::inline_payload_max are put into `external` instead; with
/// none of them the message may stand in a batch.
void encode(const Message& message, std::string& out, std::vector<Payload>& external);

/// One message that fills `bytes` exactly. `frame` keeps `bytes` alive; payloads become slices of it. An array of more
/// than `array_max` elements is refused.
Result<Message> decode(std::span<const std::byte> bytes, std::shared_ptr<const void> frame,
                       const std::vector<Payload>& external, std::size_t array_max = limits::array_size_max);

/// Name of the message's struct, for logs.
const char* name_of(const Message& message);
/// Who says it to whom.
Ways ways_of(const Message& message);

/// One frame to write: `head` and then `body` (which may be empty).
struct Frame {
  std::string head;
  Payload body;
};

/// Outgoing side of a session: queues messages, yields frames.
class FrameWriter {
 public:
  /// Queues the message. Small ones join the next batch unless their lane (other than control_lane) has a large one
  /// in progress.
  void push(Message message, Lane lane);
  [[nodiscard]] bool empty() const;
  /// Bytes queued and not yet handed out.
  [[nodiscard]] std::size_t queued_bytes() const { return queued_bytes_; }
  /// Those of them that are messages other than outcomes (JobValues, JobError, JobErrors), without large payloads.
  [[nodiscard]] std::size_t queued_talk() const { return queued_talk_; }
  /// Next frame: the batch when there is one, else one chunk of the next lane in turn; alternates so that neither
  /// starves the other. Not to be called when empty().
  Frame next();

 private:
  struct Stream {
    std::uint64_t number{};
    std::string begin;             ///< the begin frame, until it is handed out
    std::size_t talk{};            ///< of queued_talk(), until then
    std::deque<Payload> external;  ///< what is left of the payloads
    std::size_t offset{};          ///< into the first of them
  };
  struct Waiting {
    std::string small;   ///< encoded, joins a batch when its turn comes
    std::size_t talk{};  ///< of queued_talk(), of the small one
    std::unique_ptr<Stream> large;
  };
  struct Ready {
    std::string frame;
    std::size_t talk{};
  };
  struct LaneQueue {
    std::deque<Waiting> waiting;
  };
  void queue(std::string text, std::vector<Payload> external, std::size_t talk, Lane lane);
  void join_batch(const std::string& text, std::size_t talk);
  void cut(std::string_view text, std::size_t talk);
  void close_batch();
  Frame next_chunk();
  void finish_stream(std::map<Lane, LaneQueue>::iterator lane);

  Ready batch_;                      ///< being filled
  std::deque<Ready> ready_;          ///< batches and parts to be written
  std::map<Lane, LaneQueue> lanes_;  ///< only lanes with a large message in progress
  std::deque<Lane> active_;          ///< lanes that take turns, the next one first
  std::deque<Lane> waiting_;         ///< lanes that wait until one of those is done
  std::uint64_t next_stream_ = 1;
  std::size_t queued_bytes_ = 0, queued_talk_ = 0;
  bool chunk_next_ = false;
};

using AllocatePayload = std::function<Result<Assembly>(std::uint64_t bytes)>;
/// Anonymous memory of the process.
Result<Assembly> allocate_on_heap(std::uint64_t bytes);
/// A memory file, which can go on to other processes by its descriptor; anonymous memory where those have become few.
Result<Assembly> allocate_memory_file(std::uint64_t bytes);

/// Incoming side of a session.
class FrameReader {
 public:
  struct Options {
    std::uint64_t payload_bytes_max = limits::payload_bytes_max_default;
    /// Bytes of large payloads in progress at once.
    std::uint64_t assembly_bytes_max = limits::payload_bytes_max_default * 2;
    std::size_t streams_max = 4096;
    std::size_t message_bytes_max = limits::message_bytes_max;
    AllocatePayload allocate = allocate_on_heap;
  };
  FrameReader() : FrameReader(Options{}) {}
  explicit FrameReader(Options options) : options_(std::move(options)) {}

  /// Takes one frame, appends the messages that it completes. A failure means that the session must be closed.
  Result<void> read(std::span<const std::byte> bytes, std::shared_ptr<const void> frame, std::vector<Message>& out);

 private:
  struct Stream;
  Result<void> read_begin(std::span<const std::byte> bytes, std::shared_ptr<const void> frame,
                          std::vector<Message>& out);
  Result<void> read_chunk(std::span<const std::byte> bytes, std::shared_ptr<const void> frame,
                          std::vector<Message>& out);
  Result<void> read_part(std::span<const std::byte> bytes, std::vector<Message>& out);
  Options options_;
  std::string parts_;  ///< of the message that comes in parts
  std::map<std::uint64_t, std::shared_ptr<Stream>> streams_;
  std::uint64_t assembling_bytes_ = 0;
};

}  // namespace dc::wire

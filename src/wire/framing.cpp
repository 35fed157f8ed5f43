// Messages to frames and back; see framing.hpp for the format of a frame.
#include "wire/framing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <string_view>
#include <utility>

#include "core/check.hpp"
#include "wire/codec.hpp"

namespace dc::wire {
namespace {

enum class FrameKind : char { batch = 0, begin = 1, chunk = 2, part = 3 };

/// Their index is one byte.
constexpr std::size_t external_payloads_max = 255;

Error broken(std::string what) { return fail(ErrorCode::protocol, "the peer broke the protocol: " + std::move(what)); }

std::span<const std::byte> bytes_of(const char* data, std::size_t size) { return std::as_bytes(std::span(data, size)); }

void append_message(const msgpack::object& object, std::vector<Message>& out) {
  Message message;
  decode_message(object, message);
  out.push_back(std::move(message));
}

}  // namespace

void encode(const Message& message, std::string& out, std::vector<Payload>& external) {
  encode_message(message, out, external);
}

Result<Message> decode(std::span<const std::byte> bytes, std::shared_ptr<const void> frame,
                       const std::vector<Payload>& external, std::size_t array_max) {
  try {
    const Scoped<DecodeScope> scope(DecodeScope{std::move(frame), &external});
    ObjectReader reader(reinterpret_cast<const char*>(bytes.data()), bytes.size(), array_max);
    Message message;
    decode_message(reader.next(), message);
    if (!reader.at_end()) return broken("bytes after the message");
    return message;
  } catch (const std::exception& error) {
    return broken(fmt::format("a message cannot be decoded ({})", error.what()));
  }
}

const char* name_of(const Message& message) {
  return std::visit([](const auto& body) { return std::decay_t<decltype(body)>::name; }, message);
}

Ways ways_of(const Message& message) {
  return std::visit([](const auto& body) { return std::decay_t<decltype(body)>::ways; }, message);
}

// --- Writer -----------------------------------------------------------------------------------------------------

void FrameWriter::push(Message message, Lane lane) {
  const bool outcome = std::holds_alternative<JobValues>(message) || std::holds_alternative<JobError>(message) ||
                       std::holds_alternative<JobErrors>(message);
  // Nearly always the message is small and its lane is free: encode it where it will be sent from.
  const bool lane_busy = lane != control_lane && !lanes_.empty() && lanes_.contains(lane);
  std::vector<Payload> external;
  if (!lane_busy) {
    std::string& batch = batch_.frame;
    const std::size_t before = batch.size();
    if (batch.empty()) batch.push_back(static_cast<char>(FrameKind::batch));
    const std::size_t start = batch.size();
    encode(message, batch, external);
    const std::size_t size = batch.size() - start;
    const std::size_t talk = outcome ? 0 : size;
    if (external.empty() && size <= limits::batch_bytes_max) {
      queued_bytes_ += batch.size() - before;
      queued_talk_ += talk;
      batch_.talk += talk;
      if (batch.size() >= limits::batch_bytes_max) close_batch();
      return;
    }
    std::string text = batch.substr(start);
    batch.resize(before);
    if (!external.empty()) return queue(std::move(text), std::move(external), talk, lane);
    queued_talk_ += talk;
    return cut(text, talk);
  }
  std::string text;
  encode(message, text, external);
  const std::size_t talk = outcome ? 0 : text.size();
  queue(std::move(text), std::move(external), talk, lane);
}

void FrameWriter::close_batch() {
  if (!batch_.frame.empty()) ready_.push_back(std::exchange(batch_, {}));
}

/// The message becomes parts behind the batches so far.
void FrameWriter::cut(std::string_view text, std::size_t talk) {
  // A longer array than may be makes the text long enough to come here.
  static_assert(limits::array_size_max >= limits::batch_bytes_max);
  DC_CHECK(text.size() <= limits::message_bytes_max && all_arrays_fit(text));
  close_batch();
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, limits::chunk_bytes);
    text.remove_prefix(piece.size());
    Ready part;
    part.frame.push_back(static_cast<char>(FrameKind::part));
    part.talk = std::min(talk, piece.size());
    talk -= part.talk;
    StringSink sink{part.frame};
    msgpack::packer<StringSink> packer(sink);
    packer.pack_array(2);
    packer.pack(text.empty());
    packer.pack_bin(static_cast<std::uint32_t>(piece.size()));
    packer.pack_bin_body(piece.data(), static_cast<std::uint32_t>(piece.size()));
    queued_bytes_ += part.frame.size();
    ready_.push_back(std::move(part));
  }
}

void FrameWriter::queue(std::string text, std::vector<Payload> external, std::size_t talk, Lane lane) {
  Waiting waiting;
  queued_bytes_ += text.size();
  queued_talk_ += talk;
  if (external.empty()) {
    waiting.small = std::move(text);
    waiting.talk = talk;
  } else {
    DC_CHECK(external.size() <= external_payloads_max && text.size() <= limits::batch_bytes_max);
    waiting.large = std::make_unique<Stream>();
    waiting.large->number = next_stream_++;
    waiting.large->talk = talk;
    std::vector<std::uint64_t> sizes;
    for (const Payload& payload : external) {
      sizes.push_back(payload.size());
      queued_bytes_ += payload.size();
    }
    std::string& begin = waiting.large->begin;
    begin.push_back(static_cast<char>(FrameKind::begin));
    StringSink sink{begin};
    msgpack::packer<StringSink> packer(sink);
    packer.pack_array(3);
    packer.pack_uint64(waiting.large->number);
    packer.pack(sizes);
    packer.pack_bin(static_cast<std::uint32_t>(text.size()));
    packer.pack_bin_body(text.data(), static_cast<std::uint32_t>(text.size()));
    queued_bytes_ += begin.size() - text.size();
    waiting.large->external.assign(std::make_move_iterator(external.begin()), std::make_move_iterator(external.end()));
  }
  // A large message on the control lane gets a lane of its own: nothing may wait behind it there.
  if (lane == control_lane) lane = (std::uint64_t{1} << 63) | next_stream_;
  LaneQueue& queue = lanes_[lane];
  if (queue.waiting.empty()) waiting_.push_back(lane);
  queue.waiting.push_back(std::move(waiting));
}

bool FrameWriter::empty() const { return batch_.frame.empty() && ready_.empty() && lanes_.empty(); }

Frame FrameWriter::next() {
  DC_CHECK(!empty());
  const bool have_batch = !batch_.frame.empty() || !ready_.empty();
  const bool take_chunk = !lanes_.empty() && (!have_batch || chunk_next_);
  chunk_next_ = !take_chunk;
  if (take_chunk) return next_chunk();
  if (ready_.empty()) close_batch();
  Frame frame{std::move(ready_.front().frame), {}};
  DC_CHECK(frame.head.size() <= limits::frame_bytes_max);
  queued_bytes_ -= frame.head.size();
  queued_talk_ -= ready_.front().talk;
  ready_.pop_front();
  return frame;
}

Frame FrameWriter::next_chunk() {
  while (!waiting_.empty() && active_.size() < limits::active_lanes_max) {
    active_.push_back(waiting_.front());
    waiting_.pop_front();
  }
  const auto lane = lanes_.find(active_.front());
  active_.pop_front();
  active_.push_back(lane->first);
  LaneQueue& queue = lane->second;
  DC_CHECK(queue.waiting.front().large);
  Stream& stream = *queue.waiting.front().large;
  Frame frame;
  if (!stream.begin.empty()) {
    frame.head = std::move(stream.begin);
    stream.begin.clear();
    queued_bytes_ -= frame.head.size();
    queued_talk_ -= stream.talk;
    return frame;
  }
  const Payload& payload = stream.external.front();
  const std::size_t size = std::min(payload.size() - stream.offset, limits::chunk_bytes);
  frame.head.push_back(static_cast<char>(FrameKind::chunk));
  StringSink sink{frame.head};
  msgpack::packer<StringSink> packer(sink);
  packer.pack_array(2);
  packer.pack_uint64(stream.number);
  packer.pack_bin(static_cast<std::uint32_t>(size));
  frame.body = Payload(payload.owner(), payload.bytes().subspan(stream.offset, size));
  queued_bytes_ -= size;
  stream.offset += size;
  if (stream.offset == payload.size()) {
    stream.external.pop_front();
    stream.offset = 0;
  }
  if (stream.external.empty()) finish_stream(lane);
  return frame;
}

/// What waited in a lane, and is counted as queued.
void FrameWriter::join_batch(const std::string& text, std::size_t talk) {
  if (text.size() > limits::batch_bytes_max) {
    queued_bytes_ -= text.size();
    return cut(text, talk);
  }
  if (batch_.frame.empty()) {
    batch_.frame.push_back(static_cast<char>(FrameKind::batch));
    ++queued_bytes_;
  }
  batch_.frame += text;
  batch_.talk += talk;
  if (batch_.frame.size() >= limits::batch_bytes_max) close_batch();
}

void FrameWriter::finish_stream(std::map<Lane, LaneQueue>::iterator lane) {
  auto& waiting = lane->second.waiting;
  waiting.pop_front();
  // Small messages that waited behind the large one go on; the next large one takes its place.
  while (!waiting.empty() && !waiting.front().large) {
    join_batch(waiting.front().small, waiting.front().talk);
    waiting.pop_front();
  }
  if (!waiting.empty()) return;
  active_.pop_back();  // next_chunk() has just put it there
  lanes_.erase(lane);
}

// --- Reader -----------------------------------------------------------------------------------------------------

Result<Assembly> allocate_on_heap(std::uint64_t bytes) {
  try {
    return heap_assembly(bytes);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::too_large, fmt::format("no memory for a payload of {} bytes", bytes));
  }
}

Result<Assembly> allocate_memory_file(std::uint64_t bytes) {
  try {
    return make_assembly(bytes);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::too_large, fmt::format("no memory for a payload of {} bytes", bytes));
  }
}

namespace {

Result<void> put(const Assembly& target, std::size_t offset, std::span<const std::byte> bytes) {
  try {
    write(target, offset, bytes);
  } catch (const std::exception& error) {
    return fail(ErrorCode::too_large, error.what());
  }
  return boost::outcome_v2::success();
}

}  // namespace

struct FrameReader::Stream {
  std::shared_ptr<const void> frame;
  std::span<const std::byte> message;
  std::vector<Assembly> payloads;
  std::size_t current = 0;
  std::size_t offset = 0;
  std::uint64_t total = 0;
};

Result<void> FrameReader::read(std::span<const std::byte> bytes, std::shared_ptr<const void> frame,
                               std::vector<Message>& out) {
  if (bytes.empty()) return broken("an empty frame");
  const auto kind = static_cast<FrameKind>(bytes[0]);
  const auto rest = bytes.subspan(1);
  try {
    switch (kind) {
      case FrameKind::batch: {
        if (!parts_.empty()) return broken("a batch among the parts of a message");
        static const std::vector<Payload> none;
        const Scoped<DecodeScope> scope(DecodeScope{std::move(frame), &none});
        ObjectReader reader(reinterpret_cast<const char*>(rest.data()), rest.size());
        while (!reader.at_end()) append_message(reader.next(), out);
        return boost::outcome_v2::success();
      }
      case FrameKind::begin:
        return read_begin(rest, std::move(frame), out);
      case FrameKind::chunk:
        return read_chunk(rest, std::move(frame), out);
      case FrameKind::part:
        return read_part(rest, out);
    }
    return broken(fmt::format("frame kind {}", static_cast<int>(bytes[0])));
  } catch (const std::exception& error) {
    return broken(fmt::format("a frame cannot be decoded ({})", error.what()));
  }
}

Result<void> FrameReader::read_begin(std::span<const std::byte> bytes, std::shared_ptr<const void> frame,
                                     std::vector<Message>&) {
  ObjectReader reader(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const msgpack::object& object = reader.next();
  if (object.type != msgpack::type::ARRAY || object.via.array.size != 3 || !reader.at_end()) {
    return broken("a malformed begin frame");
  }
  const auto* fields = object.via.array.ptr;
  const auto number = fields[0].as<std::uint64_t>();
  const auto sizes = fields[1].as<std::vector<std::uint64_t>>();
  if (fields[2].type != msgpack::type::BIN || sizes.empty() || sizes.size() > external_payloads_max)
    return broken("a malformed begin frame");
  if (streams_.size() >= options_.streams_max || streams_.contains(number)) return broken("too many streams");
  auto stream = std::make_shared<Stream>();
  for (const std::uint64_t size : sizes) {
    if (size == 0 || size > options_.payload_bytes_max) {
      return fail(ErrorCode::too_large,
                  fmt::format("a payload of {} bytes is over the limit of {} bytes", size, options_.payload_bytes_max));
    }
    stream->total += size;
  }
  if (assembling_bytes_ + stream->total > options_.assembly_bytes_max) return broken("too many payload bytes at once");
  for (const std::uint64_t size : sizes) {
    BOOST_OUTCOME_TRY(assembly, options_.allocate(size));
    stream->payloads.push_back(std::move(assembly));
  }
  assembling_bytes_ += stream->total;
  stream->frame = std::move(frame);
  stream->message = bytes_of(fields[2].via.bin.ptr, fields[2].via.bin.size);
  streams_.emplace(number, std::move(stream));
  return boost::outcome_v2::success();
}

Result<void> FrameReader::read_chunk(std::span<const std::byte> bytes, std::shared_ptr<const void>,
                                     std::vector<Message>& out) {
  ObjectReader reader(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const msgpack::object& object = reader.next();
  if (object.type != msgpack::type::ARRAY || object.via.array.size != 2 ||
      object.via.array.ptr[1].type != msgpack::type::BIN || !reader.at_end()) {
    return broken("a malformed chunk frame");
  }
  const auto found = streams_.find(object.via.array.ptr[0].as<std::uint64_t>());
  if (found == streams_.end()) return broken("a chunk of no stream");
  Stream& stream = *found->second;
  const auto chunk = bytes_of(object.via.array.ptr[1].via.bin.ptr, object.via.array.ptr[1].via.bin.size);
  Assembly& target = stream.payloads[stream.current];
  if (chunk.empty() || chunk.size() > target.payload.size() - stream.offset) return broken("a chunk of a wrong size");
  BOOST_OUTCOME_TRYV(put(target, stream.offset, chunk));
  stream.offset += chunk.size();
  if (stream.offset < target.payload.size()) return boost::outcome_v2::success();
  stream.offset = 0;
  if (++stream.current < stream.payloads.size()) return boost::outcome_v2::success();
  std::vector<Payload> external;
  for (Assembly& assembly : stream.payloads) external.push_back(std::move(assembly.payload));
  auto message = decode(stream.message, stream.frame, external);
  assembling_bytes_ -= stream.total;
  streams_.erase(found);
  if (!message) return message.error();
  out.push_back(std::move(message.value()));
  return boost::outcome_v2::success();
}

/// Memory is taken for what has arrived, not for what is announced.
Result<void> FrameReader::read_part(std::span<const std::byte> bytes, std::vector<Message>& out) {
  ObjectReader reader(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const msgpack::object& object = reader.next();
  if (object.type != msgpack::type::ARRAY || object.via.array.size != 2 ||
      object.via.array.ptr[1].type != msgpack::type::BIN || !reader.at_end()) {
    return broken("a malformed part frame");
  }
  const bool last = object.via.array.ptr[0].as<bool>();
  const auto& piece = object.via.array.ptr[1].via.bin;
  if (piece.size == 0 || parts_.size() + piece.size > options_.message_bytes_max) {
    return broken(fmt::format("a message of more than {} bytes", options_.message_bytes_max));
  }
  parts_.append(piece.ptr, piece.size);
  if (!last) return boost::outcome_v2::success();
  const auto whole = std::make_shared<const std::string>(std::exchange(parts_, {}));
  BOOST_OUTCOME_TRY(message, decode(bytes_of(whole->data(), whole->size()), whole, {}));
  out.push_back(std::move(message));
  return boost::outcome_v2::success();
}

}  // namespace dc::wire

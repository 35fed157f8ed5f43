// Frames: what is pushed comes out again, large payloads delay nothing, bad bytes are refused with a reason.
#include "wire/framing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace dc::wire {
namespace {

using testing::ElementsAre;

Payload payload_of(std::size_t size) {
  std::string text(size, '\0');
  std::iota(text.begin(), text.end(), '\0');
  return Payload(std::move(text));
}

SubmitJobs submit(JobSequence sequence, std::size_t size) { return {PoolId{7}, {{sequence, 0, payload_of(size)}}}; }

/// Moves every frame from one to the other; the sequences in order of arrival.
std::vector<JobSequence> carry(FrameWriter& writer, FrameReader& reader) {
  std::vector<Message> messages;
  while (!writer.empty()) {
    const Frame frame = writer.next();
    auto bytes = std::make_shared<std::string>(frame.head + std::string(frame.body.view()));
    EXPECT_LE(bytes->size(), limits::frame_bytes_max);
    const auto result = reader.read(std::as_bytes(std::span(*bytes)), bytes, messages);
    EXPECT_TRUE(result) << result.error().message;
    if (!result) break;
  }
  std::vector<JobSequence> sequences;
  for (const Message& message : messages) {
    for (const SubmittedJob& job : std::get<SubmitJobs>(message).jobs) {
      EXPECT_EQ(job.arguments, payload_of(job.arguments.size()));
      sequences.push_back(job.sequence);
    }
  }
  return sequences;
}

TEST(Framing, SmallMessagesShareAFrame) {
  FrameWriter writer;
  for (JobSequence i = 1; i <= 100; ++i) writer.push(submit(i, 32), 7);
  FrameReader reader;
  const std::size_t queued = writer.queued_bytes();
  EXPECT_GT(queued, 3200U);
  EXPECT_EQ(carry(writer, reader).size(), 100U);
  EXPECT_EQ(writer.queued_bytes(), 0U);
}

TEST(Framing, ALargeMessageDelaysOnlyItsOwnLane) {
  FrameWriter writer;
  FrameReader reader;
  writer.push(submit(1, 5 << 20), 1);
  writer.push(submit(2, 10), 1);  // behind it in its lane
  writer.push(submit(3, 10), 2);
  writer.push(submit(4, 1 << 20), 3);
  writer.push(submit(5, 10), control_lane);
  EXPECT_THAT(carry(writer, reader), ElementsAre(3, 5, 4, 1, 2));
  EXPECT_EQ(writer.queued_bytes(), 0U);
}

TEST(Framing, ManyLargeMessagesTakeTurnsAFewAtATime) {
  FrameWriter writer;
  FrameReader reader(FrameReader::Options{.streams_max = limits::active_lanes_max});
  for (JobSequence i = 1; i <= 200; ++i) writer.push(submit(i, limits::chunk_bytes + 1), i);
  EXPECT_EQ(carry(writer, reader).size(), 200U);
}

TEST(Framing, PayloadsOfEverySizeAroundTheLimitsArriveIntact) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, limits::inline_payload_max, limits::inline_payload_max + 1, limits::chunk_bytes,
        limits::chunk_bytes + 1, limits::chunk_bytes * 3}) {
    FrameWriter writer;
    FrameReader reader;
    writer.push(submit(1, size), 1);
    EXPECT_THAT(carry(writer, reader), ElementsAre(1)) << size;
  }
}

TEST(Framing, EveryCoreTypeSurvives) {
  NodeState state;
  state.slots = {{0, "cpu", 0}};
  state.pools = {{PoolId{9}, 3, {{5, {6, 7}}}}};
  state.workers = {{WorkerId{3}, PoolId{4}, 1, true, 7, 8, {{5, {6, 7}}}}};
  std::string text;
  std::vector<Payload> external;
  encode(state, text, external);
  const auto decoded = decode(std::as_bytes(std::span(text)), nullptr, external);
  ASSERT_TRUE(decoded);
  const auto& copy = std::get<NodeState>(decoded.value());
  EXPECT_EQ(copy.slots, state.slots);
  EXPECT_EQ(copy.workers, state.workers);
  EXPECT_EQ(copy.pools[0].finished, state.pools[0].finished);
}

TEST(Framing, BadBytesAreRefused) {
  const std::vector<std::string> frames = {
      "",
      std::string(1, '\x07'),
      std::string("\0\xc1", 2),
      std::string("\0\x92\xcc\xff\x90", 5),
      std::string("\0\x93\x01", 3),
      std::string("\1\x93", 2),
      std::string("\2\x92\x01\xc4\x01x", 6),
      std::string("\1\x93\x01\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xc4\x00", 15),
      std::string(1, '\0') + std::string(1000, '\x91')};
  for (const std::string& text : frames) {
    FrameReader reader;
    std::vector<Message> messages;
    auto bytes = std::make_shared<std::string>(text);
    EXPECT_FALSE(reader.read(std::as_bytes(std::span(*bytes)), bytes, messages)) << testing::PrintToString(text);
    EXPECT_TRUE(messages.empty());
  }
}

TEST(Framing, APayloadOverTheLimitIsNamed) {
  FrameWriter writer;
  writer.push(submit(1, 1 << 20), 1);
  FrameReader reader(FrameReader::Options{.payload_bytes_max = 1000});
  const Frame frame = writer.next();
  std::vector<Message> messages;
  const auto result = reader.read(std::as_bytes(std::span(frame.head)), nullptr, messages);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::too_large);
  EXPECT_THAT(result.error().message, testing::HasSubstr("1000"));
}

}  // namespace
}  // namespace dc::wire

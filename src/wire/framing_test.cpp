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

/// A frame as it comes from the network.
Result<void> read(FrameReader& reader, const Frame& frame, std::vector<Message>& messages) {
  auto bytes = std::make_shared<std::string>(frame.head + std::string(frame.body.view()));
  EXPECT_LE(bytes->size(), limits::frame_bytes_max);
  return reader.read(std::as_bytes(std::span(*bytes)), bytes, messages);
}

std::vector<Message> carry_all(FrameWriter& writer, FrameReader& reader) {
  std::vector<Message> messages;
  while (!writer.empty()) {
    const auto result = read(reader, writer.next(), messages);
    EXPECT_TRUE(result) << result.error().message;
    if (!result) break;
  }
  EXPECT_EQ(writer.queued_bytes(), 0U);
  EXPECT_EQ(writer.queued_talk(), 0U);
  return messages;
}

/// The report of a node with 4,096 workers that have 512 jobs each in their hands.
NodeState busy_node() {
  NodeState state;
  for (std::uint32_t slot = 0; slot < 4096; ++slot) {
    state.slots.push_back({slot, "cpu", 0});
    WorkerReport worker{WorkerId{slot + 1}, PoolId{4}, slot, true, 7, 8, {}};
    for (JobSequence i = 0; i < limits::prefetch_jobs_max; ++i)
      worker.held.push_back({(std::uint64_t{slot} << 32) | i, {0xfffffff0, 1}});
    state.workers.push_back(std::move(worker));
  }
  return state;
}

TEST(Framing, AMessageOfAnyLengthComesInItsPlace) {
  FrameWriter writer;
  FrameReader reader;
  const NodeState state = busy_node();
  writer.push(submit(1, 10), 7);
  writer.push(state, control_lane);
  writer.push(submit(2, 10), 8);                                                         // of another lane
  writer.push(submit(3, 1 << 20), 9);                                                    // in chunks meanwhile
  writer.push(AckOutcomes{PoolId{7}, std::vector<JobSequence>(600'000, 1'000'000)}, 9);  // behind it in its lane
  writer.push(NodeLeaving{"late"}, control_lane);
  std::vector<Message> messages;
  std::size_t frames = 0;
  while (!writer.empty()) {
    ASSERT_TRUE(read(reader, writer.next(), messages));
    ++frames;
    if (frames == 3) {
      EXPECT_EQ(messages.size(), 1U) << "nothing overtakes it";
    }
  }
  EXPECT_GT(frames, 100U);
  std::vector<std::string> names;
  for (const Message& message : messages) names.emplace_back(name_of(message));
  EXPECT_THAT(names, ElementsAre("SubmitJobs", "SubmitJobs", "NodeState", "SubmitJobs", "NodeLeaving", "AckOutcomes"))
      << "only what comes in chunks goes its own way";
  EXPECT_EQ(std::get<NodeState>(messages[2]).workers, state.workers);
}

TEST(Framing, WhatWaitsUnreadIsCountedWithoutOutcomes) {
  FrameWriter writer;
  FrameReader reader;
  writer.push(JobValues{PoolId{7}, {{1, payload_of(5000)}}}, control_lane);
  EXPECT_EQ(writer.queued_talk(), 0U);
  writer.push(Notice{PoolId{7}, std::string(5000, 'x')}, control_lane);
  EXPECT_NEAR(static_cast<double>(writer.queued_talk()), 5000, 20);
  writer.push(Program{"hash", payload_of(1 << 20)}, 5);
  writer.push(Notice{PoolId{7}, std::string(5000, 'x')}, 5);
  writer.push(Notice{PoolId{7}, std::string(std::size_t{3} << 20, 'x')}, 5);
  EXPECT_NEAR(static_cast<double>(writer.queued_talk()), (3 << 20) + 10'000, 100);
  EXPECT_EQ(carry_all(writer, reader).size(), 5U);
}

TEST(FramingDeathTest, AListThatNoReceiverTakesIsABugOfItsMaker) {
  FrameWriter writer;
  const AckOutcomes message{PoolId{7}, std::vector<JobSequence>(limits::array_size_max + 1)};
  EXPECT_DEATH(writer.push(message, control_lane), "all_arrays_fit");
}

TEST(Framing, PartsAreBounded) {
  FrameWriter writer;
  writer.push(Notice{PoolId{7}, std::string(std::size_t{2} << 20, 'x')}, control_lane);
  FrameReader reader(FrameReader::Options{.message_bytes_max = std::size_t{1} << 20});
  std::vector<Message> messages;
  auto result = read(reader, writer.next(), messages);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(result);
    result = read(reader, writer.next(), messages);
  }
  ASSERT_TRUE(result);
  result = read(reader, writer.next(), messages);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, testing::HasSubstr("a message of more than 1048576 bytes"));

  FrameReader other;
  FrameWriter batch;
  batch.push(submit(1, 10), 1);
  FrameWriter parts;
  parts.push(Notice{PoolId{7}, std::string(std::size_t{2} << 20, 'x')}, control_lane);
  ASSERT_TRUE(read(other, parts.next(), messages));
  EXPECT_FALSE(read(other, batch.next(), messages)) << "its parts are not one behind the other";
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
      std::string("\3\x92\xc3\xc4\x00", 5),
      std::string("\3\x92\x01\xc4\x01x", 6),
      std::string("\3\x93\xc3\xc4\x01x\xc0", 7),
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

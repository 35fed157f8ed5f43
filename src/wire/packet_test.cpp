// Packets through a real socket: what is too long, and what happens when descriptors run out at either end.
#include "wire/packet.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/sanitizer_pipes_for_tests.hpp"

namespace dc::wire {
namespace {

struct PacketPair {
  PacketPair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0); }
  ~PacketPair() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  PacketPair(const PacketPair&) = delete;
  PacketPair& operator=(const PacketPair&) = delete;
  int ends[2]{};
};

constexpr std::size_t large_bytes = limits::inline_payload_max + 1000;

WorkerValue large_value(std::uint64_t index, char letter) {
  return {index, 1, Payload(std::string(large_bytes, letter))};
}

/// Sends the messages and reads them in turn, as far as each side can go.
std::vector<FromWorker> through(PacketPair& pair, const std::vector<FromWorker>& messages) {
  std::vector<Packet> packets;
  for (const FromWorker& message : messages) append(packets, message);
  PacketReader<FromWorker> reader(pair.ends[1]);
  std::vector<FromWorker> received;
  for (Packet& packet : packets) {
    for (int tries = 0; send_packet(pair.ends[0], packet, false) != SocketResult::done && tries < 1000; ++tries)
      reader.receive(false, received);
  }
  while (reader.receive(false, received) == SocketResult::done) {
  }
  return received;
}

/// `story` in a process of its own, whose limits it may change.
template <class Story>
void in_child(Story story) {
  const pid_t child = ::fork();
  if (child == 0) {
    story();
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

/// Opens files until there is no room for another.
void use_up_descriptors() {
  const rlimit few{64, 64};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  while (::open("/dev/null", O_RDONLY) >= 0) {
  }
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(Packet, TextsOfAnErrorAreCutAndTheRestArrives) {
  PacketPair pair;
  ErrorInfo error{ErrorKind::job_error,
                  "begin" + std::string(5 << 20, 'x') + "end",
                  std::string(5 << 20, '\xff'),
                  std::string(1 << 20, 'N'),
                  "host",
                  3,
                  -1,
                  0};
  const auto received = through(pair, {WorkerError{7, 1, error, Payload::copy(std::string_view("pickled"))},
                                       UpdateDone{1, true, error, {}}, ConstructionFailed{error}});
  ASSERT_EQ(received.size(), 3U);
  const auto& got = std::get<WorkerError>(received[0]);
  EXPECT_EQ(got.error->message, shortened(error.message, limits::error_text_bytes_max));
  EXPECT_TRUE(got.error->message.starts_with("begin") && got.error->message.ends_with("end"));
  EXPECT_EQ(got.error->traceback.size(), shortened(error.traceback, limits::error_text_bytes_max).size());
  EXPECT_LE(got.error->type_name.size(), limits::error_text_bytes_max);
  EXPECT_EQ(got.exception.view(), "pickled");
  EXPECT_EQ(std::get<UpdateDone>(received[1]).error, got.error);
  EXPECT_EQ(std::get<ConstructionFailed>(received[2]).error, got.error);
}

TEST(Packet, AMessageThatNobodyWouldTakeIsNotMade) {
  std::vector<Packet> packets;
  Begin begin;
  begin.host = std::string(limits::packet_bytes_max, 'h');
  EXPECT_THROW(append(packets, begin), std::length_error);
  EXPECT_TRUE(packets.empty());
}

TEST(Packet, ALargePayloadLeavesNoDescriptorBehind) {
  PacketPair pair;
  const auto before = open_descriptors();
  const auto received = through(pair, {large_value(1, 'a'), WorkerConstructed{}, large_value(2, 'b')});
  ASSERT_EQ(received.size(), 3U);
  EXPECT_EQ(std::get<WorkerValue>(received[0]).value, large_value(1, 'a').value);
  EXPECT_TRUE(std::holds_alternative<WorkerConstructed>(received[1]));
  EXPECT_EQ(std::get<WorkerValue>(received[2]).value, large_value(2, 'b').value);
  EXPECT_LE(open_descriptors(), before + 1) << "the spare one";
}

TEST(Packet, ASenderWithoutDescriptorsSendsTheBytes) {
  if (sanitizer_opens_pipes) GTEST_SKIP() << "the sanitizer needs descriptors too";
  in_child([] {
    PacketPair pair;
    use_up_descriptors();
    const auto received = through(pair, {large_value(1, 'a'), large_value(2, 'b'), WorkerConstructed{}});
    ASSERT_EQ(received.size(), 3U);
    EXPECT_EQ(std::get<WorkerValue>(received[0]).value, large_value(1, 'a').value);
    EXPECT_EQ(std::get<WorkerValue>(received[1]).value, large_value(2, 'b').value);
  });
}

TEST(Packet, AReceiverWithoutDescriptorsHasOneSpare) {
  if (sanitizer_opens_pipes) GTEST_SKIP() << "the sanitizer needs descriptors too";
  in_child([] {
    PacketPair pair;
    std::vector<Packet> packets;
    for (char letter = 'a'; letter < 'e'; ++letter) {
      WorkerValue value = large_value(1, letter);
      value.value = memory_file_of(value.value.bytes());
      append(packets, value);
    }
    PacketReader<FromWorker> reader(pair.ends[1]);
    std::vector<FromWorker> received;
    use_up_descriptors();
    for (Packet& packet : packets) {
      ASSERT_EQ(send_packet(pair.ends[0], packet, true), SocketResult::done);
      EXPECT_FALSE(packet.in_pieces);
      while (reader.receive(false, received) == SocketResult::done) {
      }
    }
    ASSERT_EQ(received.size(), 4U);
    EXPECT_EQ(std::get<WorkerValue>(received[3]).value, large_value(1, 'd').value);
  });
}

TEST(Packet, ADescriptorForWhichThereIsNoRoomIsNotLost) {
  if (sanitizer_opens_pipes) GTEST_SKIP() << "the sanitizer needs descriptors too";
  in_child([] {
    PacketPair pair;
    std::vector<Packet> packets;
    WorkerValue value = large_value(1, 'a');
    value.value = memory_file_of(value.value.bytes());
    append(packets, value);
    PacketReader<FromWorker> reader(pair.ends[1]);
    std::vector<FromWorker> received;
    ASSERT_EQ(send_packet(pair.ends[0], packets[0], true), SocketResult::done);
    const rlimit none{3, 64};  // not even the spare one
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    EXPECT_EQ(reader.receive(false, received), SocketResult::done);  // what announces it
    EXPECT_EQ(reader.receive(false, received), SocketResult::would_block);
    const rlimit more{64, 64};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &more), 0);
    EXPECT_EQ(reader.receive(false, received), SocketResult::done);
    ASSERT_EQ(received.size(), 1U);
    EXPECT_EQ(std::get<WorkerValue>(received[0]).value, value.value);
  });
}

TEST(Packet, AUserWithTooManyDescriptorsUnderWaySendsTheBytes) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can become another user, who is limited";
  in_child([] {
    PacketPair pair;
    ASSERT_EQ(::setgid(54321), 0);
    ASSERT_EQ(::setuid(54321), 0);  // nobody's: what is under way is counted for each user
    const rlimit few{32, 32};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    WorkerValue value = large_value(1, 'a');
    value.value = memory_file_of(value.value.bytes());
    int in_pieces = 0, sent = 0;
    for (; sent < 200 && in_pieces == 0; ++sent) {
      std::vector<Packet> packets;
      append(packets, value);
      send_packet(pair.ends[0], packets[0], false);
      in_pieces += packets[0].in_pieces ? 1 : 0;
    }
    EXPECT_EQ(in_pieces, 1) << "after " << sent;
  });
}

TEST(Packet, BytesThatAreNoPacketAreRefused) {
  for (const std::string& bytes :
       {std::string("\7abc"), std::string("\2"), std::string("\1\1\0\0", 4), std::string("\1\0\0\0\0\0\0\0\0x", 10),
        std::string("\1") + std::string(8, '\xff')}) {
    PacketPair pair;
    ASSERT_EQ(::send(pair.ends[0], bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    PacketReader<FromWorker> reader(pair.ends[1]);
    std::vector<FromWorker> received;
    EXPECT_THROW(reader.receive(false, received), std::runtime_error);
  }
}

}  // namespace
}  // namespace dc::wire

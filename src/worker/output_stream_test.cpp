// What is printed arrives whole and in order, whoever prints, forks, or kills.
#include "worker/output_stream.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <array>
#include <chrono>
#include <csignal>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace dc::worker {
namespace {

/// A pipe, its reader, and the stream at its other end.
class OutputStreamTest : public testing::Test {
 protected:
  OutputStreamTest() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    reader_ = std::thread([this] {
      std::array<char, 4096> bytes;
      for (ssize_t size = 0; (size = ::read(ends_[0], bytes.data(), bytes.size())) > 0;)
        text_.append(bytes.data(), static_cast<std::size_t>(size));
    });
  }
  ~OutputStreamTest() override { read_all(); }
  static void print(OutputStream& stream, std::string_view text) { stream.add(text); }
  const std::string& read_all() {
    if (reader_.joinable()) {
      ::close(ends_[1]);
      reader_.join();
      ::close(ends_[0]);
    }
    return text_;
  }
  OutputStream& stream(bool unbuffered = false) { return *new OutputStream(ends_[1], unbuffered); }  // lives on

  std::array<int, 2> ends_{};
  std::thread reader_;
  std::string text_;
};

TEST_F(OutputStreamTest, LinesGoOutAtOnceAndTheirBeginningsWithThem) {
  OutputStream& out = stream();
  out.add("part");
  EXPECT_TRUE(out.pending());
  out.add("s of a line\n");
  EXPECT_FALSE(out.pending());
  const auto found = out.take_found();
  EXPECT_TRUE(found.printed && !found.open_line);
  EXPECT_FALSE(out.take_found().printed);
  EXPECT_EQ(read_all(), "parts of a line\n");
}

TEST_F(OutputStreamTest, WithoutABufferEverythingGoesOutAtOnce) {
  OutputStream& out = stream(true);
  out.add("part");
  EXPECT_FALSE(out.pending());
}

TEST_F(OutputStreamTest, AStormOfSeveralThreadsIsWhole) {
  OutputStream& out = stream();
  constexpr int threads = 4, lines = 20'000;
  std::vector<std::thread> printers;
  for (int thread = 0; thread < threads; ++thread) {
    printers.emplace_back([&, thread] {
      for (int line = 0; line < lines; ++line) print(out, std::to_string(thread) + " " + std::to_string(line) + "\n");
    });
  }
  for (std::thread& printer : printers) printer.join();
  out.write_out();
  std::array<int, threads> next{};
  std::istringstream text(read_all());
  int thread = 0, line = 0, all = 0;
  while (text >> thread >> line) {
    ASSERT_EQ(line, next[static_cast<std::size_t>(thread)]++);
    ++all;
  }
  EXPECT_EQ(all, threads * lines);
}

TEST_F(OutputStreamTest, AChildThatIsForkedInAStormPrintsAndEnds) {
  OutputStream& out = stream();
  std::atomic<bool> over = false;
  std::thread printer([&] {
    while (!over) print(out, "storm\n");
  });
  for (int i = 0; i < 50; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      print(out, "child\n");
      ::_exit(0);
    }
    int status = -1;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (::waitpid(child, &status, WNOHANG) == 0 && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    if (!WIFEXITED(status)) ::kill(child, SIGKILL);
    ASSERT_EQ(status, 0) << "it hangs";
  }
  over = true;
  printer.join();
  out.write_out();
  const std::string& text = read_all();
  std::size_t children = 0;
  for (std::size_t at = 0; (at = text.find("child\n", at)) != std::string::npos; ++at) ++children;
  EXPECT_EQ(children, 50U);
}

/// Whoever prints does not wait for a reader that is busy, and what is printed comes all the same.
TEST(OutputStream, WhatThePipeHasNoRoomForGoesOutLater) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  OutputStream& out = *new OutputStream(ends[1], false);
  const std::string line(99'999, 'x');
  for (int i = 0; i < 10; ++i) out.add(line + "\n");
  std::size_t size = 0;
  std::array<char, 65536> bytes;
  while (size < 1'000'000) {
    const ssize_t now = ::read(ends[0], bytes.data(), bytes.size());
    ASSERT_GT(now, 0);
    size += static_cast<std::size_t>(now);
  }
  EXPECT_EQ(size, 1'000'000U);
}

TEST_F(OutputStreamTest, APipeThatDoesNotWaitLosesNothing) {
  OutputStream& out = stream();
  ::fcntl(ends_[1], F_SETFL, O_NONBLOCK);
  const std::string large(1'000'000, 'x');
  print(out, large + "\n");
  out.write_out();
  EXPECT_EQ(read_all().size(), large.size() + 1);
}

}  // namespace
}  // namespace dc::worker

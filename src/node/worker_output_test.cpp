// Lines out of a stream of bytes, in bounded memory; and printing them without ever waiting.
#include "node/output_lines.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "node/line_printer.hpp"

namespace dc::node {
namespace {

using Lines = std::vector<std::string>;

Lines feed(OutputLines& output, std::string_view text) {
  Lines lines;
  output.feed(text, lines);
  return lines;
}

TEST(WorkerOutput, LinesComeWhenTheyAreComplete) {
  OutputLines output;
  EXPECT_EQ(feed(output, "one\ntw"), (Lines{"one"}));
  EXPECT_EQ(feed(output, "o\r\n\nthr"), (Lines{"two", ""}));
  Lines rest;
  output.finish(rest);
  EXPECT_EQ(rest, (Lines{"thr"}));
  rest.clear();
  output.finish(rest);
  EXPECT_EQ(rest, Lines{});
  EXPECT_EQ(output.tail(), "one\ntwo\n\nthr");
}

TEST(WorkerOutput, ALineOfTheExactLengthOfAPieceIsOneLine) {
  OutputLines output;
  const std::string full(limits::output_line_bytes_max, 'x');
  EXPECT_EQ(feed(output, full), Lines{});
  EXPECT_EQ(feed(output, "\n"), (Lines{full}));
  EXPECT_EQ(feed(output, full + "y\n"), (Lines{full + " [line continues]", "y"}));
}

TEST(WorkerOutput, AHundredMebibytesWithoutANewlineStayBounded) {
  OutputLines output;
  Lines lines;
  const std::string block(1 << 20, 'x');
  for (int i = 0; i < 100; ++i) output.feed(block, lines);
  output.feed("\nnext\n", lines);
  ASSERT_EQ(lines.size(), OutputLines::pieces_max + 2);
  const std::size_t shown = OutputLines::pieces_max * limits::output_line_bytes_max;
  EXPECT_EQ(lines[OutputLines::pieces_max - 1].size(), limits::output_line_bytes_max + OutputLines::piece_mark.size());
  EXPECT_EQ(lines[OutputLines::pieces_max], fmt::format("[{} bytes of this line were dropped]", (100 << 20) - shown));
  EXPECT_EQ(lines.back(), "next");
}

TEST(WorkerOutput, TheTailKeepsTheLastTwenty) {
  OutputLines output;
  for (int i = 0; i < 100; ++i) feed(output, fmt::format("{}\n", i));
  EXPECT_EQ(output.tail().substr(0, 6), "80\n81\n");
  EXPECT_EQ(output.tail().substr(output.tail().size() - 3), "\n99");
}

TEST(WorkerOutput, WhatIsNoUtf8BecomesReadable) {
  EXPECT_EQ(readable("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(readable("\xff\xc3(\x80"),
            "?"
            "?(?");
  EXPECT_EQ(readable("\xc0\xaf"), "??") << "overlong";
  EXPECT_EQ(readable("\xed\xa0\x80"), "???") << "surrogate";
  EXPECT_EQ(readable("\xf4\x90\x80\x80"), "????") << "beyond Unicode";
  EXPECT_EQ(readable("a\xe2\x82"), "a??") << "cut off";
}

TEST(WorkerOutput, ACutTearsNoCharacterApart) {
  OutputLines output;
  const std::string start(limits::output_line_bytes_max - 1, 'x');
  EXPECT_EQ(feed(output, start + "\xc3\xbc!\n"), (Lines{start + " [line continues]", "\xc3\xbc!"}));
}

// --- Printing ---------------------------------------------------------------------------------------------------

std::string read_all(int fd) {
  std::string text;
  std::array<char, 65536> buffer;
  for (ssize_t size = 0; (size = ::read(fd, buffer.data(), buffer.size())) > 0;) text.append(buffer.data(), size);
  return text;
}

TEST(LinePrinter, AFullPipeLosesLinesAndSaysHowMany) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
  LinePrinter printer(pipe[1]);  // in blocking mode, as a shell hands it over
  const Lines thousand(1000, std::string(99, 'x'));
  printer.print("> ", thousand);
  printer.print("> ", thousand);  // more than a pipe holds: must not wait
  const std::string before = read_all(pipe[0]);
  EXPECT_GE(before.size(), 60'000U);
  printer.print("> ", {"after"});
  const std::string after = read_all(pipe[0]);
  std::size_t shown = 0;
  for (const char c : before) shown += c == '\n' ? 1 : 0;
  std::size_t late = 0;  // the rest of what was taken in part
  for (std::size_t at = after.find('\n'); at < after.find("["); at = after.find('\n', at + 1)) ++late;
  EXPECT_NE(after.find(fmt::format("[{} lines were not shown", 2000 - shown - late)), std::string::npos) << after;
  EXPECT_EQ(after.substr(after.size() - 8), "> after\n");
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(LinePrinter, AReaderThatIsGoneDoesNoHarm) {
  std::signal(SIGPIPE, SIG_IGN);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  ::close(pipe[0]);
  LinePrinter printer(pipe[1]);
  printer.print("> ", {"one"});
  printer.print("> ", {"two"});
  ::close(pipe[1]);
}

}  // namespace
}  // namespace dc::node

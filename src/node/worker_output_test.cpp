// Lines out of a stream of bytes, in bounded memory.
#include "node/output_lines.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace dc::node

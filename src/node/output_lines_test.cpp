// Lines in bounded memory, whatever is printed.
#include "node/output_lines.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dc::node {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;

TEST(OutputLines, LinesAreCutWhereverTheyArrive) {
  OutputLines output;
  std::vector<std::string> lines;
  output.feed("one\ntw", lines);
  output.feed("o\n\nthr", lines);
  EXPECT_THAT(lines, ElementsAre("one", "two", ""));
  output.feed("ee", lines);
  output.finish(lines);
  EXPECT_THAT(lines, ElementsAre("one", "two", "", "three"));
}

TEST(OutputLines, AnEndlessLineIsCutAndThenDroppedWithACount) {
  OutputLines output;
  std::vector<std::string> lines;
  const std::string part(64 << 10, 'x');
  for (int i = 0; i < 160; ++i) output.feed(part, lines);
  EXPECT_THAT(lines, SizeIs(16));
  EXPECT_THAT(lines[0], EndsWith("[line continues]"));
  output.feed("\nnext\n", lines);
  ASSERT_THAT(lines, SizeIs(18));
  EXPECT_THAT(lines[16], HasSubstr("bytes of this line were dropped"));
  EXPECT_EQ(lines[17], "next");
}

TEST(OutputLines, TheLastLinesAreRemembered) {
  OutputLines output;
  std::vector<std::string> lines;
  for (int i = 0; i < 100; ++i) output.feed(std::to_string(i) + "\n", lines);
  EXPECT_THAT(output.tail(), testing::StartsWith("80\n81"));
  EXPECT_THAT(output.tail(), EndsWith("\n99"));
}

}  // namespace
}  // namespace dc::node

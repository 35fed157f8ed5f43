// Where long texts are cut.
#include "core/text.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace dc {
namespace {

TEST(Shortened, ATextThatFitsStaysAsItIs) {
  EXPECT_EQ(shortened("", 64), "");
  EXPECT_EQ(shortened(std::string(64, 'x'), 64), std::string(64, 'x'));
}

TEST(Shortened, BothEndsStayAndWhatIsMissingIsCounted) {
  std::string text = "ValueError: " + std::string(100, 'x') + " the end";
  EXPECT_EQ(shortened(text, 80), "ValueError: xxx [... 90 bytes left out ...] xxxxxxx the end");
  text.assign(1 << 20, 'y');
  EXPECT_LE(shortened(text, 1000).size(), 1000U);
  EXPECT_GE(shortened(text, 1000).size(), 980U);
}

TEST(Shortened, IsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\xf0\x9f\x9a\x80";  // four bytes each
  for (std::size_t max = 64; max < 90; ++max) {
    const std::string cut = shortened(text, max);
    EXPECT_LE(cut.size(), max);
    const auto word = cut.find(" [...");
    const auto rest = cut.find("...] ") + 5;
    EXPECT_EQ(word % 4, 0U) << max;
    EXPECT_EQ((cut.size() - rest) % 4, 0U) << max;
  }
}

TEST(Shortened, BytesThatAreNoTextAreCutToo) {
  const std::string text(1000, '\x80');
  EXPECT_LE(shortened(text, 100).size(), 100U);
  EXPECT_EQ(shortened(text, 100).front(), '\x80');
  const std::string zeros(1000, '\0');
  EXPECT_EQ(shortened(zeros, 100).back(), '\0');
}

TEST(ErrnoText, LimitsAreNamed) {
  EXPECT_EQ(errno_text(ENOENT), "No such file or directory");
  EXPECT_NE(errno_text(EMFILE).find("EMFILE"), std::string::npos);
  EXPECT_NE(errno_text(ENOMEM).find("vm.max_map_count"), std::string::npos);
}

}  // namespace
}  // namespace dc

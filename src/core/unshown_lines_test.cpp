// What is left out is counted where it is missing.
#include "core/unshown_lines.hpp"

#include <gtest/gtest.h>

namespace dc {
namespace {

TEST(UnshownLines, AreCountedByPlaceAndToldOnce) {
  UnshownLines lines;
  lines.add({"here", 1, OutputStream::out}, 3);
  lines.add({"here", 1, OutputStream::err}, 1);
  lines.add({"here", 1, OutputStream::out}, 12342);
  const auto told = lines.take();
  EXPECT_EQ(told.size(), 2U);
  EXPECT_EQ(told.at({"here", 1, OutputStream::out}), 12345U);
  EXPECT_TRUE(lines.empty());
}

TEST(UnshownLines, TheirTextHasTheExactNumber) {
  EXPECT_EQ(unshown_text(1), "… 1 line was not shown (more than 200 a second)");
  EXPECT_EQ(unshown_text(999), "… 999 lines were not shown (more than 200 a second)");
  EXPECT_EQ(unshown_text(1'234'567), "… 1,234,567 lines were not shown (more than 200 a second)");
}

}  // namespace
}  // namespace dc

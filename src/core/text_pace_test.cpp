// What comes too fast is left out and counted.
#include "core/text_pace.hpp"

#include <gtest/gtest.h>

namespace dc {
namespace {

TEST(TextPace, SomeAtOnceThenSoManyASecond) {
  const TimePoint start{1h};
  TextPace pace(3, 2);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pace.admit(start), 0U);
  EXPECT_EQ(pace.admit(start), std::nullopt);
  EXPECT_EQ(pace.admit(start + 400ms), std::nullopt);
  EXPECT_EQ(pace.admit(start + 500ms), 2U);
  EXPECT_EQ(pace.admit(start + 1s), 0U);
  EXPECT_EQ(pace.admit(start + 1s), std::nullopt);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(pace.admit(start + 1h), i == 0 ? 1U : 0U) << "no more than at once";
  EXPECT_EQ(pace.admit(start + 1h), std::nullopt);
}

TEST(TextPace, ManyAtATime) {
  const TimePoint start{1h};
  TextPace pace(200, 200);
  EXPECT_EQ(pace.room(start), 200U);
  pace.spend(150);
  EXPECT_EQ(pace.room(start), 50U);
  EXPECT_EQ(pace.room(start + 100ms), 70U);
  pace.spend(70);
  EXPECT_EQ(pace.room(start + 100ms), 0U);
  EXPECT_EQ(pace.room(start + 1h), 200U);
}

}  // namespace
}  // namespace dc

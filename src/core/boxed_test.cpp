// A boxed value behaves as the value.
#include "core/boxed.hpp"

#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace dc {
namespace {

TEST(Boxed, ACopyIsAnotherValue) {
  Boxed<std::string> first = "text";
  Boxed<std::string> second = first;
  second->append("s");
  EXPECT_EQ(*first, "text");
  EXPECT_EQ(*second, "texts");
  first = second;
  EXPECT_EQ(first, second);
  EXPECT_NE(&*first, &*second);
}

TEST(Boxed, MakesAVariantAsSmallAsItsSmallAlternatives) {
  struct Large {
    char bytes[1000];
  };
  EXPECT_LE(sizeof(std::variant<std::string, Boxed<Large>>), sizeof(std::string) + sizeof(void*));
}

}  // namespace
}  // namespace dc

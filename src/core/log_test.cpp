// Lines of the log, whatever a peer puts in them and however many it causes.
#include "core/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/limits.hpp"
#include "core/output.hpp"

namespace dc::log {
namespace {

using ::testing::HasSubstr;

TEST(Log, LinesArePrintableAndBounded) {
  ::testing::internal::CaptureStderr();
  set_up("test");
  info("pool {}", "x\x1b[2J\n2026-01-01 00:00:00.000 head info: forged");
  warning("{}", std::string(1 << 20, 'x'));
  output::flush();
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("pool x?[2J 2026-01-01 00:00:00.000 head info: forged\n"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2);
  EXPECT_LE(log.size(), limits::log_line_bytes_max + 1000);
}

TEST(Log, TooManyLinesAreLeftOutAndCountedButNotWarnings) {
  ::testing::internal::CaptureStderr();
  set_up("test");
  const auto most = static_cast<std::ptrdiff_t>(limits::log_lines_at_once);
  for (std::ptrdiff_t i = 0; i < 3 * most; ++i) info("pool {} is open", i);
  warning("still heard");
  output::flush();
  const std::string log = ::testing::internal::GetCapturedStderr();
  const auto lines = std::count(log.begin(), log.end(), '\n');
  EXPECT_GE(lines, most);
  EXPECT_LE(lines, 2 * most);
  EXPECT_THAT(log, HasSubstr("still heard"));
}

}  // namespace
}  // namespace dc::log
